"""Fiducial marks: small patches of a reference, found again in an image, and the motion that takes one to the other.

Arithmetic on grey float32 arrays. A mark is a square patch around a place (x, y) of the reference, in pixels; anything
that stands still on the part and looks like nothing near it will do. Axes: H rows, W columns, N marks.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from zeromiss.images.registration import Kind, move, places, solve_motion

CANDIDATES = 3  # places a mark may lie at; which one it is, the other marks decide
_APART = 0.5  # share of a mark's side below which two candidates are one
_PASSES = 3  # times a picture is laid on the reference and its marks looked at again: patches turn with the part
_NEAR = 3  # pixels around its place in which a mark is looked for again

Candidates = list[tuple[np.ndarray, float]]  # places (x, y) and correlations, best first


@dataclass(frozen=True, kw_only=True)
class Located:
    """Marks as found: the motion, how alike each mark there is to the reference's, how far it lies off the motion."""

    motion: np.ndarray  # (2, 3), see registration
    correlation_N: np.ndarray  # in [-1, 1]
    candidates: tuple[Candidates, ...]  # at the first look, of each mark
    residual_N: np.ndarray  # pixels


def locate_marks(
    reference_HW: np.ndarray, image_HW: np.ndarray, marks_N2: np.ndarray, *, side: int, kind: Kind, reach: float, degrees: float
) -> Located:
    """Return the motion solved from the marks, patches of `side` (odd) pixels, of the reference as found in the image.

    Each mark is looked for up to `reach` pixels away, and as far as a turn of the picture by `degrees` takes it. Of the
    places where something like it lies, those are taken that fit one motion best. Sub-pixel: a parabola's peak, on the
    picture laid over the reference by the motion so far.
    """
    patches = [patch(reference_HW, mark, side) for mark in marks_N2]
    middle = (np.array(reference_HW.shape[::-1]) - 1) / 2
    lever_N = np.linalg.norm(marks_N2 - middle, axis=1) * math.sin(math.radians(degrees if kind == "euclidean" else 0.0))
    found = [peaks(image_HW, one, mark, reach=math.ceil(reach + lever)) for one, mark, lever in zip(patches, marks_N2, lever_N, strict=True)]
    _, motion = _best_fit(marks_N2, found, kind)
    for _ in range(_PASSES):
        laid = move(image_HW, motion)
        again = [peaks(laid, one, mark, reach=_NEAR)[0] for one, mark in zip(patches, marks_N2, strict=True)]
        target_N2 = places(motion, np.array([place for place, _ in again]))
        motion = solve_motion(marks_N2, target_N2, kind=kind)
    residual_N = np.linalg.norm(places(motion, marks_N2) - target_N2, axis=1)
    return Located(
        motion=motion,
        correlation_N=np.array([score for _, score in again]),
        candidates=tuple(found),
        residual_N=residual_N,
    )


def suspect(located: Located, marks_N2: np.ndarray, *, kind: Kind) -> int:
    """Return which mark is most likely not there: the one without which the others fit best, of two the one less alike."""
    if len(marks_N2) == 2:
        return int(np.argmin([candidates[0][1] for candidates in located.candidates]))
    without = (
        _best_fit(np.delete(marks_N2, k, axis=0), [one for i, one in enumerate(located.candidates) if i != k], kind)[0]
        for k in range(len(marks_N2))
    )
    return int(np.argmin(list(without)))


def _best_fit(marks_N2: np.ndarray, candidates: Sequence[Candidates], kind: Kind) -> tuple[float, np.ndarray]:
    """Return how badly those candidates fit, one a mark, that fit best, and their motion."""
    return min((_fit(marks_N2, choice, kind) for choice in itertools.product(*candidates)), key=lambda fit: fit[0])


def _fit(marks_N2: np.ndarray, choice: tuple[tuple[np.ndarray, float], ...], kind: Kind) -> tuple[float, np.ndarray]:
    """Return how badly candidates fit one motion and the reference's marks (lower = better), and the motion."""
    target_N2 = np.array([place for place, _ in choice])
    motion = solve_motion(marks_N2, target_N2, kind=kind)
    worst = float(np.linalg.norm(places(motion, marks_N2) - target_N2, axis=1).max())
    return worst - sum(score for _, score in choice), motion  # a pixel off weighs as much as the whole likeness of a mark


def patch(image_HW: np.ndarray, at_2: np.ndarray, side: int) -> np.ndarray:
    """Return the square of `side` (odd) pixels around a place (x, y), interpolated; beyond the edge the edge goes on."""
    return cv2.getRectSubPix(image_HW, (side, side), (float(at_2[0]), float(at_2[1])))


def peaks(image_HW: np.ndarray, patch_SS: np.ndarray, at_2: np.ndarray, *, reach: int) -> Candidates:
    """Return where a patch lies within `reach` pixels of a place: up to `CANDIDATES` places (x, y) and correlations, best first."""
    side = len(patch_SS)
    window = patch(image_HW, at_2, side + 2 * reach)
    scores = np.nan_to_num(cv2.matchTemplate(window, patch_SS, cv2.TM_CCOEFF_NORMED), posinf=0.0, neginf=0.0)
    left, found = scores.copy(), []
    while len(found) < CANDIDATES and (not found or left.max() > 0.0):
        row, column = np.unravel_index(int(left.argmax()), left.shape)
        offset = np.array([column + _vertex(scores[row], column), row + _vertex(scores[:, column], row)]) - reach
        found.append((at_2 + offset, float(scores[row, column])))
        apart = max(1, round(_APART * side))
        left[max(0, row - apart) : row + apart + 1, max(0, column - apart) : column + apart + 1] = -1.0
    return found


def _vertex(line: np.ndarray, at: int) -> float:
    """Return how far from a peak at `at` the vertex of the parabola through it and its neighbours lies, in [-0.5, 0.5]."""
    if not 0 < at < len(line) - 1:
        return 0.0
    before, peak, after = (float(value) for value in line[at - 1 : at + 2])
    bend = before - 2 * peak + after
    return float(np.clip((before - after) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0
