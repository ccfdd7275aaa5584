"""Does an exported folder judge as the model does? Asked of every export, on every image, before it gets its name."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from zeromiss.edge.layout import RUNNER
from zeromiss.edge.runtime import EdgeInspector
from zeromiss.errors import ZeromissError
from zeromiss.inspection.inspector import Inspector
from zeromiss.inspection.verdict import ERROR

TOLERANCE = 1e-4  # of a score in [0, 1]: how far an exported model's may lie from torch's
RUN_ALONE = 3  # images that the folder's own script judges too, in a process of its own


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What one program says of an image: the score is None where it cannot judge it."""

    verdict: str
    score: float | None
    seconds: float


def compare(inspector: Inspector, folder: Path, paths: Sequence[Path], *, images: str) -> dict[str, Any]:
    """Judge every image by torch and by the folder and return the figures; `images` says which they are.

    Raises ZeromissError when a verdict flips, a score differs by more than `TOLERANCE`, or the folder's script alone gives
    another score than the same code here, or the model can judge none of the images.
    """
    edge = EdgeInspector(folder)
    pairs = [(_judge(inspector, path), _judge(edge, path)) for path in tqdm(paths, desc="torch against the export", unit="image")]
    found = figures(pairs, images=images)
    if found["not_judged"] == found["n"]:
        raise ZeromissError(
            f"none of the {found['n']} images of the {images} can be judged, so that nothing verifies the export: ask zeromiss inspect why"
        )
    if found["flipped"] or found["above_tolerance"]:
        raise ZeromissError(
            f"the export does not judge as the model does: of {found['n']} images of the {images}, {found['flipped']} verdicts flip and "
            f"{found['above_tolerance']} scores differ by more than {TOLERANCE:g} (at most {found['largest_difference']:.3g}); no folder was "
            "made: inspect with zeromiss, or choose a steadier family of classifiers, such as extra trees (selection.families)"
        )
    _run_alone(folder, list(paths)[:RUN_ALONE], [pair[1] for pair in pairs])
    return found


def figures(pairs: Sequence[tuple[Judged, Judged]], *, images: str) -> dict[str, Any]:
    """Return how far the second of each pair lies from the first, and the median seconds of both."""
    scored = [(one.score, other.score) for one, other in pairs if one.score is not None and other.score is not None]
    gaps = np.array([abs(one - other) for one, other in scored] or [0.0])
    return {
        "images": images,
        "n": len(pairs),
        "not_judged": sum(one.verdict == ERROR for one, _ in pairs),
        "flipped": sum(one.verdict != other.verdict for one, other in pairs),
        "tolerance": TOLERANCE,
        "above_tolerance": int((gaps > TOLERANCE).sum()),
        "largest_difference": float(gaps.max()),
        "mean_difference": float(gaps.mean()),
        "seconds_per_image": {name: float(np.median([pair[i].seconds for pair in pairs])) for i, name in enumerate(("torch", "export"))},
    }


def _judge(inspector: Inspector | EdgeInspector, path: Path) -> Judged:
    """Judge one image; a file that cannot be judged is an error, which the other must refuse too."""
    started = time.perf_counter()
    try:
        verdict = inspector.inspect(path)
    except ZeromissError:
        return Judged(verdict=ERROR, score=None, seconds=time.perf_counter() - started)
    return Judged(verdict=verdict.verdict, score=verdict.score, seconds=time.perf_counter() - started)


def _run_alone(folder: Path, paths: list[Path], expected: list[Judged]) -> None:
    """Raise ZeromissError unless the folder's script, in a process of its own, says what the same code said here."""
    done = subprocess.run([sys.executable, "-s", "-B", str(folder / RUNNER), *map(str, paths)], capture_output=True, text=True, check=False)
    try:
        lines = [json.loads(line) for line in done.stdout.splitlines()]
    except json.JSONDecodeError:
        lines = []
    found = [(line["verdict"], line.get("score")) for line in lines]
    if found != [(one.verdict, one.score) for one in expected[: len(paths)]]:
        last = (done.stderr.strip().splitlines() or ["it printed other scores"])[-1]
        raise ZeromissError(f"the exported folder does not inspect by itself ({last}); no folder was made: report this with --debug")
