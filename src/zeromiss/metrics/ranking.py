"""How well scores rank images and pixels: AUROC, average precision, FPR at zero missed, PRO.

Labels are 1 = defect, 0 = normal; scores higher = more abnormal. Axes: N images, H, W pixels, K bins.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from sklearn.metrics import auc, average_precision_score, roc_auc_score

from zeromiss.errors import ZeromissError

BINS = 4096  # of the pixel histograms
PRO_LIMIT = 0.3  # PRO is integrated up to this false-positive rate


def _checked(labels_N: np.ndarray, scores_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both as arrays, or refuse to rank one class alone."""
    labels_N, scores_N = np.asarray(labels_N).astype(bool), np.asarray(scores_N, dtype=np.float64)
    if labels_N.all() or not labels_N.any():
        raise ZeromissError(
            f"a ranking needs normals and defects, there are {int((~labels_N).sum())} normals and {int(labels_N.sum())} defects: "
            "add images of the missing kind"
        )
    return labels_N, scores_N


def _share(value: float) -> float:
    """Return a share in [0, 1] that sums of fractions may have left by their rounding: a perfect ranking came to 1 + 2e-16."""
    return float(np.clip(value, 0.0, 1.0))


def image_auroc(labels_N: np.ndarray, scores_N: np.ndarray) -> float:
    """Return the probability, in [0, 1], that a defect scores above a normal (ties count half)."""
    return _share(roc_auc_score(*_checked(labels_N, scores_N)))


def average_precision(labels_N: np.ndarray, scores_N: np.ndarray) -> float:
    """Return the average precision of the defects, in [0, 1]."""
    return _share(average_precision_score(*_checked(labels_N, scores_N)))


def fpr_at_zero_missed(labels_N: np.ndarray, scores_N: np.ndarray) -> float:
    """Return the share of normals that score at or above the lowest defect, in [0, 1] (lower is better)."""
    labels_N, scores_N = _checked(labels_N, scores_N)
    return float((scores_N[~labels_N] >= scores_N[labels_N].min()).mean())


@dataclass(frozen=True, kw_only=True)
class PixelCounts:
    """How many pixels of one image lie in each bin of its anomaly map, (K,); without a mask, nothing of defects."""

    normal_K: np.ndarray  # outside the defect
    defect_K: np.ndarray | None = None  # inside
    region_K: np.ndarray | None = None  # inside, each weighing 1 / the area of its connected region
    regions: int = 0


class PixelRanking:
    """Pixel AUROC and PRO over many anomaly maps in memory that does not grow with their number.

    A map value m >= 0 is squashed to m / (m + scale), which keeps every order, and counted in one of
    4,096 equal bins; pixels of one bin count as equal. `scale` (> 0) should be a usual map value of a
    normal image, so that the bins lie where normal and abnormal pixels part.
    """

    def __init__(self, *, scale: float, bins: int = BINS) -> None:
        """Start with no image."""
        if not scale > 0:
            raise ValueError(f"scale must be above 0, got {scale}")
        self.scale, self._bins = scale, bins
        self._normal_K = np.zeros(bins)  # pixels outside defects
        self._defect_K = np.zeros(bins)  # pixels inside
        self._region_K = np.zeros(bins)  # pixels inside, each weighing 1 / the area of its connected region
        self._regions = 0

    def add(self, map_HW: np.ndarray, mask_HW: np.ndarray | None) -> None:
        """Count an image; `mask_HW` (bool) marks its defect's pixels, None where it has none."""
        self.include(self.count(map_HW, mask_HW))

    def count(self, map_HW: np.ndarray, mask_HW: np.ndarray | None) -> PixelCounts:
        """Return what `add` would count of an image, without keeping it."""
        map_HW = np.asarray(map_HW, dtype=np.float64)
        bin_HW = np.minimum((map_HW / (map_HW + self.scale) * self._bins).astype(np.int64), self._bins - 1)
        if mask_HW is None:
            return PixelCounts(normal_K=np.bincount(bin_HW.ravel(), minlength=self._bins))
        count, region_HW = cv2.connectedComponents(mask_HW.astype(np.uint8), connectivity=8)
        weight = 1.0 / np.maximum(np.bincount(region_HW.ravel(), minlength=count), 1)
        return PixelCounts(
            normal_K=np.bincount(bin_HW[~mask_HW], minlength=self._bins),
            defect_K=np.bincount(bin_HW[mask_HW], minlength=self._bins),
            region_K=np.bincount(bin_HW[mask_HW], weights=weight[region_HW[mask_HW]], minlength=self._bins),
            regions=count - 1,
        )

    def include(self, counts: PixelCounts) -> None:
        """Add what `count` has found, here or in another process. The order of images decides the last bits of PRO."""
        self._normal_K += counts.normal_K
        if counts.defect_K is not None:
            self._defect_K += counts.defect_K
            self._region_K += counts.region_K
            self._regions += counts.regions

    def auroc(self) -> float:
        """Return the pixel AUROC in [0, 1].

        Raises ZeromissError when no pixel, or every pixel, is marked as a defect.
        """
        fpr, tpr = self._curve(self._defect_K)
        return _share(auc(fpr, tpr))

    def pro(self, limit: float = PRO_LIMIT) -> float:
        """Return the per-region overlap averaged over false-positive rates from 0 to `limit`, in [0, 1].

        Regions are 8-connected; each counts alike, however small. Raises ZeromissError as `auroc` does.
        """
        fpr, overlap = self._curve(self._region_K)
        at_limit = np.interp(limit, fpr, overlap)
        below = fpr < limit
        return _share(auc([*fpr[below], limit], [*overlap[below], at_limit]) / limit)

    def _curve(self, hits_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return false-positive rate and share of `hits_K`, (K + 1,) each, as the threshold falls."""
        if not self._regions or not self._normal_K.any():
            raise ZeromissError("a ranking of pixels needs some marked as defect and some not: check the masks")
        fall = [np.concatenate(([0.0], np.cumsum(counts_K[::-1]))) for counts_K in (self._normal_K, hits_K)]
        return fall[0] / fall[0][-1], fall[1] / fall[1][-1]
