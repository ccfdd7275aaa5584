"""Distances between a patch of an image and of its reconstruction (paper 1, section 3.2).

A patch's vector is the pixel values of all its channels, in [0, 1]. Every distance is at least 0 and
higher = more abnormal. Computed in float64. Axes: Q patches, C channels, A pixels of a padded patch,
N = C * A values.

Where a formula is undefined it has one value, never NaN:

| distance            | case                                             | value                      |
|---------------------|--------------------------------------------------|----------------------------|
| Bray-Curtis         | all values of both patches are 0                 | 0                          |
| Canberra            | a pair of values that are both 0                 | adds 0                     |
| cosine              | both patches all 0                               | 0                          |
| cosine              | one patch all 0                                  | 1                          |
| correlation         | both patches constant (std <= 1e-6)              | 0                          |
| correlation         | one patch constant                               | 1                          |
| SSIM                | one-pixel patch, which has no sample covariance  | (co)variances taken as 0   |
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from zeromiss.metrics.patches import Patches, cut_patches, longest_sides, with_room

DISTANCES = (
    "frechet",
    "ssim",
    "braycurtis",
    "canberra",
    "euclidean",
    "cosine",
    "wasserstein",
    "hamming",
    "minkowski",
    "chebyshev",
    "cityblock",
    "correlation",
    "jensenshannon",
)
CONSTANT_STD = 1e-6  # far below half a step of an 8-bit value (0.002)
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2  # for a data range of 1
TINY = 1e-300  # divisor in place of 0: the dividend is then 0 too
BINS = 32  # of the Jensen-Shannon histograms, over [0, 1]
CHUNK = 32_768  # values at a time: they stay in a core's own cache


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Sums over a patch's pixels, a channel at a time: of x, y, x^2, y^2 and x * y, each (Q, C)."""

    x: np.ndarray
    y: np.ndarray
    xx: np.ndarray
    yy: np.ndarray
    xy: np.ndarray

    def total(self) -> "Moments":
        """Return the sums over all channels, each (Q,)."""
        return Moments(**{name: getattr(self, name).sum(axis=1) for name in ("x", "y", "xx", "yy", "xy")})

    def covariances(self, count: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the population variances of x and of y and their covariance, over `count` values."""
        mean_x, mean_y = self.x / count, self.y / count
        variance_x = np.maximum(self.xx / count - mean_x**2, 0.0)
        variance_y = np.maximum(self.yy / count - mean_y**2, 0.0)
        return variance_x, variance_y, self.xy / count - mean_x * mean_y


@dataclass(frozen=True, kw_only=True)
class Gaps:
    """What is read off a patch's values one by one, each (Q,) but the histograms; gap = |x - y|."""

    total: np.ndarray  # sum of the gaps
    squared: np.ndarray
    cubed: np.ndarray
    largest: np.ndarray
    relative: np.ndarray  # sum of gap / (x + y)
    ranked: np.ndarray  # sum of the gaps between the sorted values
    unequal: np.ndarray  # values that differ once rounded to 8 bits
    shares_QK: np.ndarray  # of x's values in equal bins over [0, 1]
    shares_hat_QK: np.ndarray


def _moments(patches: Patches) -> Moments:
    """Return the per-channel sums of every patch.

    They depend, in their last bits, on how wide the padding is, and differences of them may cancel: an
    image's patches are all padded alike.
    """
    x_QCA, y_QCA = patches.x_QCA.astype(np.float64), patches.x_hat_QCA.astype(np.float64)
    return Moments(
        x=x_QCA.sum(axis=2),
        y=y_QCA.sum(axis=2),
        xx=np.vecdot(x_QCA, x_QCA),
        yy=np.vecdot(y_QCA, y_QCA),
        xy=np.vecdot(x_QCA, y_QCA),
    )


def _gaps(patches: Patches) -> Gaps:
    """Return the sums over the values of every patch; those of the padding are 0."""
    rows = len(patches.area_Q)
    x_QN, y_QN = patches.x_QCA.reshape(rows, -1), patches.x_hat_QCA.reshape(rows, -1)
    wide_x_QN, wide_y_QN = x_QN.astype(np.float64), y_QN.astype(np.float64)
    gap_QN = np.abs(wide_x_QN - wide_y_QN)
    squared_QN = gap_QN * gap_QN
    # Padding is 0 and equally long on both sides: it sorts before every other value and its gaps are 0.
    ranked_QN = np.abs(np.sort(x_QN, axis=1) - np.sort(y_QN, axis=1))
    return Gaps(
        total=gap_QN.sum(axis=1),
        squared=squared_QN.sum(axis=1),
        cubed=np.vecdot(squared_QN, gap_QN),
        largest=gap_QN.max(axis=1),
        relative=(gap_QN / np.maximum(wide_x_QN + wide_y_QN, TINY)).sum(axis=1),
        ranked=ranked_QN.sum(axis=1, dtype=np.float64),
        unequal=np.count_nonzero(np.rint(x_QN * 255) != np.rint(y_QN * 255), axis=1),
        shares_QK=_shares(x_QN, patches.count_Q),
        shares_hat_QK=_shares(y_QN, patches.count_Q),
    )


def _shares(values_QN: np.ndarray, count_Q: np.ndarray) -> np.ndarray:
    """Return the (Q, BINS) shares of a patch's values in equal bins over [0, 1]; 1 is in the last bin."""
    rows = len(values_QN)
    slot_QN = (values_QN * BINS).astype(np.intp)
    slot_QN += np.arange(rows)[:, None] * (BINS + 1)
    counts_QK = np.bincount(slot_QN.ravel(), minlength=rows * (BINS + 1)).reshape(rows, BINS + 1)
    counts_QK[:, BINS - 1] += counts_QK[:, BINS]  # the value 1
    counts_QK[:, 0] -= slot_QN.shape[1] - count_Q  # the padding, which is 0
    return counts_QK[:, :BINS] / count_Q[:, None]


def _frechet(total: Moments, count_Q: np.ndarray) -> np.ndarray:
    """Squared Frechet distance of the normals fitted to pixel values: (m1 - m2)^2 + (s1 - s2)^2."""
    variance_x, variance_y, _ = total.covariances(count_Q)
    return ((total.x - total.y) / count_Q) ** 2 + (np.sqrt(variance_x) - np.sqrt(variance_y)) ** 2


def _ssim(moments: Moments, area_Q: np.ndarray) -> np.ndarray:
    """1 - SSIM with the patch as the window: sample (co)variances, a channel at a time, then their mean."""
    area_Q1 = area_Q[:, None].astype(np.float64)
    to_sample = area_Q1 / np.maximum(area_Q1 - 1, 1)
    variance_x, variance_y, covariance = (to_sample * value for value in moments.covariances(area_Q1))
    mean_x, mean_y = moments.x / area_Q1, moments.y / area_Q1
    luminance = (2 * mean_x * mean_y + SSIM_C1) / (mean_x**2 + mean_y**2 + SSIM_C1)
    structure = (2 * covariance + SSIM_C2) / (variance_x + variance_y + SSIM_C2)
    return np.clip(1.0 - (luminance * structure).mean(axis=1), 0.0, 2.0)


def _similarity_distance(product: np.ndarray, x: np.ndarray, y: np.ndarray, floor: float) -> np.ndarray:
    """1 - product / sqrt(x * y); 0 where both x and y are at most `floor`, 1 where one of them is."""
    nothing_x, nothing_y = x <= floor, y <= floor
    norm = np.sqrt(np.where(nothing_x | nothing_y, 1.0, x * y))
    distance = np.clip(1.0 - product / norm, 0.0, 2.0)
    return np.where(nothing_x & nothing_y, 0.0, np.where(nothing_x | nothing_y, 1.0, distance))


def _cosine(total: Moments) -> np.ndarray:
    """Cosine distance of the vectors."""
    return _similarity_distance(total.xy, total.xx, total.yy, 0.0)


def _correlation(total: Moments, count_Q: np.ndarray) -> np.ndarray:
    """Correlation distance of the vectors."""
    variance_x, variance_y, covariance = total.covariances(count_Q)
    return _similarity_distance(covariance, variance_x, variance_y, CONSTANT_STD**2)


def _divergence(p_QK: np.ndarray, q_QK: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence in natural units; a bin with p = 0 adds 0, q > 0 wherever p > 0."""
    used_QK = p_QK > 0
    ratio_QK = np.divide(p_QK, q_QK, out=np.ones_like(p_QK), where=used_QK)
    return (p_QK * np.log(ratio_QK)).sum(axis=1)


def _jensenshannon(p_QK: np.ndarray, q_QK: np.ndarray) -> np.ndarray:
    """Jensen-Shannon distance (square root of the divergence, natural logarithm) of the histograms."""
    middle_QK = (p_QK + q_QK) / 2
    return np.sqrt(np.maximum((_divergence(p_QK, middle_QK) + _divergence(q_QK, middle_QK)) / 2, 0.0))


def _named(moments: Moments, gaps: Gaps, area_Q: np.ndarray, channels: int) -> dict[str, np.ndarray]:
    """Return every distance by name."""
    total, count_Q = moments.total(), area_Q * channels
    return {
        "frechet": _frechet(total, count_Q),
        "ssim": _ssim(moments, area_Q),
        "braycurtis": gaps.total / np.maximum(total.x + total.y, TINY),
        "canberra": gaps.relative,
        "euclidean": np.sqrt(gaps.squared),
        "cosine": _cosine(total),
        "wasserstein": gaps.ranked / count_Q,  # first Wasserstein distance: mean gap of the sorted values
        "hamming": gaps.unequal / count_Q,
        "minkowski": np.cbrt(gaps.cubed),
        "chebyshev": gaps.largest,
        "cityblock": gaps.total,
        "correlation": _correlation(total, count_Q),
        "jensenshannon": _jensenshannon(gaps.shares_QK, gaps.shares_hat_QK),
    }


Part = TypeVar("Part", Moments, Gaps)


def _joined(parts: Sequence[Part], order_Q: np.ndarray) -> Part:
    """Return the chunks' arrays as one, row i of them in place `order_Q[i]`."""
    back_Q = np.argsort(order_Q)
    return type(parts[0])(**{f.name: np.concatenate([getattr(part, f.name) for part in parts])[back_Q] for f in fields(parts[0])})


def _chunks(order_Q: np.ndarray, values_Q: np.ndarray) -> Iterator[np.ndarray]:
    """Yield `order_Q` in parts whose patches, padded to the first of the part, hold about CHUNK values."""
    first = 0
    while first < len(order_Q):
        last = first + max(1, CHUNK // int(values_Q[first]))
        yield order_Q[first:last]
        first = last


def patch_distances(x_CHW: np.ndarray, x_hat_CHW: np.ndarray, boxes_Q4: np.ndarray) -> dict[str, np.ndarray]:
    """Return every distance of `DISTANCES`, in this order, for Q >= 1 boxes: float64 (Q,) each.

    Images are float32 in [0, 1], boxes (x0, y0, x1, y1) half open inside them. A box's distances depend on
    the other boxes by no more than 1e-12 of their value, through the order in which sums are formed.
    """
    sides_Q = longest_sides(boxes_Q4)
    order_Q = np.argsort(-sides_Q, kind="stable")  # alike ones together: little padding
    x_CHW, x_hat_CHW = (with_room(image_CHW, boxes_Q4) for image_CHW in (x_CHW, x_hat_CHW))
    moments, gaps = [], []
    for chunk in _chunks(order_Q, sides_Q[order_Q] ** 2 * len(x_CHW)):
        patches = cut_patches(x_CHW, x_hat_CHW, boxes_Q4[chunk])
        moments.append(_moments(patches.padded(int(sides_Q.max()))))
        gaps.append(_gaps(patches))
    area_Q = (boxes_Q4[:, 2] - boxes_Q4[:, 0]) * (boxes_Q4[:, 3] - boxes_Q4[:, 1])
    named = _named(_joined(moments, order_Q), _joined(gaps, order_Q), area_Q, len(x_CHW))
    return {name: named[name] for name in DISTANCES}
