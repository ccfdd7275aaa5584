"""Where a picture lies on another: arithmetic of shifts and turns on grey float32 arrays.

A motion is a float64 matrix (2, 3) that maps a place (x, y) of the reference to the place of the same thing in the
image, in pixels, pixel centres at whole numbers: `move` lays the image over the reference by it. Axes: H rows, W columns.
"""

import math
from typing import Literal

import cv2
import numpy as np

Kind = Literal["translation", "euclidean"]

COARSE_SIDE = 64  # pixels of the longer side on which all shifts and turns are tried
_AROUND, _CALM, _MOST = 1 / 16, 0.04, 2.5  # local contrast: sigma (share of the longer side), what a deviation is at least, most of it that counts
_STEP = 1.0  # degrees between two turns tried
_BEYOND = 1.25  # how far beyond the limits is looked, so that what lies beyond them is found there and not at their edge
_LEVELS = (128,)  # longer sides refined on before the picture's own
_SMOOTHING = 5  # pixels of the filter before each refinement
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-5)
_ECC = {"translation": cv2.MOTION_TRANSLATION, "euclidean": cv2.MOTION_EUCLIDEAN}


def find_motion(
    reference_HW: np.ndarray, image_HW: np.ndarray, *, kind: Kind, shift: float, degrees: float
) -> tuple[np.ndarray, float] | None:
    """Return the motion of an image of the reference's size and the correlation in [-1, 1] of the two once aligned.

    All shifts up to `shift` (share of the longer side) and turns up to `degrees` are tried on small copies; the best
    is refined by maximising the enhanced correlation coefficient (ECC), coarse to fine, to fractions of a pixel.
    None where that does not converge: one of the two is flat, or they have nothing in common.
    """
    motion = coarse_motion(reference_HW, image_HW, shift=shift, degrees=degrees if kind == "euclidean" else 0.0)
    longer = max(reference_HW.shape)
    correlation = 0.0
    for side in (*(side for side in _LEVELS if side < longer), longer):
        reference, image = shrink(reference_HW, side), shrink(image_HW, side)
        matrix = rescale(motion, reference_HW.shape, reference.shape).astype(np.float32)
        if kind == "translation":
            matrix[:, :2] = np.eye(2)
        try:
            correlation, matrix = cv2.findTransformECC(reference, image, matrix, _ECC[kind], _STOP, None, _SMOOTHING)
        except cv2.error:
            return None
        if not np.isfinite(matrix).all():
            return None
        motion = rescale(matrix.astype(np.float64), reference.shape, reference_HW.shape)
    return motion, float(correlation)


def local_contrast(image_HW: np.ndarray) -> np.ndarray:
    """Return by how many local deviations each pixel of an image in [0, 1] differs from what is around it, clipped, float32.

    The lamp falls out of it, and a defect, however bright, weighs no more than another edge: it cannot drag a picture along.
    """
    sigma = _AROUND * max(image_HW.shape)
    off_HW = image_HW - cv2.GaussianBlur(image_HW, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    deviation_HW = np.sqrt(cv2.GaussianBlur(off_HW * off_HW, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE))
    return np.clip(off_HW / (deviation_HW + np.float32(_CALM)), -_MOST, _MOST)


def coarse_motion(reference_HW: np.ndarray, image_HW: np.ndarray, *, shift: float, degrees: float) -> np.ndarray:
    """Return the best of all whole-pixel shifts and whole-degree turns of small copies, by normalised correlation."""
    reference, image = shrink(reference_HW, COARSE_SIDE), shrink(image_HW, COARSE_SIDE)
    height, width = reference.shape
    reach = math.ceil(_BEYOND * shift * max(height, width)) + 1
    padded = cv2.copyMakeBorder(image, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    turns = math.ceil(_BEYOND * degrees / _STEP) if degrees else 0
    best, found = -np.inf, np.eye(2, 3)
    for angle in _STEP * np.arange(-turns, turns + 1):
        turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), float(angle), 1.0)
        turned = cv2.warpAffine(reference, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        scores = cv2.matchTemplate(padded, turned, cv2.TM_CCOEFF_NORMED)
        _, score, _, (x, y) = cv2.minMaxLoc(scores)
        if score > best:
            best, found = score, turn + np.array([[0, 0, x - reach], [0, 0, y - reach]])
    return rescale(found, reference.shape, reference_HW.shape)


def solve_motion(from_N2: np.ndarray, to_N2: np.ndarray, *, kind: Kind) -> np.ndarray:
    """Return the motion that takes points to points with the least squared distance left; two or more for `euclidean`."""
    start, end = from_N2.mean(axis=0), to_N2.mean(axis=0)
    cosine, sine = 1.0, 0.0
    if kind == "euclidean":
        a, b = (from_N2 - start) @ np.array([1, 1j]), (to_N2 - end) @ np.array([1, 1j])
        turn = (np.conj(a) * b).sum()
        cosine, sine = (turn.real / abs(turn), turn.imag / abs(turn)) if abs(turn) > 0 else (1.0, 0.0)
    rotation = np.array([[cosine, -sine], [sine, cosine]])
    return np.column_stack([rotation, end - rotation @ start])


def places(motion: np.ndarray, points_N2: np.ndarray) -> np.ndarray:
    """Return where a motion takes points (x, y), (N, 2)."""
    return points_N2 @ motion[:, :2].T + motion[:, 2]


def degrees_of(motion: np.ndarray) -> float:
    """Return the turn of a motion in degrees, clockwise as seen on a screen."""
    return math.degrees(math.atan2(motion[1, 0], motion[0, 0]))


def shift_of(motion: np.ndarray, shape: tuple[int, ...]) -> float:
    """Return how far a motion takes the middle of a picture (H, W), as a share of its longer side."""
    middle = np.array([[(shape[1] - 1) / 2, (shape[0] - 1) / 2]])
    return float(np.linalg.norm(places(motion, middle) - middle)) / max(shape)


def shrink(image_HW: np.ndarray, side: int) -> np.ndarray:
    """Return a copy whose longer side has `side` pixels (area averages), the image itself where it has no more."""
    longer = max(image_HW.shape)
    if longer <= side:
        return image_HW
    height, width = (max(1, round(length * side / longer)) for length in image_HW.shape)
    return cv2.resize(image_HW, (width, height), interpolation=cv2.INTER_AREA)


def rescale(motion: np.ndarray, have: tuple[int, ...], want: tuple[int, ...]) -> np.ndarray:
    """Return the motion between pictures of the shape `have` for the same pictures in the shape `want`, both (H, W)."""
    scale = np.diag([want[1] / have[1], want[0] / have[0], 1.0])
    scale[:2, 2] = (scale[[0, 1], [0, 1]] - 1) / 2  # pixel centres, not corners, lie at whole numbers
    whole = scale @ np.vstack([motion, [0, 0, 1]]) @ np.linalg.inv(scale)
    return whole[:2]


def move(image_HWC: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Return the image laid over the reference, float32, by cubic interpolation; beyond its edge the edge goes on."""
    height, width = image_HWC.shape[:2]
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image_HWC, motion, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def scaling(have: tuple[int, ...], want: tuple[int, ...], *, after: np.ndarray) -> np.ndarray:
    """Return the matrix (2, 3) that does what `after` does and then takes places of a picture (H, W) to those of it in the shape `want`."""
    scale = np.array([want[1] / have[1], want[0] / have[0]])
    return np.column_stack([scale[:, None] * after[:, :2], scale * after[:, 2] + (scale - 1) / 2])
