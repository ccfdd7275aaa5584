"""Perceptual hashes of small grey copies: which photographs may show the same part, found among all pairs.

A hash is made of the signs of low DCT frequencies of the local contrast, each against its median over the product's images: what
all images share, the design of the part, falls out of it, and so does the exposure. Where the images share a structure they are
laid over a typical one first, and of look-alikes only those go on whose copies still correlate once the median and the leading modes
of variation are taken away. Where they share none, the hashes of shifted and turned copies are compared too.

Axes: N images, H rows, W columns, B bits, P pairs.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import sched_getaffinity
from typing import Any

import cv2
import numpy as np
from scipy.fft import dct

from zeromiss.images.registration import find_motion, move

SIDE = 64  # pixels of a copy
SHARED = 0.5  # median correlation with the typical image above which the images share a structure
NEIGHBOURS = 10  # nearest hashes of an image that are looked at
RESIDUAL = 0.3  # least correlation of what the leading modes leave of two copies, where the images share a structure
MODES = 8  # of variation that are taken away; fewer of few images, so that one part's photographs are not among them
NEAR = {True: 0.45, False: 0.28}  # largest share of differing bits of a candidate, by whether the images share a structure
FREQUENCY = 12.0  # highest frequency of the hash, in half periods a side
_LIMITS = {"shift": 0.1, "degrees": 3.0}  # of motions against the typical image
_TURNS, _SHIFTS = (-2.5, 0.0, 2.5), (-3.0, 0.0, 3.0)  # degrees, and pixels of a copy, that are tried where nothing is shared
_SAMPLE = 500  # images among which the typical one is chosen
_ASKED = 64  # images that are asked whether they share the typical one's structure
_RIM = 4  # pixels of a copy that are not compared: what a motion brings in there was not seen
_BLOCK = 128  # images compared with all others at a time
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 1e-4)


@dataclass(frozen=True, kw_only=True)
class Copies:
    """Local contrast of small copies, float32, laid over the typical image where the product's images share a structure."""

    contrast_NHW: np.ndarray
    motions: list[np.ndarray] | None  # of each copy against the typical one, (2, 3) as in `registration`; None: nothing is shared


def in_threads(function: Callable[[Any], Any], items: Sequence[Any], *, title: str, unit: str) -> list[Any]:
    """Return what `function` makes of each item, in order, over as many threads as there are processors, with a bar."""
    from tqdm import tqdm  # late, as in `workers`

    with ThreadPoolExecutor(len(sched_getaffinity(0))) as pool:
        return list(tqdm(pool.map(function, items), total=len(items), desc=title, unit=unit, dynamic_ncols=True))


def lay_over_typical(contrast_NHW: np.ndarray) -> Copies:
    """Return the copies laid over the one nearest to their mean if most of them correlate with it, else as they are.

    contrast_NHW: `local_contrast` of grey copies of `SIDE` pixels. Motions are affine, so that another zoom is found too.
    """
    sample_NHW = contrast_NHW[:: -(-len(contrast_NHW) // _SAMPLE)]
    typical_HW = sample_NHW[np.square(sample_NHW - sample_NHW.mean(axis=0)).sum(axis=(1, 2)).argmin()]
    asked_NHW = contrast_NHW[:: -(-len(contrast_NHW) // _ASKED)]
    if np.median([_motion(typical_HW, copy_HW)[1] for copy_HW in asked_NHW]) < SHARED:
        return Copies(contrast_NHW=contrast_NHW, motions=None)
    title = "lay over a typical image"
    motions = in_threads(lambda copy_HW: _motion(typical_HW, copy_HW)[0], contrast_NHW, title=title, unit="image")
    laid_NHW = np.stack([move(copy_HW, motion) for copy_HW, motion in zip(contrast_NHW, motions, strict=True)])
    return Copies(contrast_NHW=laid_NHW, motions=motions)


def candidate_pairs(copies: Copies, part_N: np.ndarray) -> np.ndarray:
    """Return the pairs that may show the same part, the likeliest first: index of both images, and differing bits, int (P, 3).

    Each image's `NEIGHBOURS` nearest of other parts (`part_N`: numbers) by Hamming distance, where no more than the share `NEAR` of the
    bits differs, and `RESIDUAL`. All pairs are compared, in blocks: memory grows with the number of images, not with its square.
    """
    pairs_P3 = _nearest(copies, part_N)
    if copies.motions is None or not len(pairs_P3):
        return pairs_P3[np.argsort(pairs_P3[:, 2], kind="stable")]
    residual_NV = residuals(copies.contrast_NHW)
    correlation_P = np.array([residual_NV[first] @ residual_NV[second] for first, second, _ in pairs_P3])
    order_P = np.argsort(-correlation_P, kind="stable")
    return pairs_P3[order_P[correlation_P[order_P] >= RESIDUAL]]


def residuals(contrast_NHW: np.ndarray) -> np.ndarray:
    """Return what the median copy and the leading modes of variation leave of each copy, rims left out, of length 1, float32 (N, V)."""
    inner_NV = contrast_NHW[:, _RIM:-_RIM, _RIM:-_RIM].reshape(len(contrast_NHW), -1)
    off_NV = inner_NV - np.median(inner_NV, axis=0)
    off_NV -= off_NV.mean(axis=1, keepdims=True)
    sample_SV = off_NV[:: -(-len(off_NV) // _SAMPLE)]
    modes_MV = np.linalg.svd(sample_SV, full_matrices=False)[2][: min(MODES, len(off_NV) // 20)]
    off_NV -= (off_NV @ modes_MV.T) @ modes_MV
    return off_NV / np.maximum(np.linalg.norm(off_NV, axis=1, keepdims=True), 1e-9)


def _nearest(copies: Copies, part_N: np.ndarray) -> np.ndarray:
    """Return the pairs that are near by their hashes, as `candidate_pairs`."""
    coefficients_NB = _coefficients(copies.contrast_NHW)
    median_B = np.median(coefficients_NB, axis=0)
    hashes_NW = _packed(coefficients_NB > median_B)
    shared = copies.motions is not None
    variants = [hashes_NW] if shared else [_packed(_coefficients(_moved(copies.contrast_NHW, motion)) > median_B) for motion in _variants()]
    limit = NEAR[shared] * len(median_B)
    found: dict[tuple[int, int], int] = {}
    for start in range(0, len(hashes_NW), _BLOCK):
        distance_MN = np.minimum.reduce([_hamming(hashes_NW[start : start + _BLOCK], moved_NW) for moved_NW in variants])
        rows = np.arange(len(distance_MN))
        distance_MN[part_N[start : start + _BLOCK, None] == part_N] = len(median_B) + 1  # nobody asks about images of one part
        keys_MN = distance_MN.astype(np.int64) * len(hashes_NW) + np.arange(len(hashes_NW))  # of equals the first
        nearest_MK = np.argpartition(keys_MN, min(NEIGHBOURS, len(hashes_NW) - 1), axis=1)[:, :NEIGHBOURS]
        for row, other in zip(np.repeat(rows, nearest_MK.shape[1]), nearest_MK.ravel(), strict=True):
            if (distance := int(distance_MN[row, other])) <= limit:
                pair = (min(start + int(row), int(other)), max(start + int(row), int(other)))
                found[pair] = min(distance, found.get(pair, distance))
    return np.array([(*pair, distance) for pair, distance in sorted(found.items())], dtype=np.int64).reshape(-1, 3)


def _motion(typical_HW: np.ndarray, copy_HW: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the affine motion of a copy against the typical one, and their correlation; no motion and 0 where none is found."""
    found = find_motion(typical_HW, copy_HW, kind="euclidean", **_LIMITS)
    if found is None:
        return np.eye(2, 3), 0.0
    motion, correlation = found
    try:
        correlation, affine = cv2.findTransformECC(typical_HW, copy_HW, motion.astype(np.float32), cv2.MOTION_AFFINE, _STOP, None, 3)
    except cv2.error:
        return motion, correlation
    return affine.astype(np.float64), float(correlation)


def _coefficients(contrast_NHW: np.ndarray) -> np.ndarray:
    """Return the DCT coefficients of low frequency, the mean's left out, float32 (N, B)."""
    count = int(FREQUENCY) + 1
    basis_FH = dct(np.eye(SIDE, dtype=np.float32), axis=0, norm="ortho")[:count]
    low = np.hypot(*np.mgrid[:count, :count])
    return (basis_FH @ contrast_NHW @ basis_FH.T)[:, (low > 0) & (low <= FREQUENCY)]


def _variants() -> list[np.ndarray]:
    """Return the motions that are tried where the images share no structure."""
    turns = [cv2.getRotationMatrix2D(((SIDE - 1) / 2, (SIDE - 1) / 2), turn, 1.0) for turn in _TURNS]
    return [turn + np.array([[0.0, 0.0, x], [0.0, 0.0, y]]) for turn in turns for x in _SHIFTS for y in _SHIFTS]


def _moved(contrast_NHW: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Return every copy moved."""
    return np.stack([move(copy_HW, motion) for copy_HW in contrast_NHW])


def _packed(bits_NB: np.ndarray) -> np.ndarray:
    """Return bits as 64-bit words, (N, words)."""
    bytes_N8 = np.packbits(bits_NB, axis=1)
    return np.ascontiguousarray(np.pad(bytes_N8, ((0, 0), (0, -bytes_N8.shape[1] % 8)))).view(np.uint64)


def _hamming(a_MW: np.ndarray, b_NW: np.ndarray) -> np.ndarray:
    """Return the number of differing bits of all pairs, (M, N) int16."""
    distance_MN = np.zeros((len(a_MW), len(b_NW)), dtype=np.int16)
    for word in range(a_MW.shape[1]):
        distance_MN += np.bitwise_count(a_MW[:, word, None] ^ b_NW[None, :, word])
    return distance_MN
