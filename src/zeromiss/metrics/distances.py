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

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from zeromiss.metrics.patches import Patches, cut_patches

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


def _moments(x_QCA: np.ndarray, y_QCA: np.ndarray) -> Moments:
    """Return the per-channel sums of two float64 patch arrays whose padding is 0."""
    return Moments(
        x=x_QCA.sum(axis=2),
        y=y_QCA.sum(axis=2),
        xx=np.vecdot(x_QCA, x_QCA),
        yy=np.vecdot(y_QCA, y_QCA),
        xy=np.vecdot(x_QCA, y_QCA),
    )


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


def _wasserstein(patches: Patches) -> np.ndarray:
    """First Wasserstein distance of the two sets of pixel values: mean gap of the sorted values."""
    rows = len(patches.area_Q)
    # Padding is 0 and equally long on both sides: it sorts before every other value and its gaps are 0.
    x_QN = np.sort(patches.x_QCA.reshape(rows, -1), axis=1)
    y_QN = np.sort(patches.x_hat_QCA.reshape(rows, -1), axis=1)
    return np.abs(x_QN - y_QN).sum(axis=1, dtype=np.float64) / patches.count_Q


def _hamming(patches: Patches) -> np.ndarray:
    """Share of the values that differ once rounded to 8 bits."""
    differs_QCA = np.rint(patches.x_QCA * 255) != np.rint(patches.x_hat_QCA * 255)
    return differs_QCA.sum(axis=(1, 2)) / patches.count_Q


def _histogram(values_QCA: np.ndarray, patches: Patches) -> np.ndarray:
    """Return the (Q, BINS) shares of a patch's values in equal bins over [0, 1]; 1 is in the last bin."""
    rows = len(values_QCA)
    slot_QN = (values_QCA.reshape(rows, -1) * BINS).astype(np.intp)
    np.minimum(slot_QN, BINS - 1, out=slot_QN)
    slot_QN += np.arange(rows)[:, None] * BINS
    counts_QK = np.bincount(slot_QN.ravel(), minlength=rows * BINS).reshape(rows, BINS)
    counts_QK[:, 0] -= slot_QN.shape[1] - patches.count_Q  # the padding, which is 0
    return counts_QK / patches.count_Q[:, None]


def _divergence(p_QK: np.ndarray, q_QK: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence in natural units; a bin with p = 0 adds 0, q > 0 wherever p > 0."""
    used_QK = p_QK > 0
    ratio_QK = np.divide(p_QK, q_QK, out=np.ones_like(p_QK), where=used_QK)
    return (p_QK * np.log(ratio_QK)).sum(axis=1)


def _jensenshannon(patches: Patches) -> np.ndarray:
    """Jensen-Shannon distance (square root of the divergence, natural logarithm) of the histograms."""
    p_QK, q_QK = _histogram(patches.x_QCA, patches), _histogram(patches.x_hat_QCA, patches)
    middle_QK = (p_QK + q_QK) / 2
    return np.sqrt(np.maximum((_divergence(p_QK, middle_QK) + _divergence(q_QK, middle_QK)) / 2, 0.0))


def _gap_distances(x_QN: np.ndarray, y_QN: np.ndarray, total: Moments) -> dict[str, np.ndarray]:
    """Return the distances that rest on the absolute gap between values."""
    gap_QN = np.abs(x_QN - y_QN)
    squared_QN = gap_QN * gap_QN
    cityblock_Q, sum_Q = gap_QN.sum(axis=1), total.x + total.y
    return {
        "braycurtis": cityblock_Q / np.maximum(sum_Q, TINY),
        "canberra": (gap_QN / np.maximum(x_QN + y_QN, TINY)).sum(axis=1),
        "euclidean": np.sqrt(squared_QN.sum(axis=1)),
        "minkowski": np.cbrt(np.vecdot(squared_QN, gap_QN)),
        "chebyshev": gap_QN.max(axis=1),
        "cityblock": cityblock_Q,
    }


def _named(patches: Patches) -> Iterator[tuple[str, np.ndarray]]:
    """Yield every distance by name."""
    x_QCA, y_QCA = patches.x_QCA.astype(np.float64), patches.x_hat_QCA.astype(np.float64)
    moments = _moments(x_QCA, y_QCA)
    total, count_Q, rows = moments.total(), patches.count_Q, len(x_QCA)
    yield "frechet", _frechet(total, count_Q)
    yield "ssim", _ssim(moments, patches.area_Q)
    yield "cosine", _cosine(total)
    yield "correlation", _correlation(total, count_Q)
    yield from _gap_distances(x_QCA.reshape(rows, -1), y_QCA.reshape(rows, -1), total).items()
    yield "wasserstein", _wasserstein(patches)
    yield "hamming", _hamming(patches)
    yield "jensenshannon", _jensenshannon(patches)


def patch_distances(x_CHW: np.ndarray, x_hat_CHW: np.ndarray, boxes_Q4: np.ndarray) -> dict[str, np.ndarray]:
    """Return every distance of `DISTANCES`, in this order, for Q >= 1 boxes: float64 (Q,) each.

    Images are float32 in [0, 1], boxes (x0, y0, x1, y1) half open inside them.
    """
    named = dict(_named(cut_patches(x_CHW, x_hat_CHW, boxes_Q4)))
    return {name: named[name] for name in DISTANCES}
