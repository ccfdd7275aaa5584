"""Extraction of 1,000 images against 100: does memory stay flat and time grow no faster than the number of images?

Each runs in a process of its own, by the metrics stage's own parts: `measured` on all cores, rows written as they
come. The network is the quick profile's, untrained, with a mask; images are drawn files of 144 pixels
judged at 128. Seconds are those of the extraction alone; memory is the whole process's peak.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch

from benchmarks.measure import Figure, own_peak
from benchmarks.parts import draw_images, measurer_of, quick_product
from zeromiss.images.reader import ImageReader
from zeromiss.metrics.table import measured, table_row, write_rows

SIZE, SIDE = 128, 144
FEW, MANY, DRAWN = 100, 1000, 100
WARM = 8  # images measured before the clock starts


def run() -> list[Figure]:
    """Return both quotients: peak memory and seconds of 1,000 images over those of 100."""
    with tempfile.TemporaryDirectory() as scratch:
        draw_images(Path(scratch) / "raw", DRAWN, side=SIDE)
        (few_seconds, few_peak), (many_seconds, many_peak) = (_alone(Path(scratch), count) for count in (FEW, MANY))
    note = f"{{}} for {MANY} images, {{}} for {FEW}, at {SIZE} px; each in a process of its own"
    return [
        _figure("peak memory", 1.1, many_peak / few_peak, note.format(f"{many_peak / 2**20:.0f} MiB", f"{few_peak / 2**20:.0f} MiB")),
        _figure("seconds", 10.5, many_seconds / few_seconds, note.format(f"{many_seconds:.1f} s", f"{few_seconds:.1f} s")),
    ]


def extract(folder: Path, count: int) -> None:
    """Extract `count` images in this process; print the seconds and the peak memory in bytes."""
    files = sorted(path.name for path in (folder / "raw").iterdir())
    product = quick_product(SIZE)
    measurer = measurer_of(product, torch.rand(SIZE, SIZE, generator=torch.Generator().manual_seed(0)))
    rows = [
        {"path": files[number % len(files)], "sha256": "0" * 64, "label": "normal", "defect_type": "", "part_id": None}
        for number in range(count)
    ]
    manifest = pd.DataFrame(rows)
    list(measured(manifest[:WARM], measurer, raw=folder / "raw", reader=ImageReader(SIZE)))
    started = time.perf_counter()
    found = measured(manifest, measurer, raw=folder / "raw", reader=ImageReader(SIZE))
    written = write_rows(folder / f"{count}.parquet", (table_row(*pair) for pair in found), features=measurer.columns)
    if written != count:
        raise RuntimeError(f"{written} rows of {count} were written")
    print(json.dumps([time.perf_counter() - started, own_peak()]))


def _alone(folder: Path, count: int) -> tuple[float, int]:
    code = "import sys; from pathlib import Path; from benchmarks.extraction import extract; extract(Path(sys.argv[1]), int(sys.argv[2]))"
    command = [sys.executable, "-c", code, str(folder), str(count)]
    done = subprocess.run(command, cwd=Path(__file__).resolve().parents[1], capture_output=True, text=True, check=True)
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak


def _figure(what: str, most: float, value: float, note: str) -> Figure:
    return Figure(what=f"{what}, {MANY} images against {FEW}", against="itself", target=f"<= {most:g} x", value=value, unit="x", met=value <= most, note=note)
