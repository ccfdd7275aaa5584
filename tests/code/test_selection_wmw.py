"""The WMW classifier: scikit-learn's own checks, the loss worked out by hand, and fewer false alarms at no missed defect."""

import warnings

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import check_estimator

from zeromiss.errors import ZeromissError
from zeromiss.metrics.ranking import fpr_at_zero_missed
from zeromiss.selection.wmw import STEEPNESS, WMWClassifier, calibrate, count_lowest, spread, wmw_loss


def _two_kinds_of_defect(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The first column tells most defects and misleads on one of seven; the second tells all of them, less clearly."""
    random = np.random.default_rng(seed)
    normals_Q2 = random.normal(size=(400, 2))
    defects_P2 = random.normal(size=(210, 2)) * [1.0, 0.3] + [2.5, 2.0]
    defects_P2[:30, 0] -= 4.5
    return np.concatenate([normals_Q2, defects_P2]), np.repeat([0, 1], [400, 210])


def _drawn(seed: int, columns: int = 6) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y_N = np.repeat([0, 1], [40, 30])
    return random.normal(size=(70, columns)) + 0.8 * y_N[:, None], y_N


@pytest.mark.parametrize("settings", [{}, {"share": 1.0, "p": 1.5}])
def test_it_is_a_scikit_learn_classifier(settings: dict[str, float]) -> None:
    """Every check of the installed scikit-learn; array libraries other than NumPy are skipped by it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of checks that are skipped
        results = check_estimator(WMWClassifier(**settings))
    assert {result["status"] for result in results} <= {"passed", "skipped"}
    assert sum(result["status"] == "passed" for result in results) > 50


def test_the_loss_of_four_pairs_by_hand() -> None:
    """Scores 0.5 and 0.8 for defects, 0.5 and 0.2 for normals; gamma 0.5, p 2: lacks 0.5, 0.2, 0.2 and nothing."""
    place = np.log(4.0) / STEEPNESS  # of a score of 0.8; that of 0.2 is its negative
    defects, normals = np.array([[0.0], [place]]), np.array([[0.0], [-place]])
    for length in (1.0, 7.0):  # of the weights: the direction alone counts
        whole, _ = wmw_loss(np.array([length]), defects, normals, 2, 0.5, 2.0)
        assert whole == pytest.approx((0.25 + 0.04 + 0.04 + 0.0) / 4)
        lowest, _ = wmw_loss(np.array([length]), defects, normals, 1, 0.5, 2.0)
        assert lowest == pytest.approx((0.25 + 0.04) / 2)  # the defect at 0.5 alone
        cubed, _ = wmw_loss(np.array([length]), defects, normals, 1, 0.5, 3.0)
        assert cubed == pytest.approx((0.125 + 0.008) / 2)


@pytest.mark.parametrize("p", [1.5, 2.0, 3.0])
@pytest.mark.parametrize("lowest", [1, 4, 30])
def test_the_gradient_is_that_of_finite_differences(p: float, lowest: int) -> None:
    """At drawn weights, for every share of the defects."""
    X_NF, y_N = _drawn(0)
    weights_F = np.random.default_rng(1).normal(size=6)
    arguments = (X_NF[y_N == 1], X_NF[y_N == 0], lowest, 0.6, p)
    expected_F = approx_fprime(weights_F, lambda at_F: wmw_loss(at_F, *arguments)[0], 1e-7)
    np.testing.assert_allclose(wmw_loss(weights_F, *arguments)[1], expected_F, rtol=0, atol=1e-6)


def test_the_spread_is_the_covariance_and_a_share_of_the_mean_variance() -> None:
    """Against NumPy's weighted covariance; equal rows have a spread too."""
    X_NF, y_N = _drawn(5)
    covariance_FF = np.cov(X_NF.T, aweights=np.where(y_N == 1, 0.5 / 30, 0.5 / 40), bias=True)
    centre_F, factor_FF = spread(X_NF, y_N == 1, 0.7)
    np.testing.assert_allclose(factor_FF @ factor_FF.T, covariance_FF + 0.7 * np.trace(covariance_FF) / 6 * np.eye(6), atol=1e-12)
    np.testing.assert_allclose(centre_F, (X_NF[y_N == 0].mean(axis=0) + X_NF[y_N == 1].mean(axis=0)) / 2)
    np.testing.assert_allclose(spread(np.ones((70, 3)), y_N == 1, 0.25)[1], 0.5 * np.eye(3))


@pytest.mark.parametrize("seed", [0, 2, 4])
def test_fewer_false_alarms_at_no_missed_defect_than_logistic_regression(seed: int) -> None:
    """On drawn rows never seen: logistic regression ranks better on the whole and worse where nothing may be missed."""
    X_NF, y_N = _two_kinds_of_defect(seed)
    unseen_NF, truth_N = _two_kinds_of_defect(seed + 1)
    wmw = WMWClassifier(share=0.05).fit(X_NF, y_N).predict_proba(unseen_NF)[:, 1]
    logistic = LogisticRegression().fit(X_NF, y_N).predict_proba(unseen_NF)[:, 1]
    assert roc_auc_score(truth_N, logistic) > roc_auc_score(truth_N, wmw)
    assert fpr_at_zero_missed(truth_N, wmw) < 0.14 < 0.15 < fpr_at_zero_missed(truth_N, logistic)


def test_a_smaller_share_costs_auc_and_saves_false_alarms() -> None:
    """All defects against a twentieth of them, on the same unseen rows: what `share` is for."""
    X_NF, y_N = _two_kinds_of_defect(0)
    unseen_NF, truth_N = _two_kinds_of_defect(1)
    few, whole = (WMWClassifier(share=share).fit(X_NF, y_N).predict_proba(unseen_NF)[:, 1] for share in (0.05, 1.0))
    assert roc_auc_score(truth_N, whole) > roc_auc_score(truth_N, few)
    assert fpr_at_zero_missed(truth_N, few) < 0.5 * fpr_at_zero_missed(truth_N, whole)


@pytest.mark.parametrize("apart", [1.0, 30.0])
def test_half_lies_between_the_classes(apart: float) -> None:
    """Scores are in [0, 1] and 0.5 tells the classes apart, however far apart and however rare one of them is."""
    random = np.random.default_rng(0)
    y_N = np.repeat([0, 1], [180, 20])
    X_NF = random.normal(size=(200, 4)) + apart * y_N[:, None]
    probability_N = WMWClassifier(share=0.3).fit(X_NF, y_N).predict_proba(X_NF)[:, 1]
    assert probability_N.min() >= 0.0 and probability_N.max() <= 1.0
    right = (probability_N >= 0.5) == (y_N == 1)
    assert right[y_N == 1].mean() > 0.6 and right[y_N == 0].mean() > 0.6


def test_calibration_keeps_the_order_even_of_a_score_that_misleads() -> None:
    """A slope never reaches 0; separated logits get a finite one."""
    y_N = np.repeat([False, True], 10)
    for logit_N in (np.linspace(3.0, -3.0, 20), np.linspace(-3.0, 3.0, 20), np.zeros(20)):
        slope, offset = calibrate(logit_N, y_N)
        assert slope > 0 and np.isfinite([slope, offset]).all()
    mirrored, _ = calibrate(np.linspace(-3.0, 3.0, 20), y_N)
    assert mirrored > 1.0


def test_calibration_of_two_values_by_hand() -> None:
    """Two classes of 8 at logits -1 and 1 aim at 0.1 and 0.9: a slope of log(9), no offset."""
    slope, offset = calibrate(np.repeat([-1.0, 1.0], 8), np.repeat([False, True], 8))
    assert (slope, offset) == (pytest.approx(np.log(9.0), abs=1e-4), pytest.approx(0.0, abs=1e-4))


def test_the_same_rows_give_the_same_bits_alone_and_together() -> None:
    """Fitted twice, and one row judged by itself."""
    X_NF, y_N = _drawn(3, columns=37)
    one, other = (WMWClassifier().fit(X_NF, y_N) for _ in range(2))
    together_N = one.decision_function(X_NF)
    assert np.array_equal(together_N, other.decision_function(X_NF))
    assert together_N.tolist() == [float(one.decision_function(row[None])[0]) for row in X_NF]
    assert np.array_equal(together_N, one.decision_function(np.asfortranarray(X_NF)))


def test_how_many_defects_a_share_is() -> None:
    """Rounded up, at least one; a product that is whole stays it."""
    assert [count_lowest(share, 21) for share in (0.01, 0.1, 0.5, 1.0)] == [1, 3, 11, 21]
    assert count_lowest(0.1, 30) == 3


@pytest.mark.parametrize(("name", "value"), [("share", 0.0), ("share", 1.1), ("gamma", 1.5), ("p", 1.0), ("alpha", 0.0), ("p", float("inf"))])
def test_settings_outside_their_range_are_refused(name: str, value: float) -> None:
    """The sentence names the setting."""
    with pytest.raises(ZeromissError, match=f"the WMW classifier's {name} is {value}: it must be above"):
        WMWClassifier(**{name: value}).fit(*_drawn(0))
