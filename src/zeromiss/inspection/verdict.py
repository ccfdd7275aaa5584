"""What an inspection says about one image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

NORMAL, ABNORMAL, ERROR = "normal", "abnormal", "error"


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A square part of the judged image in which original and reconstruction differ.

    Where a bundle aligns images, the judged image is the one laid over the reference: places are the reference's, and the
    verdict's `to_file` takes them to the file's own.

    x, y: column and row of its upper left pixel; size: pixels of its side; distance: squared distance of
    the two feature vectors, >= 0 (higher = more abnormal).
    """

    x: int
    y: int
    size: int
    distance: float


@dataclass(frozen=True, kw_only=True)
class ModelName:
    """The registered model that judged, or `bundle` and its digest where none is registered."""

    name: str
    version: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict on one image: abnormal where `score` >= `threshold`, both in [0, 1]."""

    path: str
    verdict: Literal["normal", "abnormal"]
    score: float  # composite anomaly score (higher = more abnormal)
    threshold: float
    probability: float | None = None  # of a defect, calibrated; None where the bundle has no curve. No verdict uses it
    patches: tuple[Patch, ...]  # the most distant first
    model: ModelName
    sha256: str  # of the image file's bytes
    width: int  # pixels of the image that was inspected; patches refer to it
    height: int
    to_file: tuple[tuple[float, float, float], tuple[float, float, float]] | None = None  # takes a place (x, y, 1) of it to that in the file, pixels

    def to_json(self) -> dict[str, Any]:
        """Return plain values: path, verdict, score, probability, threshold, patches, model, sha256, width, height, to_file."""
        return {
            "path": self.path,
            "verdict": self.verdict,
            "score": self.score,
            "probability": self.probability,
            "threshold": self.threshold,
            "patches": [vars(patch) for patch in self.patches],
            "model": vars(self.model),
            "sha256": self.sha256,
            "width": self.width,
            "height": self.height,
            "to_file": None if self.to_file is None else [list(row) for row in self.to_file],
        }


def plain_matrix(matrix: Sequence[Sequence[float]]) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return a matrix (2, 3) as plain numbers."""
    return tuple(tuple(float(value) for value in row) for row in matrix)


def to_patches(boxes_Q4: Sequence[Sequence[int]], distances_Q: Sequence[float]) -> tuple[Patch, ...]:
    """Return boxes (x0, y0, x1, y1), half open, as squares, in the same order.

    A box that the image's border has clipped is not square: its square keeps the upper left corner and
    takes the longer side, so that it always holds the whole box.
    """
    pairs = zip(boxes_Q4, distances_Q, strict=True)
    return tuple(
        Patch(x=int(x0), y=int(y0), size=int(max(x1 - x0, y1 - y0)), distance=float(distance))
        for (x0, y0, x1, y1), distance in pairs
    )


def decide(score: float, threshold: float) -> Literal["normal", "abnormal"]:
    """Return `abnormal` where the score is at or above the threshold."""
    return ABNORMAL if score >= threshold else NORMAL
