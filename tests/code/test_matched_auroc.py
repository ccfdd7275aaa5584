"""AUROC over matched pairs: by hand, against scikit-learn by stratum, and on scores that tell the lamp alone."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from zeromiss.images.strata import STRATA, strata_of
from zeromiss.selection.matched_auroc import matched_auroc, part_weights


def test_pairs_within_a_stratum_by_hand() -> None:
    """d1 beats n1 and n3 but not n2, d2 ties with n3: 2.5 of 6 pairs; of the three within a stratum 1.5."""
    found = matched_auroc(np.array([1, 1, 0, 0, 0]), np.array([0.9, 0.3, 0.5, 0.95, 0.3]), np.array([0, 1, 0, 0, 1]), np.arange(5))
    assert (found.auroc.mean, found.matched.mean) == pytest.approx((2.5 / 6, 0.5))
    assert (found.n_defects, found.n_normals, found.n_pairs, found.pair_share) == (2, 3, 3, 0.5)


def test_it_is_the_mean_of_the_strata_weighed_by_their_pairs() -> None:
    random = np.random.default_rng(5)
    y_N, stratum_N = random.integers(0, 2, 120), random.integers(0, 4, 120)
    score_RN = np.round(random.normal(size=(2, 120)) + y_N, 1)
    found = matched_auroc(y_N, score_RN, stratum_N, np.arange(120))
    areas, pairs = [], []
    for stratum in range(4):
        own = stratum_N == stratum
        areas.append(np.mean([roc_auc_score(y_N[own], score_N[own]) for score_N in score_RN]))
        pairs.append((y_N[own] == 1).sum() * (y_N[own] == 0).sum())
    assert found.matched.mean == pytest.approx(np.average(areas, weights=pairs), abs=1e-12)
    assert found.auroc.mean == pytest.approx(np.mean([roc_auc_score(y_N, score_N) for score_N in score_RN]), abs=1e-12)
    assert found.n_pairs == sum(pairs)
    assert found.matched.low < found.matched.mean < found.matched.high


def test_infinite_scores_rank_above_all_and_tie_with_each_other() -> None:
    found = matched_auroc(np.array([1, 1, 0, 0]), np.array([np.inf, 0.2, np.inf, 0.1]), np.zeros(4), np.arange(4))
    assert found.auroc.mean == found.matched.mean == pytest.approx((0.5 + 1 + 0 + 1) / 4)


def test_without_a_stratum_of_both_labels_there_is_none() -> None:
    found = matched_auroc(np.array([1, 0]), np.array([0.9, 0.1]), np.array([0, 1]), np.arange(2))
    assert found.matched is None and found.n_pairs == 0 and found.auroc.mean == 1.0


def test_parts_are_drawn_whole_and_each_kind_as_often_as_it_is_there() -> None:
    part_N = np.array(["a", "a", "b", "c", "c", "d"])
    weight_BN = part_weights(np.array([1, 0, 1, 0, 0, 0]), part_N, 200, seed=1)
    assert (weight_BN[:, 0] == weight_BN[:, 1]).all() and (weight_BN[:, 3] == weight_BN[:, 4]).all()
    assert (weight_BN[:, 0] + weight_BN[:, 2] == 2).all() and (weight_BN[:, 3] + weight_BN[:, 5] == 2).all()
    assert abs(weight_BN.mean(axis=0) - 1.0).max() < 0.15


def lamp(count: int = 600) -> tuple[pd.DataFrame, np.ndarray]:
    """Brightness that tells defects from normal images with an AUROC of about 0.86, and a property that tells nothing."""
    random = np.random.default_rng(2)
    y_N = np.repeat([0, 1], count // 2)
    return pd.DataFrame({"brightness": random.normal(size=count) + 1.5 * y_N, "blue": random.normal(size=count)}), y_N


def test_a_score_that_tells_the_lamp_alone_falls_towards_chance_and_one_that_tells_the_defect_stays() -> None:
    values, y_N = lamp()
    strata = strata_of(values, y_N, np.arange(len(y_N)))
    random = np.random.default_rng(3)
    by_lamp = matched_auroc(y_N, values["brightness"].to_numpy(), strata.stratum_N, np.arange(len(y_N)))
    by_defect = matched_auroc(y_N, 2.0 * y_N + random.normal(size=len(y_N)), strata.stratum_N, np.arange(len(y_N)))
    own = matched_auroc(y_N, strata.log_odds_N, strata.stratum_N, np.arange(len(y_N)))
    assert own.auroc.mean == pytest.approx(strata.auc) and own.matched.mean == pytest.approx(by_lamp.matched.mean, abs=0.03)
    assert strata.auc == pytest.approx(by_lamp.auroc.mean, abs=0.02) and by_lamp.auroc.mean > 0.82
    assert by_lamp.matched.mean == pytest.approx(0.61, abs=0.02)  # ten strata leave some of it, as docs/curves.md says
    assert by_defect.matched.mean == pytest.approx(by_defect.auroc.mean, abs=0.04)


def test_strata_are_ten_of_one_size_and_ordered_by_the_odds_of_a_defect() -> None:
    values, y_N = lamp()
    stratum_N = strata_of(values, y_N, np.arange(len(y_N))).stratum_N
    assert np.bincount(stratum_N).tolist() == [60] * STRATA
    assert y_N[stratum_N == 9].mean() > 0.9 and y_N[stratum_N == 0].mean() < 0.1


def test_strata_are_cross_fitted_by_part() -> None:
    """Each part has a brightness of its own and one label; were its images on both sides of a fold, they would tell it."""
    random = np.random.default_rng(4)
    part_N = np.repeat(np.arange(40), 10)
    y_N = np.repeat(random.permutation(np.repeat([0, 1], 20)), 10)
    marks = pd.DataFrame({f"mark{part}": (part_N == part).astype(float) for part in range(40)})
    assert strata_of(marks, y_N, np.arange(400)).auc > 0.95  # each image its own part: leaks
    assert strata_of(marks, y_N, part_N).auc < 0.6


def test_a_missing_property_is_no_reason_to_fail() -> None:
    values, y_N = lamp(60)
    values.loc[::3, "blue"] = np.nan
    values["time_stamp"] = np.nan
    assert 0.5 < strata_of(values, y_N, np.arange(60)).auc < 1.0


def test_a_single_part_of_a_label_has_no_strata() -> None:
    values, y_N = lamp(20)
    assert strata_of(values, y_N, np.where(y_N == 1, "one", np.arange(20).astype(str))) is None
