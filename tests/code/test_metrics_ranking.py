"""Rankings by hand, against scikit-learn, and the streamed pixel rankings against exact ones."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from zeromiss.errors import ZeromissError
from zeromiss.metrics.ranking import PixelRanking, average_precision, fpr_at_zero_missed, image_auroc


def maps(seed: int, count: int = 6, side: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Draw anomaly maps (long-tailed, as squared distances are) and their defects, None for the first two."""
    rng = np.random.default_rng(seed)
    marked = np.zeros((count, side, side), bool)
    for index in range(2, count):
        for _ in range(3):
            y, x, h, w = (*rng.integers(0, side - 12, 2), *rng.integers(2, 12, 2))
            marked[index, y : y + h, x : x + w] = True
    values = rng.lognormal(0, 1, marked.shape) * np.where(marked, 4.0, 1.0)
    return values.astype(np.float32), marked


def ranked(values: np.ndarray, marked: np.ndarray, scale: float = 1.0) -> PixelRanking:
    """Stream the maps one at a time."""
    ranking = PixelRanking(scale=scale)
    for map_HW, mask_HW in zip(values, marked, strict=True):
        ranking.add(map_HW, mask_HW if mask_HW.any() else None)
    return ranking


def exact_pro(values: np.ndarray, marked: np.ndarray, limit: float) -> float:
    """Integrate PRO with a threshold at every value (brute force)."""
    regions = []
    for map_HW, mask_HW in zip(values, marked, strict=True):
        labelled, count = ndimage.label(mask_HW, structure=np.ones((3, 3)))
        regions += [map_HW[labelled == index + 1] for index in range(count)]
    normal = np.sort(values[~marked])
    thresholds = np.sort(np.unique(values))[::-1]
    fpr = 1 - np.searchsorted(normal, thresholds, side="left") / len(normal)
    overlap = np.mean([1 - np.searchsorted(np.sort(region), thresholds, side="left") / len(region) for region in regions], axis=0)
    fpr, overlap = np.concatenate(([0.0], fpr)), np.concatenate(([0.0], overlap))
    inside = fpr <= limit
    fine = np.concatenate((fpr[inside], [limit]))
    return float(np.trapezoid(np.concatenate((overlap[inside], [np.interp(limit, fpr, overlap)])), fine) / limit)


def test_image_rankings_by_hand() -> None:
    labels, scores = [0, 0, 0, 0, 1, 1], [0.1, 0.2, 0.35, 0.8, 0.35, 0.9]
    assert image_auroc(labels, scores) == pytest.approx((2 + 0.5 + 4) / 8)
    assert fpr_at_zero_missed(labels, scores) == 0.5  # 0.35 and 0.8 are not below the lowest defect
    assert average_precision([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4]) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_image_rankings_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 200), rng.normal(size=200)
    assert image_auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert average_precision(labels, scores) == pytest.approx(average_precision_score(labels, scores))


def test_zero_missed_is_where_the_roc_curve_reaches_full_sensitivity() -> None:
    rng = np.random.default_rng(1)
    labels, scores = rng.integers(0, 2, 200), np.round(rng.normal(size=200), 1)  # rounded: ties
    fpr, tpr, _ = roc_curve(labels, scores)
    assert fpr_at_zero_missed(labels, scores) == fpr[tpr == 1.0].min()


def test_zero_missed_costs_nothing_where_classes_part() -> None:
    assert fpr_at_zero_missed([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4]) == 0.0
    assert fpr_at_zero_missed([0, 0, 1, 1], [0.1, 0.2, 0.05, 0.4]) == 1.0


@pytest.mark.parametrize("function", [image_auroc, average_precision, fpr_at_zero_missed])
def test_one_class_alone_is_refused(function: Callable) -> None:
    with pytest.raises(ZeromissError, match="3 normals and 0 defects"):
        function([0, 0, 0], [0.1, 0.2, 0.3])


@pytest.mark.parametrize("seed", range(4))
def test_streamed_pixel_auroc_agrees_with_the_exact_one(seed: int) -> None:
    values, marked = maps(seed)
    assert ranked(values, marked).auroc() == pytest.approx(roc_auc_score(marked.ravel(), values.ravel()), abs=1e-3)


def test_binned_pixel_auroc_is_that_of_scikit_learn_on_the_bins() -> None:
    values, marked = maps(7)
    bins = np.minimum((values.astype(np.float64) / (values.astype(np.float64) + 1.0) * 4096).astype(int), 4095)
    assert ranked(values, marked).auroc() == pytest.approx(roc_auc_score(marked.ravel(), bins.ravel()), abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("limit", [0.1, 0.3, 1.0])
def test_streamed_pro_agrees_with_the_exact_one(seed: int, limit: float) -> None:
    values, marked = maps(seed)
    assert ranked(values, marked).pro(limit) == pytest.approx(exact_pro(values, marked, limit), abs=1e-3)


@pytest.mark.parametrize("scale", [0.2, 5.0])
def test_the_scale_hardly_matters(scale: float) -> None:
    values, marked = maps(9)
    assert ranked(values, marked, scale).auroc() == pytest.approx(ranked(values, marked).auroc(), abs=1e-3)


def test_a_perfect_map_and_its_reverse() -> None:
    marked = np.zeros((8, 8), bool)
    marked[2:4, 2:4] = True
    perfect, reverse = PixelRanking(scale=1.0), PixelRanking(scale=1.0)
    perfect.add(marked.astype(float), marked)
    reverse.add(1.0 - marked, marked)
    assert perfect.auroc() == perfect.pro() == 1.0
    assert reverse.auroc() == reverse.pro() == 0.0


def test_a_small_region_counts_as_much_as_a_large_one() -> None:
    marked = np.zeros((20, 20), bool)
    marked[0:10, 0:10] = True
    marked[18, 18] = True
    values = np.zeros((20, 20))
    values[0:10, 0:10] = 5.0  # the large region is found, the single pixel is as dark as the rest
    ranking = PixelRanking(scale=1.0)
    ranking.add(values, marked)
    # overlap 1/2 at fpr 0, rising straight to 1 at fpr 1: the mean up to 0.3 is 0.5 + 0.5 * 0.15
    assert ranking.pro() == pytest.approx(0.575)


def test_regions_that_touch_at_a_corner_are_one() -> None:
    marked = np.zeros((6, 6), bool)
    marked[1, 1] = marked[2, 2] = True
    values = np.zeros((6, 6))
    values[1, 1] = 1.0
    ranking = PixelRanking(scale=1.0)
    ranking.add(values, marked)
    assert ranking.pro(1.0) == pytest.approx(0.75)


def test_pixels_of_one_kind_alone_are_refused() -> None:
    ranking = PixelRanking(scale=1.0)
    ranking.add(np.ones((4, 4)), None)
    with pytest.raises(ZeromissError, match="check the masks"):
        ranking.auroc()


def test_a_scale_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        PixelRanking(scale=0.0)


@pytest.mark.parametrize("defects", [9, 20, 25, 43])
def test_a_perfect_ranking_is_one_though_fractions_sum_to_more(defects):
    labels, scores = [0] * 3 + [1] * defects, np.arange(defects + 3.0)
    assert average_precision_score(labels, scores) > 1
    assert average_precision(labels, scores) == image_auroc(labels, scores) == 1.0


def test_perfect_maps_have_a_pro_of_one_at_most():
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        marked = np.zeros((20, 20), dtype=bool)
        marked[0, : rng.integers(1, 20)] = True
        ranking = PixelRanking(scale=1.0)
        ranking.add(np.where(marked, 60.0, 0.0) + rng.random((20, 20)), marked)
        found += [ranking.pro(), ranking.auroc()]
    assert max(found) == 1.0
