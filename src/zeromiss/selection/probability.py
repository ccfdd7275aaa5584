"""A fitted classifier's probability of a defect. Axes: M images, F columns."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.exceptions import ConvergenceWarning

from zeromiss.errors import ZeromissError


def defect_probability(classifier: ClassifierMixin, X_MF: np.ndarray) -> np.ndarray:
    """Return the probability of a defect, (M,) float64 in [0, 1]; raises ZeromissError when one is no number."""
    with understood_warnings():
        return checked_probability(classifier.predict_proba(X_MF)[:, 1])


def checked_probability(probability_M: np.ndarray) -> np.ndarray:
    """Return probabilities as float64 in [0, 1]; raises ZeromissError when one is no number."""
    probability_M = np.asarray(probability_M, dtype=np.float64)
    if not np.isfinite(probability_M).all():
        raise ZeromissError("the classifier gave a probability that is no number")
    return np.clip(probability_M, 0.0, 1.0)


@contextmanager
def understood_warnings() -> Iterator[None]:
    """Silence what the search itself answers.

    A draw that did not converge, met collinear columns or draws few rows a tree is judged by its score on parts it has not
    seen like any other draw. LightGBM names the columns of an array itself and then misses those names in
    the next array. All else is shown.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="Variables are collinear")
        warnings.filterwarnings("ignore", message="Using the fractional value max_samples")
        warnings.filterwarnings("ignore", message="X does not have valid feature names, but LGBMClassifier")
        yield
