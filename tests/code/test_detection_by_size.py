"""Probability of detection by size against scikit-learn's regression and a bound found another way."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from zeromiss.threshold.detection_by_size import SizeCurve, curve_facts, fit_by_size


def drawn(seed: int = 0, count: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Sizes from 2 to 60 pixels; 8 pixels are found with 50 % probability, 16.6 with 90 %."""
    random = np.random.default_rng(seed)
    size_D = np.exp(random.uniform(np.log(2), np.log(60), count))
    return size_D, (random.uniform(size=count) < expit(3.0 * (np.log(size_D) - np.log(8)))).astype(float)


def test_the_curve_is_scikit_learns_unpenalised_regression() -> None:
    size_D, found_D = drawn()
    curve = fit_by_size(size_D, found_D)
    other = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(np.log(size_D)[:, None], found_D)
    assert (curve.intercept, curve.slope) == pytest.approx((other.intercept_[0], other.coef_[0, 0]), rel=1e-4)
    assert curve.a50 == pytest.approx(np.exp(-curve.intercept / curve.slope))
    assert curve.at(np.array([curve.a50, curve.a90])) == pytest.approx([0.5, 0.9])


def test_shares_of_repeats_count_each_defect_once() -> None:
    """A defect found in two of three repeats is two thirds found and one third missed, as scikit-learn's weights say it."""
    size_D, _ = drawn(1, 60)
    share_D = np.round(np.random.default_rng(1).binomial(3, expit(3.0 * (np.log(size_D) - np.log(8)))) / 3.0, 12)
    curve = fit_by_size(size_D, share_D)
    x_D = np.log(np.tile(size_D, 2))[:, None]
    weights = np.concatenate((share_D, 1.0 - share_D))
    other = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(x_D, np.repeat([1, 0], 60), sample_weight=weights)
    assert (curve.intercept, curve.slope) == pytest.approx((other.intercept_[0], other.coef_[0, 0]), rel=1e-4)


def test_the_bound_is_the_largest_a90_that_a_likelihood_ratio_test_keeps() -> None:
    """By constrained maximum likelihood: the largest log a90 whose log-likelihood lies 2.7055 / 2 below the best one."""
    size_D, found_D = drawn(2)
    x_D, curve = np.log(size_D), fit_by_size(size_D, found_D)

    def likelihood(w: np.ndarray) -> float:
        eta_D = w[0] + w[1] * x_D
        return float((found_D * eta_D - np.logaddexp(0.0, eta_D)).sum())

    best = likelihood(np.array([curve.intercept, curve.slope]))
    kept = {"type": "ineq", "fun": lambda w: likelihood(w) - best + 2.7055435 / 2}
    rising = {"type": "ineq", "fun": lambda w: w[1] - 0.1}
    widest = minimize(lambda w: -(np.log(9.0) - w[0]) / w[1], [curve.intercept, curve.slope], constraints=[kept, rising], method="SLSQP", options={"maxiter": 500})
    assert widest.success
    assert np.log(curve.a90_95) == pytest.approx(-widest.fun, abs=1e-3)
    assert curve.a50 < curve.a90 < curve.a90_95


def test_the_bound_covers_the_true_size_as_often_as_it_says() -> None:
    truth, covered = 8.0 * 9.0 ** (1.0 / 3.0), 0  # log-odds 3 log(a / 8) = log 9
    for seed in range(100):
        curve = fit_by_size(*drawn(seed, 80))
        covered += curve.a90_95 is None or curve.a90_95 >= truth
    assert 90 <= covered <= 99


@pytest.mark.parametrize(
    ("size_D", "found_D", "sentence"),
    [
        ([2.0, 4.0, 9.0], [1, 1, 1], "all 3 marked defects are found, however small"),
        ([2.0, 4.0, 9.0], [0, 0, 0], "none of 3 marked defects is found"),
        ([4.0, 4.0, 4.0], [1, 0, 1], "all marked defects are of one size"),
        ([2.0, 4.0, 9.0], [0, 1, 1], "every missed defect is smaller than every found one"),
        ([2.0, 4.0, 9.0], [0, 0.5, 1], "every missed defect is smaller than every found one"),
        ([2.0, 4.0, 9.0], [1, 1, 0], "every missed defect is larger than every found one"),
        ([2.0, 3.0, 4.0, 9.0], [1, 0, 1, 0], "larger defects are not found more often than smaller ones"),
    ],
)
def test_what_the_data_do_not_fix_is_said(size_D: list[float], found_D: list[float], sentence: str) -> None:
    facts = curve_facts(np.array(size_D), np.array(found_D, dtype=float))
    assert facts["sentence"].startswith(sentence) and facts["a90"] is facts["slope"] is None
    assert facts["missed"] == pytest.approx(len(found_D) - sum(found_D))


def test_few_defects_have_a_curve_and_no_bound() -> None:
    """A flat curve at .6 is not rejected by ten defects: its log-likelihood lies within 1.35 of the best one."""
    size_D, found_D = np.arange(2.0, 12.0), np.array([0, 1, 0, 1, 1, 0, 1, 0, 1, 1], dtype=float)
    curve = fit_by_size(size_D, found_D)
    assert isinstance(curve, SizeCurve) and curve.a90_95 is None and curve.a90 > curve.a50
    assert curve_facts(size_D, found_D)["sentence"].startswith("the data bound a90 by no size")
