"""A grey JPEG of 4,500 x 4,340 pixels to a verdict: peak memory and seconds, each in a process of its own.

Once in the quick profile, and once in tiles at 4,096 pixels, where every pixel is judged. A process loads the bundle,
judges the file once and says what it used; loading is part of its memory, not of its seconds.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks.measure import Figure, own_peak
from benchmarks.parts import draw_images, make_bundle, quick_product

from zeromiss.image_size import ImageSize

WIDTH, HEIGHT = 4500, 4340
GIB = 2**30
MOST = 1.5  # GiB
LARGE = 4096


def run() -> list[Figure]:
    """Return the peak memory of both, with the seconds in the notes."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        file = draw_photograph(folder / "part.jpg")
        ways = {
            "quick profile, 256 px": quick_product(256, decode="reduced"),
            "quick profile, 256 px, decoded whole": quick_product(256),
            f"in tiles, {LARGE} px": quick_product(LARGE, tiles={"side": 512, "overlap": 64}),
        }
        figures = []
        for number, (what, product) in enumerate(ways.items()):
            # The classifier is fitted on small images: tiles only change where measurements come from, not their number.
            small = product.model_copy(update={"size": ImageSize(256, 256)}) if product.size.longer > 256 else product
            images = draw_images(folder / "images", 6, side=300)
            bundle = make_bundle(folder / str(number), small, images, size=product.size.width)
            figures.append(_figure(what, *_alone(bundle, file)))
    return figures


def draw_photograph(path: Path) -> Path:
    """Draw a grey part with grain, edges, fine lines and a scratch as JPEG."""
    rng = np.random.default_rng(0)
    row_HW, column_HW = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    part_HW = 120 + 40 * np.sin(column_HW / 90) * np.cos(row_HW / 70) + rng.normal(0, 6, (HEIGHT, WIDTH)).astype(np.float32)
    part_HW[1000:1040] = 30
    cv2.line(part_HW, (2000, 2000), (2160, 2100), 250, 4)
    Image.fromarray(np.clip(part_HW, 0, 255).astype(np.uint8)).save(path, quality=90)
    return path


def judge(bundle: Path, file: Path) -> None:
    """Judge one file in this process and print its verdict, the seconds and the peak memory in bytes."""
    from zeromiss.inspection.inspector import Inspector

    inspector = Inspector.load(bundle)
    started = time.perf_counter()
    verdict = inspector.inspect(file)
    print(json.dumps([verdict.verdict, verdict.width, time.perf_counter() - started, own_peak()]))


def _alone(bundle: Path, file: Path) -> tuple[str, int, float, int]:
    command = [sys.executable, "-c", "import sys; from pathlib import Path; from benchmarks.high_resolution import judge; "
               "judge(Path(sys.argv[1]), Path(sys.argv[2]))", str(bundle), str(file)]  # fmt: skip
    done = subprocess.run(command, cwd=Path(__file__).resolve().parents[1], capture_output=True, text=True, check=True)
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def _figure(what: str, verdict: str, side: int, seconds: float, peak: int) -> Figure:
    return Figure(
        what=f"peak memory, {WIDTH} x {HEIGHT} grey JPEG to a verdict, {what}",
        target=f"< {MOST} GiB",
        value=peak / GIB,
        unit="GiB",
        met=peak < MOST * GIB,
        note=f"{seconds:.2f} s for the verdict, judged at {side} x {side}; a process of its own, libraries and networks included",
    )
