"""Probability of detection by defect size: hit/miss analysis after MIL-HDBK-1823A.

The probability that a defect of size a is found is taken as logistic in log a: log-odds = intercept + slope log a, fitted by
maximum likelihood. a50 and a90 are the sizes found with 50 and 90 % probability; a90/95 is the upper end of a one-sided 95 %
interval of a90 by the likelihood ratio: the largest a90 that the data do not reject at 5 %. Axes: D defects.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.special import expit, logit
from scipy.stats import chi2

CONFIDENCE = 0.95  # one-sided
HIGH = 0.9  # probability of detection of a90
LARGEST = 60.0  # log of a size that no defect has: beyond it nothing is sought


@dataclass(frozen=True, kw_only=True)
class SizeCurve:
    """The fitted curve; sizes in the unit of the defects' sizes. a90_95 is None where the data bound a90 by no size."""

    intercept: float  # log-odds of finding a defect of size 1
    slope: float  # > 0: of the log-odds, a unit of log size
    a50: float
    a90: float
    a90_95: float | None

    def at(self, size: np.ndarray) -> np.ndarray:
        """Return the probability of detection, in [0, 1], of defects of these sizes."""
        return expit(self.intercept + self.slope * np.log(size))


def fit_by_size(size_D: np.ndarray, found_D: np.ndarray) -> SizeCurve | str:
    """Return the curve, or a sentence why the data fix none.

    size_D: > 0; found_D: 1 = found, 0 = missed, or the share of repeats that found the defect. A defect counts once however many repeats
    judged it, so that repeats make no interval narrower.
    """
    x_D, found_D = np.log(np.asarray(size_D, dtype=np.float64)), np.asarray(found_D, dtype=np.float64)
    why = _not_identified(x_D, found_D)
    if why:
        return why
    centre, spread = float(x_D.mean()), float(x_D.std())
    z_D = (x_D - centre) / spread
    best = minimize(lambda w: -_likelihood(w[0] + w[1] * z_D, found_D), np.zeros(2), jac=_gradient(z_D, found_D), method="BFGS", options={"gtol": 1e-9})
    slope = float(best.x[1]) / spread
    intercept = float(best.x[0]) - slope * centre
    log90 = (float(logit(HIGH)) - intercept) / slope if slope > 0.0 else np.inf
    if log90 > LARGEST:
        return "larger defects are not found more often than smaller ones: size does not tell which defects are found"
    bound = _upper(x_D, found_D, float(-best.fun), log90)
    return SizeCurve(
        intercept=intercept,
        slope=slope,
        a50=float(np.exp(-intercept / slope)),
        a90=float(np.exp(log90)),
        a90_95=None if bound is None else float(np.exp(bound)),
    )


def _not_identified(x_D: np.ndarray, found_D: np.ndarray) -> str:
    """Say why maximum likelihood has no finite answer; empty where it has one."""
    if (found_D == 1.0).all():
        return f"all {len(x_D)} marked defects are found, however small: no size is known at which one is missed"
    if (found_D == 0.0).all():
        return f"none of {len(x_D)} marked defects is found"
    if np.ptp(x_D) == 0.0:
        return "all marked defects are of one size"
    found_x, missed_x = x_D[found_D > 0.0], x_D[found_D < 1.0]
    if missed_x.max() <= found_x.min():
        return "every missed defect is smaller than every found one: where between them the curve rises, and how steeply, the data do not say"
    if found_x.max() <= missed_x.min():
        return "every missed defect is larger than every found one: size does not tell which defects are found"
    return ""


def _likelihood(eta_D: np.ndarray, found_D: np.ndarray) -> float:
    """Return the log-likelihood of log-odds eta_D."""
    return float((found_D * eta_D - np.logaddexp(0.0, eta_D)).sum())


def _gradient(z_D: np.ndarray, found_D: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return the gradient of the negative log-likelihood as a function of intercept and slope."""

    def gradient(w: np.ndarray) -> np.ndarray:
        """Return it at w."""
        wrong_D = expit(w[0] + w[1] * z_D) - found_D
        return np.array([wrong_D.sum(), wrong_D @ z_D])

    return gradient


def _upper(x_D: np.ndarray, found_D: np.ndarray, best: float, log90: float) -> float | None:
    """Return the largest log a90 that a likelihood ratio test keeps, among curves that do not fall; None where it keeps all.

    As a90 grows without end the best slope falls to 0, so that no bound exists where a flat curve is not rejected.
    """
    allowed = float(chi2.ppf(2.0 * CONFIDENCE - 1.0, 1)) / 2.0  # one-sided: 5 % in one tail

    def lost(log_size: float) -> float:
        """Return by how much the log-likelihood falls with a90 held there, less what is allowed."""
        distance_D = x_D - log_size
        eta_D = logit(HIGH) + _best_slope(distance_D, found_D) * distance_D
        return best - _likelihood(eta_D, found_D) - allowed

    end = log90 + 1.0
    while lost(end) < 0.0:
        end = log90 + 2.0 * (end - log90)
        if end > LARGEST:
            return None
    return float(brentq(lost, log90, end, xtol=1e-9))


def _best_slope(distance_D: np.ndarray, found_D: np.ndarray) -> float:
    """Return the slope >= 0 of highest likelihood for a curve that is HIGH at distance 0: where its derivative, which falls, is 0."""

    def rise(slope: float) -> float:
        """Return the derivative of the log-likelihood."""
        return float(((found_D - expit(logit(HIGH) + slope * distance_D)) * distance_D).sum())

    if rise(0.0) <= 0.0:
        return 0.0
    end = 1.0
    while rise(end) > 0.0:
        end *= 2.0
    return float(brentq(rise, 0.0, end, xtol=1e-14))


def curve_facts(size_D: np.ndarray, found_D: np.ndarray) -> dict[str, Any]:
    """Return the curve as JSON files hold it: counts, its figures (null where there are none) and `sentence` of what they do not say."""
    curve = fit_by_size(size_D, found_D)
    figures = dict.fromkeys(("intercept", "slope", "a50", "a90", "a90_95")) if isinstance(curve, str) else asdict(curve)
    sentence = curve if isinstance(curve, str) else ""
    if not isinstance(curve, str) and curve.a90_95 is None:
        sentence = "the data bound a90 by no size: a curve that does not rise with size is not rejected"
    return {"missed": float((1.0 - np.asarray(found_D)).sum()), **figures, "sentence": sentence}
