"""A soft vote: the mean of several classifiers' log-odds. Axes: N images, F columns, K classifiers."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

FLOOR = 0.001  # probabilities are kept this far from 0 and 1: a forest's 0 means that no tree objected, not that it is sure


class SoftVote(ClassifierMixin, BaseEstimator):
    """Fits several classifiers on the same rows and averages their log-odds; two classes.

    Fitted attributes: `estimators_`, one a classifier, and `classes_` (2,).
    """

    def __init__(self, estimators: list[ClassifierMixin]) -> None:
        """`estimators`: the classifiers, not fitted; each gives probabilities."""
        self.estimators = estimators

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit a copy of every classifier on X (N, F) and labels y (N,), the larger label the defect's."""
        self.estimators_ = [clone(estimator).fit(X, y) for estimator in self.estimators]
        self.classes_ = self.estimators_[0].classes_
        return self

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return (N, 2): the probabilities of both classes."""
        check_is_fitted(self)
        defect_N = mean_logit([estimator.predict_proba(X)[:, 1] for estimator in self.estimators_])
        return np.stack([1.0 - defect_N, defect_N], axis=1)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the labels of X (N, F) at a probability of 0.5, (N,)."""
        above_N = self.predict_proba(X)[:, 1] > 0.5
        return self.classes_[above_N.astype(np.intp)]


def mean_logit(probability_KN: Sequence[np.ndarray]) -> np.ndarray:
    """Return the probability whose log-odds are the mean of the given ones' log-odds, (N,); those are kept 0.001 from 0 and 1."""
    kept_KN = np.clip(np.asarray(probability_KN, dtype=np.float64), FLOOR, 1.0 - FLOOR)
    return expit(logit(kept_KN).mean(axis=0))
