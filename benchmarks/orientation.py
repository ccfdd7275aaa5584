"""Parts at any angle with small defects: `patchknn` on pictures as they are, and turned and cut out by `align.mode: orientation`.

Drawn parts, each a little other than the next, lie anywhere in the picture at any angle under changing light. Each seed draws
all pictures anew. Both ways see about as many pixels: the whole picture squeezed into a square, or the part in its own shape.
Without orientation neighbours are sought around the same place, as by default, and anywhere, the better of which counts.
"""

import math
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from tqdm import tqdm

from benchmarks.measure import Figure
from zeromiss.detector_params import PatchknnParams
from zeromiss.detectors.images import floats
from zeromiss.detectors.patchknn.train import train
from zeromiss.image_size import ImageSize
from zeromiss.images.reader import ImageReader, open_reader
from zeromiss.images.reference import typical_part, write_alignment
from zeromiss.stage_params import AlignParams

SEEDS = (0, 1, 2)
TAUGHT, NORMALS, DEFECTS = 40, 30, 30  # good parts that are learned from, good ones and defective ones that are inspected
SIDE = 320  # pixels of a picture
WHOLE, PART = ImageSize(144, 144), ImageSize(256, 88)  # what is seen of a picture, and of a part: about as many pixels
STRIDES, CORESET = (4, 8), 3000
TARGET = 0.10  # FPR at zero missed with orientation
_FINE = 3  # pixels drawn a pixel of the picture
_OUTLINE = ((-112, -30), (-40, -30), (-30, -38), (20, -38), (30, -30), (92, -30), (112, -8), (112, 12), (96, 30), (-112, 30))
_HOLES = ((-84, -8, 9), (-52, 14, 6), (-4, -14, 13), (52, 8, 8), (88, 2, 5))  # x, y, radius


@dataclass(frozen=True, kw_only=True)
class Found:
    """How well normal parts and defects are told apart."""

    fpr: float  # share of good parts at or above the lowest defect, in [0, 1]
    auroc: float


def run() -> list[Figure]:
    """Return FPR at zero missed and AUROC with orientation and without, over the seeds."""
    found: dict[str, list[Found]] = {"with": [], "without": []}
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as scratch:
            taught, inspected, defects = _draw_all(Path(scratch), seed)
            params = AlignParams(mode="orientation", crop="part")
            write_alignment(Path(scratch), params, raw=Path("/"), reference=str(taught[typical_part(taught)]).lstrip("/"), size=PART)
            turned = open_reader(Path(scratch), PART)
            found["with"].append(_judge(taught, inspected, defects, turned, seed=seed, radius=1))
            plain = [_judge(taught, inspected, defects, ImageReader(WHOLE), seed=seed, radius=radius) for radius in (1, None)]
            found["without"].append(min(plain, key=lambda one: (one.fpr, -one.auroc)))
    note = f"{len(SEEDS)} seeds, {NORMALS} good and {DEFECTS} defective parts each; mean, in brackets the lowest and the highest"
    return [
        _figure("FPR at zero missed with orientation", [one.fpr for one in found["with"]], note, target=f"<= {TARGET:.2f}"),
        _figure("AUROC with orientation", [one.auroc for one in found["with"]], f"at {PART} pixels"),
        _figure("FPR at zero missed without orientation", [one.fpr for one in found["without"]], "the better of patchknn.radius 1 and null"),
        _figure("AUROC without orientation", [one.auroc for one in found["without"]], f"at {WHOLE} pixels"),
    ]


def draw_part(rng: np.random.Generator, *, defect: bool) -> np.ndarray:
    """Return a picture of a part at any angle, uint8 RGB (SIDE, SIDE, 3); a defect is a scratch, a spot, a nick or a filled hole."""
    angle, shift = rng.uniform(0, 2 * math.pi), rng.uniform(-25, 25, 2)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    fine = np.full((SIDE * _FINE, SIDE * _FINE), 62.0, np.float32)

    def at(points: object) -> np.ndarray:
        """Return places of the part as cv2 takes them."""
        places = np.asarray(points, dtype=float).reshape(-1, 2) @ turn.T + (SIDE - 1) / 2 + shift
        return np.rint(((places + 0.5) * _FINE - 0.5) * 16).astype(np.int32)

    def disc(x: float, y: float, radius: float, shade: float) -> None:
        """Draw a disc."""
        cv2.circle(fine, at((x, y))[0].tolist(), round(radius * _FINE * 16), shade, -1, cv2.LINE_AA, 4)

    cv2.fillPoly(fine, [at(_OUTLINE)], 170.0, cv2.LINE_AA, 4)
    kind = int(rng.integers(4)) if defect else -1
    filled = int(rng.integers(len(_HOLES))) if kind == 3 else -1
    for number, (x, y, radius) in enumerate(_HOLES):
        if number != filled:
            disc(x + rng.normal(0, 0.4), y + rng.normal(0, 0.4), radius + rng.normal(0, 0.25), 78.0)
    x, y = rng.uniform(-100, 100), rng.uniform(-24, 24)
    if kind == 0:
        way, length = rng.uniform(0, math.pi), rng.uniform(9, 16)
        end = (x + length * math.cos(way), y + length * math.sin(way))
        cv2.line(fine, *(one.tolist() for one in at([(x, y), end])), rng.choice([110.0, 220.0]), round(1.6 * _FINE), cv2.LINE_AA, 4)
    elif kind == 1:
        disc(x, y, rng.uniform(2.2, 3.5), rng.choice([100.0, 225.0]))
    elif kind == 2:
        disc(x, 30.0, rng.uniform(3.5, 5.5), 62.0)
    small = cv2.resize(fine, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    blotches = cv2.resize(rng.normal(0, 1, (12, 12)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    slope = np.linspace(-1, 1, SIDE, dtype=np.float32)[None] * rng.normal(0, 0.02)
    lit = small * (1 + rng.normal(0, 0.04) + slope + 0.01 * blotches)
    colours = np.stack([lit, 0.97 * lit + 2, 0.93 * lit + 5], axis=2) + rng.normal(0, 2.0, (SIDE, SIDE, 3))
    return np.clip(np.rint(colours), 0, 255).astype(np.uint8)


def _draw_all(folder: Path, seed: int) -> tuple[list[Path], list[Path], list[Path]]:
    """Write all pictures of a seed; return good ones to learn from, good ones and defective ones to inspect."""
    groups = []
    for group, (count, defect) in enumerate(((TAUGHT, False), (NORMALS, False), (DEFECTS, True))):
        paths = [folder / f"{group}-{number}.png" for number in range(count)]
        for number, path in enumerate(paths):
            picture = draw_part(np.random.default_rng((seed, group, number)), defect=defect)
            cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        groups.append(paths)
    return groups[0], groups[1], groups[2]


def _judge(taught: list[Path], normal: list[Path], defects: list[Path], reader: ImageReader, *, seed: int, radius: int | None) -> Found:
    """Fit on the taught pictures and score the others by the detector's native score."""

    def read(paths: list[Path]) -> list[Tensor]:
        """Return pictures as bytes."""
        return [torch.from_numpy(np.rint(reader.read(path) * 255).astype(np.uint8)) for path in tqdm(paths, desc="read", unit="image")]

    detector = train(PatchknnParams(strides=STRIDES, radius=radius, coreset=CORESET), read(taught), size=reader.size, seed=seed).detector
    score: Callable[[Tensor], float] = lambda image: float(detector.detect(floats(image)[None]).score_B[0])
    normal_N, defect_D = (np.array([score(image) for image in read(paths)]) for paths in (normal, defects))
    labels = np.repeat([0, 1], [len(normal_N), len(defect_D)])
    return Found(fpr=float((normal_N >= defect_D.min()).mean()), auroc=float(roc_auc_score(labels, np.concatenate([normal_N, defect_D]))))


def _figure(what: str, values: list[float], note: str, *, target: str = "") -> Figure:
    """Return a figure's mean and range."""
    value = statistics.mean(values)
    return Figure(what=what, target=target, value=value, spread=(min(values), max(values)), met=value <= TARGET if target else None, note=note)
