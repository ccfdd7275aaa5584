"""Do two photographs show the same part, or two parts of one design?

ORB features with RANSAC find how the second lies against the first: a shift, a turn, a zoom, all small. What two parts of one
design share says nothing, and the features may lie on it. So the two are compared by what is left of their fine structure once all
that other images of the product explain is taken out of it (a panel of images laid over the first one, least squares): scratches,
grain, fibres, solder. The same part correlates there in every place; two parts do not. How high two different parts correlate is
measured on the panel's own pairs.

Axes: H rows, W columns, K images of the panel, V pixels that both photographs show.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from zeromiss.images.registration import degrees_of, move, rescale, shift_of

SIDE = 256  # pixels of a photograph here
MIN_CORRELATION, MAX_CORRELATION = 0.7, 0.9  # bounds of the threshold
DEVIATIONS = 5.0  # of different parts' correlations, above their mean, that the threshold lies
MIN_PANEL = 4  # images that must be left of the panel where a structure is shared: fewer do not tell what parts share
MIN_INLIERS, MIN_INLIER_SHARE = 12, 0.25  # of matched features, that agree on one motion
_MAX_SHIFT, _MAX_DEGREES, _MAX_ZOOM = 0.2, 10.0, 1.15  # of one photograph against the other; the shift as a share of the side
_MIN_OVERLAP = 0.5  # share of the pixels that both show
_PATCHY = 0.6  # share of the threshold that three quarters of the fields must reach: the same part agrees everywhere
_FIELD, _BORDER = 32, 8  # pixels of a field's side, and of the rim that is left out
_FINE, _COARSE, _GRAIN = 0.8, 4.0, 0.004  # fine structure: sigmas in pixels, and deviation in [0, 1] below which it is noise
_FEATURES, _RANSAC_PX = 500, 2.0
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 1e-4)
_RIDGE = 1e-3
_KEPT = 256  # photographs held in memory at once


class Features(NamedTuple):
    """What is compared of a photograph: places (F, 2) and descriptors (F, 32) of its features, its fine structure (SIDE, SIDE)."""

    places_F2: np.ndarray
    descriptors_FD: np.ndarray | None
    fine_HW: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How two photographs compare once one is laid over the other; correlations in [-1, 1], higher = more surely the same part."""

    inliers: int  # features that agree on the motion
    shift: float  # of the middle, share of the side
    degrees: float  # clockwise
    zoom: float
    correlation: float  # of what the panel does not explain
    lower_quarter: float  # of the fields' correlations


class PartComparer:
    """Compares photographs of one product by index; may be used by threads."""

    def __init__(self, read: Callable[[int], np.ndarray], motions: Sequence[np.ndarray] | None, panel: Sequence[int]) -> None:
        """Name the panel, different parts all of them, as far as is known.

        read: returns an image by index, float32 grey (SIDE, SIDE) in [0, 1]. motions: of each image against one typical image,
        on copies of `perceptual_hash.SIDE` pixels, None where images share no structure.
        """
        self._features = lru_cache(_KEPT)(lambda index: describe(read(index)))
        self._motions = motions
        self._panel = list(panel)

    def compare(self, first: int, second: int, skip: frozenset[int] = frozenset()) -> Comparison | None:
        """Compare two photographs; None where no small motion lays one over the other, or the panel is too small.

        skip: of the panel, what may show the part too.
        """
        a, b = self._features(first), self._features(second)
        starts = [] if self._motions is None else [(self._by_typical(first, second), 0)]
        motion, inliers = match_features(a, b)
        if motion is not None:
            starts.append((motion, inliers))
        refined = [(*refine(a.fine_HW, b.fine_HW, start), inliers) for start, _ in starts if _is_small(start)]
        refined = [(score, found) for found, score, _ in refined if found is not None and _is_small(found)]
        if not refined or motion is None:
            return None
        _, motion = max(refined, key=lambda one: one[0])
        return self._compare(first, second, motion, inliers, skip)

    def threshold(self, pairs: int) -> float:
        """Return the correlation from which two photographs are called the same part, from that of the panel's pairs."""
        panel = self._panel
        if self._motions is None or len(panel) < 4:
            return MIN_CORRELATION
        found = []
        for number in range(min(pairs, len(panel))):
            first, second = panel[number], panel[(number + 1) % len(panel)]
            a, b = self._features(first), self._features(second)
            motion, _ = refine(a.fine_HW, b.fine_HW, self._by_typical(first, second))
            if motion is not None and _is_small(motion):
                one = self._compare(first, second, motion, 0, frozenset())
                found += [] if one is None else [one.correlation]
        if len(found) < 4:
            return MIN_CORRELATION
        return float(np.clip(np.mean(found) + DEVIATIONS * np.std(found, ddof=1), MIN_CORRELATION, MAX_CORRELATION))

    def _by_typical(self, first: int, second: int) -> np.ndarray:
        """Return the motion of the second photograph against the first by way of the typical image."""
        a, b = (np.vstack([self._motions[index], [0.0, 0.0, 1.0]]) for index in (first, second))
        return rescale((b @ np.linalg.inv(a))[:2], (64, 64), (SIDE, SIDE))

    def _compare(self, first: int, second: int, motion: np.ndarray, inliers: int, skip: frozenset[int]) -> Comparison | None:
        """Compare two photographs at a known motion."""
        seen_HW = _seen(motion)
        if seen_HW.mean() < _MIN_OVERLAP:
            return None
        others = [index for index in self._panel if index not in skip and index not in (first, second)]
        if self._motions is not None and len(others) < MIN_PANEL:
            return None
        pair_2V = np.stack([self._features(first).fine_HW[seen_HW], move(self._features(second).fine_HW, motion)[seen_HW]])
        laid = [self._features(index).fine_HW if self._motions is None else move(self._features(index).fine_HW, self._by_typical(first, index)) for index in others]
        own_2V = unexplained(pair_2V, np.array([one_HW[seen_HW] for one_HW in laid]).reshape(len(laid), -1))
        whole, lower = correlations(own_2V, seen_HW)
        return Comparison(
            inliers=inliers, shift=shift_of(motion, (SIDE, SIDE)), degrees=degrees_of(motion), zoom=_zoom(motion), correlation=whole, lower_quarter=lower
        )


def is_same_part(comparison: Comparison | None, threshold: float) -> bool:
    """Return whether a comparison shows the same part: as a whole, and in three quarters of its fields."""
    return comparison is not None and comparison.correlation >= threshold and comparison.lower_quarter >= _PATCHY * threshold


def describe(grey_HW: np.ndarray) -> Features:
    """Return what is compared of a photograph, float32 grey (SIDE, SIDE) in [0, 1]."""
    levels_HW = cv2.normalize(grey_HW, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    orb = cv2.ORB_create(_FEATURES, edgeThreshold=15, patchSize=21, fastThreshold=5)
    places, descriptors_FD = orb.detectAndCompute(levels_HW, None)
    return Features(np.float32([place.pt for place in places]).reshape(-1, 2), descriptors_FD, fine_structure(grey_HW))


def fine_structure(grey_HW: np.ndarray) -> np.ndarray:
    """Return the structure of 1 to 4 pixels of an image in [0, 1], in units of its own deviation nearby: exposure falls out of it."""
    band_HW = cv2.GaussianBlur(grey_HW, (0, 0), _FINE) - cv2.GaussianBlur(grey_HW, (0, 0), _COARSE)
    return band_HW / (np.sqrt(cv2.GaussianBlur(band_HW * band_HW, (0, 0), 2 * _COARSE)) + np.float32(_GRAIN))


def match_features(a: Features, b: Features) -> tuple[np.ndarray | None, int]:
    """Return the motion, shift, turn and zoom, that most matched features agree on, and how many do; None where too few do."""
    if a.descriptors_FD is None or b.descriptors_FD is None:
        return None, 0
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(a.descriptors_FD, b.descriptors_FD)
    if len(matches) < MIN_INLIERS:
        return None, 0
    from_N2, to_N2 = (places[[getattr(match, side) for match in matches]] for places, side in ((a.places_F2, "queryIdx"), (b.places_F2, "trainIdx")))
    motion, inlier_N1 = cv2.estimateAffinePartial2D(from_N2, to_N2, method=cv2.RANSAC, ransacReprojThreshold=_RANSAC_PX, maxIters=500)
    inliers = 0 if motion is None else int(inlier_N1.sum())
    return (motion, inliers) if inliers >= max(MIN_INLIERS, MIN_INLIER_SHARE * len(matches)) else (None, inliers)


def refine(a_HW: np.ndarray, b_HW: np.ndarray, start: np.ndarray) -> tuple[np.ndarray | None, float]:
    """Return the affine motion near `start` that lays fine structure b over a best, and their correlation; None where none does."""
    try:
        score, motion = cv2.findTransformECC(a_HW, b_HW, start.astype(np.float32), cv2.MOTION_AFFINE, _STOP, None, 7)
    except cv2.error:
        return None, 0.0
    return (motion.astype(np.float64), float(score)) if np.isfinite(motion).all() else (None, 0.0)


def unexplained(pair_2V: np.ndarray, panel_KV: np.ndarray) -> np.ndarray:
    """Return what is left of both photographs once their best combination of the panel's images is taken away, means too."""
    pair_2V = pair_2V - pair_2V.mean(axis=1, keepdims=True)
    if not len(panel_KV):
        return pair_2V
    panel_KV = panel_KV - panel_KV.mean(axis=1, keepdims=True)
    gram_KK = (panel_KV @ panel_KV.T).astype(np.float64)
    gram_KK += np.eye(len(gram_KK)) * (_RIDGE * np.trace(gram_KK) / len(gram_KK) + 1e-9)
    weights_K2 = np.linalg.solve(gram_KK, (panel_KV @ pair_2V.T).astype(np.float64))
    return pair_2V - weights_K2.T.astype(np.float32) @ panel_KV


def correlations(own_2V: np.ndarray, seen_HW: np.ndarray) -> tuple[float, float]:
    """Return the correlation of two rows, and the lower quarter of those of the fields that are mostly seen."""
    own_2HW = np.zeros((2, SIDE, SIDE), dtype=np.float32)
    own_2HW[:, seen_HW] = own_2V
    sums = [_fields(one_HW) for one_HW in (own_2HW[0] * own_2HW[1], own_2HW[0] ** 2, own_2HW[1] ** 2, seen_HW.astype(np.float32))]
    product, first, second, seen = sums
    by_field = (product / np.sqrt(first * second + 1e-9))[seen > 0.5 * _FIELD**2]
    whole = float(product.sum() / np.sqrt(first.sum() * second.sum() + 1e-9))
    return whole, float(np.quantile(by_field, 0.25)) if len(by_field) else 0.0


def _fields(values_HW: np.ndarray) -> np.ndarray:
    """Return the sum of each field."""
    count = SIDE // _FIELD
    return values_HW.reshape(count, _FIELD, count, _FIELD).sum(axis=(1, 3), dtype=np.float64)


def _seen(motion: np.ndarray) -> np.ndarray:
    """Return which pixels of the first photograph the second shows too, away from the rims, bool (SIDE, SIDE)."""
    inside_HW = np.zeros((SIDE, SIDE), dtype=np.float32)
    inside_HW[_BORDER:-_BORDER, _BORDER:-_BORDER] = 1.0
    moved_HW = cv2.warpAffine(inside_HW, motion, (SIDE, SIDE), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
    return (moved_HW > 0) & (inside_HW > 0)


def _zoom(motion: np.ndarray) -> float:
    """Return the zoom of a motion, the root of its change of area."""
    return float(np.sqrt(abs(np.linalg.det(motion[:, :2]))))


def _is_small(motion: np.ndarray) -> bool:
    """Return whether a motion is one that the same part may have made between two photographs."""
    zoom = _zoom(motion)
    return 1 / _MAX_ZOOM <= zoom <= _MAX_ZOOM and abs(degrees_of(motion)) <= _MAX_DEGREES and shift_of(motion, (SIDE, SIDE)) <= _MAX_SHIFT
