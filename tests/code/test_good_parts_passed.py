"""PG0, PG2 and PG5 by hand, against thresholds tried one by one, with intervals that hold what they promise; ROC points against scikit-learn."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import auc, roc_auc_score, roc_curve

from zeromiss.errors import ZeromissError
from zeromiss.threshold.passed import good_parts_passed, name_of, passed_at, too_few
from zeromiss.threshold.roc import roc_points

NORMALS, DEFECTS = [0.1, 0.2, 0.3, 0.4, 0.5], [0.9, 0.15, 0.45, 0.35]
Y = np.array([0] * 5 + [1] * 4)


def test_the_threshold_lies_as_high_as_the_allowed_misses_let_it() -> None:
    found = good_parts_passed(Y, np.array([*NORMALS, *DEFECTS]), np.arange(9), (0.0, 0.24, 0.25, 0.5, 0.75))
    assert [one.passed.mean for one in found] == pytest.approx([0.2, 0.2, 0.6, 0.8, 1.0])


def test_a_good_part_that_ties_with_the_threshold_does_not_pass() -> None:
    assert good_parts_passed(np.array([0, 0, 1, 1]), np.array([0.3, 0.2, 0.3, 0.3]), np.arange(4), (0.0, 0.5))[1].passed.mean == 0.5


def test_repeats_have_thresholds_of_their_own() -> None:
    score_RN = np.array([[*NORMALS, *DEFECTS], [*NORMALS, 0.9, 0.35, 0.45, 0.95]])
    [found] = good_parts_passed(Y, score_RN, np.arange(9), (0.0,))
    assert found.passed_R == pytest.approx((0.2, 0.6)) and found.passed.mean == pytest.approx(0.4)


def test_infinite_scores_let_nothing_pass() -> None:
    found = good_parts_passed(np.array([0, 0, 1, 1]), np.array([np.inf, 0.5, np.inf, 0.9]), np.arange(4), (0.0, 0.5))
    assert [one.passed.mean for one in found] == [0.5, 0.5]


def test_it_agrees_with_thresholds_tried_one_by_one_and_weights_with_copies() -> None:
    random = np.random.default_rng(1)
    score_D, score_M = random.integers(0, 20, 37) / 20.0, random.integers(0, 20, 41) / 25.0
    weight_BD, weight_BM = random.integers(0, 3, (6, 37)).astype(float), random.integers(0, 3, (6, 41)).astype(float)
    for missed in (0.0, 0.02, 0.05, 0.3):
        found_B = passed_at(score_D[None], score_M[None], missed, weight_BD, weight_BM)[0]
        for weight_D, weight_M, found in zip(weight_BD.astype(int), weight_BM.astype(int), found_B, strict=True):
            defects, normals = np.repeat(score_D, weight_D), np.repeat(score_M, weight_M)
            allowed = [t for t in defects if (defects < t).mean() <= missed + 1e-12]
            assert found == pytest.approx((normals < max(allowed)).mean())


@pytest.mark.parametrize(("parts", "missed", "few"), [(10_000, 0.0, True), (183, 0.02, False), (182, 0.02, True), (72, 0.05, False), (71, 0.05, True)])
def test_so_few_defects_bound_no_threshold(parts: int, missed: float, few: bool) -> None:
    """.98^182 = .0253, .98^183 = .0248; .95^71 = .0262, .95^72 = .0249; the limit is .025."""
    assert too_few(parts, missed) == few


def test_a_lower_end_that_rests_on_too_few_defects_is_0() -> None:
    found = good_parts_passed(Y, np.array([*NORMALS, *DEFECTS]), np.arange(9))
    assert [one.passed.low for one in found] == [0.0] * 3 and [name_of(one.missed) for one in found] == ["PG0", "PG2", "PG5"]


def test_the_interval_holds_the_true_share_as_often_as_it_says() -> None:
    """Normal scores around 0 and 3: 5 % of the defects lie below 3 - 1.645, and .912 of the good parts below that."""
    truth, inside = norm.cdf(3.0 + norm.ppf(0.05)), 0
    y_N = np.repeat([0, 1], [150, 150])
    for seed in range(60):
        score_N = np.random.default_rng(seed).normal(size=300) + 3.0 * y_N
        [found] = good_parts_passed(y_N, score_N, np.arange(300), (0.05,))
        inside += found.passed.low <= truth <= found.passed.high
    assert inside >= 52  # of 60, at 95 %


def test_images_of_one_part_count_as_one_in_the_interval() -> None:
    """Ten copies of each image: the same share, and an interval as wide as without copies."""
    random = np.random.default_rng(7)
    y_N = np.repeat([0, 1], [60, 100])
    score_N = random.normal(size=160) + 2.0 * y_N
    [one], [ten] = (
        good_parts_passed(np.repeat(y_N, times), np.repeat(score_N, times), np.repeat(np.arange(160), times), (0.05,)) for times in (1, 10)
    )
    assert (ten.passed.mean, ten.passed.low, ten.passed.high) == pytest.approx((one.passed.mean, one.passed.low, one.passed.high), abs=0.02)


def test_without_defects_there_is_nothing_to_pass_by() -> None:
    with pytest.raises(ZeromissError, match="needs normal images and defects"):
        good_parts_passed(np.zeros(3), np.arange(3.0), np.arange(3))


def test_roc_points_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    y_N = random.integers(0, 2, 200)
    score_N = np.round(random.normal(size=200) + y_N, 1)
    found = roc_points(y_N, score_N)
    every = list(zip(*roc_curve(y_N, score_N, drop_intermediate=False), strict=True))
    points = list(zip(found["fpr"], found["tpr"], [np.inf, *found["threshold"][1:]], strict=True))
    assert found["threshold"][0] is None and set(points) < set(every)
    assert auc(found["fpr"], found["tpr"]) == pytest.approx(roc_auc_score(y_N, score_N), abs=1e-12)  # what is left out lies on straight lines


def test_an_infinite_threshold_is_null() -> None:
    found = roc_points(np.array([0, 1, 0, 1]), np.array([np.inf, np.inf, 0.25, 0.5]))
    assert found == {"fpr": [0.0, 0.5, 0.5, 1.0], "tpr": [0.0, 0.5, 1.0, 1.0], "threshold": [None, None, 0.5, 0.25]}
