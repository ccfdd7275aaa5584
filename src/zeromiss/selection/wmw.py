"""A classifier that minimises false alarms at full sensitivity instead of errors (poster of papers 1 and 3; method, section 3).

The partial AUC near a true positive rate of 1 depends on the lowest-scored defects alone. Its differentiable
surrogate is that of the Wilcoxon-Mann-Whitney statistic: a pair of a defect's and a normal's score costs
(gamma - (s+ - s-))^p where the defect is not ahead by gamma, else nothing. A score that is the same for all costs
gamma^p, which is less than an honest score costs on hard defects; so the spread of the scores is fixed, and
only the direction in the space of the columns is learned.
Axes: N images, F columns, P defects, Q normals, K the lowest-scored defects.
"""

import math
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import solve_triangular
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data

from zeromiss.errors import ZeromissError

STEEPNESS = 2.0  # of the logistic function, at a spread of 1
LOWEST_SLOPE = 1e-6  # of the calibration: above 0, so that it changes no order


class WMWClassifier(ClassifierMixin, BaseEstimator):
    """A linear score through a logistic function, fitted for few false alarms at no missed defect; two classes.

    Fitted attributes: `classes_` (2,), `coef_` (F,), `intercept_`, `n_iter_` (steps of both passes).
    """

    def __init__(self, *, share: float = 0.1, gamma: float = 0.5, p: float = 2.0, alpha: float = 1.0, max_iter: int = 40) -> None:
        """`share` in (0, 1]: of the defects, the lowest-scored, that count, at least one; 1 = the whole AUC.

        `gamma` in (0, 1]: how far a defect's score must lie ahead; `p` above 1: power of what it lacks; `alpha`
        above 0: how much of the mean variance is added to every column's, which keeps a direction from living on
        columns that hardly vary; `max_iter`: most steps of each of the two passes.
        """
        self.share = share
        self.gamma = gamma
        self.p = p
        self.alpha = alpha
        self.max_iter = max_iter

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit on X (N, F) and labels (N,) of two classes; the larger label is the defect's.

        A first pass, from Fisher's direction, takes all defects into account, a second goes on with the
        lowest-scored ones alone. Nothing is random. Raises ZeromissError for a setting outside its range, ValueError
        for one class or three.
        """
        self._check_settings()
        X_NF, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_ = unique_labels(y)
        if len(self.classes_) != 2:
            found = "one class" if len(self.classes_) == 1 else f"{len(self.classes_)} classes"
            raise ValueError(f"Only binary classification is supported: y holds {found}")
        defect_N = y == self.classes_[1]
        centre_F, factor_FF = spread(X_NF, defect_N, self.alpha)
        rows_NF = solve_triangular(factor_FF, (X_NF - centre_F).T, lower=True).T
        direction_F = self._descend(rows_NF[defect_N], rows_NF[~defect_N])
        slope, offset = calibrate(rows_NF @ direction_F, defect_N)
        self.coef_ = slope * solve_triangular(factor_FF, direction_F, lower=True, trans="T")
        self.intercept_ = float(offset - centre_F @ self.coef_)
        return self

    def _descend(self, defects_PF: np.ndarray, normals_QF: np.ndarray) -> np.ndarray:
        """Return the direction (F,), of length 1, of least loss in the space in which the rows have one spread."""
        direction_F, self.n_iter_ = defects_PF.mean(axis=0) - normals_QF.mean(axis=0), 0
        if not direction_F.any():
            direction_F = np.ones_like(direction_F)
        for share in dict.fromkeys((1.0, self.share)):
            arguments = (defects_PF, normals_QF, count_lowest(share, len(defects_PF)), self.gamma, self.p)
            start_F = direction_F / np.linalg.norm(direction_F)
            found = minimize(wmw_loss, start_F, args=arguments, jac=True, method="L-BFGS-B", options={"maxiter": self.max_iter})
            direction_F, self.n_iter_ = found.x, self.n_iter_ + int(found.nit)
        return direction_F / np.linalg.norm(direction_F)

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Return the logit of the score of X (N, F), (N,): above 0 = the larger label."""
        check_is_fitted(self)
        X_NF = validate_data(self, X, dtype=np.float64, order="C", reset=False)
        return (X_NF * self.coef_).sum(axis=1) + self.intercept_  # row by row: alone or among others, a row gets the same bits

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return (N, 2): 1 - score and score, in [0, 1]; calibrated on the training rows, which keeps the scores' order."""
        score_N = expit(self.decision_function(X))
        return np.stack([1.0 - score_N, score_N], axis=1)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the labels of X (N, F) at a score of 0.5, (N,)."""
        above_N = self.decision_function(X) > 0
        return self.classes_[above_N.astype(np.intp)]

    def __sklearn_tags__(self) -> Tags:
        """Say that there are two classes."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def _check_settings(self) -> None:
        """Refuse settings for which the loss is not what it should be."""
        ranges = {"share": (0.0, 1.0), "gamma": (0.0, 1.0), "p": (1.0, math.inf), "alpha": (0.0, math.inf)}
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not (low < value <= high and math.isfinite(value)):
                most = f" and at most {high:g}" if math.isfinite(high) else ""
                raise ZeromissError(f"the WMW classifier's {name} is {value}: it must be above {low:g}{most}")


def count_lowest(share: float, defects: int) -> int:
    """Return how many of the defects a share makes up, rounded up, at least one: 0.1 of 21 is 3."""
    return max(1, math.ceil(round(share * defects, 9)))


def spread(X_NF: np.ndarray, defect_N: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Return centre (F,) and the lower Cholesky factor (F, F) of the covariance plus alpha * (mean variance) * I.

    Both classes weigh alike; the centre is the middle between their means.
    """
    weight_N = np.where(defect_N, 0.5 / defect_N.sum(), 0.5 / (~defect_N).sum())
    centre_F = weight_N @ X_NF
    rows_NF = (X_NF - centre_F) * np.sqrt(weight_N)[:, None]
    covariance_FF = rows_NF.T @ rows_NF
    variance = float(np.trace(covariance_FF)) / len(covariance_FF) or 1.0
    return centre_F, np.linalg.cholesky(covariance_FF + alpha * variance * np.eye(len(covariance_FF)))


def wmw_loss(
    weights_F: np.ndarray, defects_PF: np.ndarray, normals_QF: np.ndarray, lowest: int, gamma: float, p: float
) -> tuple[float, np.ndarray]:
    """Return the loss and its gradient (F,) for the direction of `weights_F`, whose length, above 0, counts for nothing.

    Mean over pairs of the `lowest` lowest-scored defects with all normals of max(0, gamma - (s+ - s-))^p; scores s in
    [0, 1], logistic in the rows' place along the direction. Lower is better. Where the set of lowest defects
    changes, the loss is continuous and its gradient that of one of the sets.
    """
    length = float(np.linalg.norm(weights_F))
    unit_F = weights_F / length
    defect_P, normal_Q = (expit(STEEPNESS * (rows @ unit_F)) for rows in (defects_PF, normals_QF))
    lowest_K = np.argpartition(defect_P, lowest - 1)[:lowest]
    score_K, pairs = defect_P[lowest_K], lowest * len(normal_Q)
    lacking_KQ = np.maximum(gamma + normal_Q - score_K[:, None], 0.0)
    slope_KQ = lacking_KQ ** (p - 1.0)
    loss = float(np.vdot(slope_KQ, lacking_KQ)) / pairs
    slope_KQ *= STEEPNESS * p / pairs
    pull_K = -slope_KQ.sum(axis=1) * score_K * (1.0 - score_K)  # through the logistic function
    push_Q = slope_KQ.sum(axis=0) * normal_Q * (1.0 - normal_Q)
    gradient_F = pull_K @ defects_PF[lowest_K] + push_Q @ normals_QF
    return loss, (gradient_F - (unit_F @ gradient_F) * unit_F) / length


def calibrate(logit_N: np.ndarray, defect_N: np.ndarray) -> tuple[float, float]:
    """Return slope (above 0) and offset that turn logits into those of a probability (Platt, 1999).

    Cross-entropy against targets drawn in from 0 and 1 by the number of images, so that separable rows give
    finite values; both classes weigh alike, so that 0.5 lies between them however rare one is.
    """
    defects = int(defect_N.sum())
    normals = len(defect_N) - defects
    target_N = np.where(defect_N, (defects + 1) / (defects + 2), 1 / (normals + 2))
    weight_N = np.where(defect_N, 0.5 / defects, 0.5 / normals)
    scale = float(np.std(logit_N)) or 1.0
    unit_N = logit_N / scale

    def cross_entropy(line: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the cross-entropy and its gradient for (slope, offset)."""
        logit_N = line[0] * unit_N + line[1]
        lacking_N = weight_N * (expit(logit_N) - target_N)
        loss = float(weight_N @ (np.logaddexp(0.0, logit_N) - target_N * logit_N))
        return loss, np.array([lacking_N @ unit_N, lacking_N.sum()])

    found = minimize(cross_entropy, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(LOWEST_SLOPE, None), (None, None)])
    return float(found.x[0]) / scale, float(found.x[1])
