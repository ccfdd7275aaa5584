"""Logistic regression in which no column that rises with abnormality can speak for a normal part. Axes: N images, F columns.

Correlated columns tempt an unconstrained fit to weigh one against the other. Such a difference fits the noise of a few hundred images, and
a gross defect, far out in both columns, can then get a low score. Coefficients of at least 0 rule that out.
"""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data

from zeromiss.errors import ZeromissError

MAX_ITER, TOLERANCE = 500, 1e-6


class NonNegativeLogistic(ClassifierMixin, BaseEstimator):
    """Ridge logistic regression on standardised columns, with coefficients of at least 0 for rising columns; two classes.

    Fitted attributes: `classes_` (2,), `coef_` (F,) and `intercept_`, both for the columns as they are given, `n_iter_`.
    """

    def __init__(self, *, C: float = 0.01, rising: list[bool] | None = None) -> None:
        """`C`, above 0: inverse strength of the penalty, as in scikit-learn; `rising`: which columns (F,) are bound; None: all."""
        self.C = C
        self.rising = rising

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit on X (N, F) and labels (N,) of two classes, which weigh alike; the larger label is the defect's.

        Raises ZeromissError for a C that is not above 0, ValueError for one class or three.
        """
        if not self.C > 0:
            raise ZeromissError(f"the non-negative logistic regression's C is {self.C}: it must be above 0")
        X_NF, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_ = unique_labels(y)
        if len(self.classes_) != 2:
            found = "one class" if len(self.classes_) == 1 else f"{len(self.classes_)} classes"
            raise ValueError(f"Only binary classification is supported: y holds {found}")
        defect_N = (y == self.classes_[1]).astype(np.float64)
        mean_F, scale_F = X_NF.mean(axis=0), X_NF.std(axis=0)
        scale_F = np.where(scale_F > 0, scale_F, 1.0)
        rising_F = np.ones(X_NF.shape[1], dtype=bool) if self.rising is None else np.asarray(self.rising)
        bounds = [*((0.0 if rises else None, None) for rises in rising_F), (None, None)]
        weight_N = np.where(defect_N == 1, 0.5 / defect_N.mean(), 0.5 / (1.0 - defect_N.mean()))
        arguments = ((X_NF - mean_F) / scale_F, defect_N, weight_N, self.C)
        options = {"maxiter": MAX_ITER, "gtol": TOLERANCE}
        found = minimize(logistic_loss, np.zeros(len(bounds)), args=arguments, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        self.coef_ = found.x[:-1] / scale_F
        self.intercept_ = float(found.x[-1] - mean_F @ self.coef_)
        self.n_iter_ = int(found.nit)
        return self

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Return the log-odds of the larger label for X (N, F), (N,)."""
        check_is_fitted(self)
        X_NF = validate_data(self, X, dtype=np.float64, order="C", reset=False)
        return (X_NF * self.coef_).sum(axis=1) + self.intercept_  # row by row: alone or among others, a row gets the same bits

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return (N, 2): the probabilities of both classes."""
        score_N = expit(self.decision_function(X))
        return np.stack([1.0 - score_N, score_N], axis=1)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the labels of X (N, F) at a probability of 0.5, (N,)."""
        above_N = self.decision_function(X) > 0
        return self.classes_[above_N.astype(np.intp)]

    def __sklearn_tags__(self) -> Tags:
        """Say that there are two classes, and that columns which fall with the larger label can't be used."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class, tags.classifier_tags.poor_score = False, True
        return tags


def logistic_loss(
    weights: np.ndarray, X_NF: np.ndarray, defect_N: np.ndarray, weight_N: np.ndarray, C: float
) -> tuple[float, np.ndarray]:
    """Return scikit-learn's objective, weighted log-loss plus |coefficients|^2 / (2 C), per image, and its gradient (F + 1,).

    weights: coefficients, then the intercept, which is not penalised; defect_N: 1 = defect.
    """
    coef_F, images = weights[:-1], len(defect_N)
    logit_N = X_NF @ coef_F + weights[-1]
    lacking_N = weight_N * (expit(logit_N) - defect_N)
    loss = float(weight_N @ (np.logaddexp(0.0, logit_N) - defect_N * logit_N)) + float(coef_F @ coef_F) / (2.0 * C)
    gradient = np.append(X_NF.T @ lacking_N + coef_F / C, lacking_N.sum())
    return loss / images, gradient / images
