"""How well one number alone tells two groups of images apart: the area under the ROC curve, with an interval."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

_APART = 1e-9  # from the observed area, where the search for an end begins: at 0 and 1 it is an end of its own


@dataclass(frozen=True, kw_only=True)
class Telling:
    """The AUC in [0.5, 1], whichever way the property points, with its interval; n_a, n_b: parts in each group."""

    auc: float
    low: float
    high: float
    n_a: int
    n_b: int


def tell(a_A: np.ndarray, b_B: np.ndarray, *, confidence: float) -> Telling:
    """Return how well a property tells the group with the values `a_A` from that with `b_B`, each of one value or more.

    `low` and `high` bound the AUC with `confidence`; where 0.5 lies within, `low` is 0.5.
    """
    label_N = np.concatenate((np.ones(len(a_A)), np.zeros(len(b_B))))
    auc = float(roc_auc_score(label_N, np.concatenate((a_A, b_B))))
    folded = max(auc, 1.0 - auc)
    low, high = auc_interval(folded, len(a_A), len(b_B), confidence=confidence)
    return Telling(auc=folded, low=max(low, 0.5), high=high, n_a=len(a_A), n_b=len(b_B))


def auc_interval(auc: float, n_a: int, n_b: int, *, confidence: float) -> tuple[float, float]:
    """Return the AUCs that an observed one, in [0, 1], does not contradict with `confidence`.

    Those at which the observed value lies no more standard errors away than a normal distribution allows, with
    Hanley and McNeil's standard error for the AUC in question, both groups at their mean size (Newcombe's fifth
    method). Unlike an interval around the observed value it is no single point at an AUC of 1.
    """
    z = float(norm.isf((1.0 - confidence) / 2.0))

    def beyond(candidate: float) -> float:
        """Return by how much the candidate lies too far from the observed AUC, squared; below 0: within."""
        return (auc - candidate) ** 2 - (z * z) * _variance(candidate, n_a, n_b)

    low = brentq(beyond, 0.0, auc - _APART) if auc > _APART else 0.0
    high = brentq(beyond, auc + _APART, 1.0) if auc < 1.0 - _APART else 1.0
    return float(low), float(high)


def _variance(auc: float, n_a: int, n_b: int) -> float:
    """Return Hanley and McNeil's variance of an AUC, both groups at their mean size."""
    others = (n_a + n_b) / 2.0 - 1.0
    return auc * (1.0 - auc) * (1.0 + others * (1.0 - auc) / (2.0 - auc) + others * auc / (1.0 + auc)) / (n_a * n_b)
