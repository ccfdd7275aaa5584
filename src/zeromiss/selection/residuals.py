"""What differs, not only by how much: a detector's residual vector becomes one column, the log-odds of a linear model.

The residual columns of a detector (`<detector>.residual.<nnn>`) are the mean whitened difference of an image's worst cells, signed.
Their direction tells a defect from a harmless variation. There are as many of them as there are channels, so a classifier that met them beside
the other columns would fit their noise. Axes: N images, F columns, R residual columns of one detector, D detectors, K columns given on.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted, validate_data

from zeromiss.errors import ZeromissError
from zeromiss.metrics.columns import log_odds_column
from zeromiss.selection.folds import search_folds

C = 0.005  # of the logistic regression on standardised columns: between 0.003 and 0.03 it makes no difference beyond noise
FOLDS = 5  # of the cross-fitting, or as many as the rarer class has parts
FEWEST_PARTS = 2  # of each class: fewer can't be cross-fitted


class ResidualLogOdds(TransformerMixin, BaseEstimator):
    """Replace each detector's residual columns by the log-odds of a defect that a logistic regression reads from them.

    `fit_transform` is not `fit` followed by `transform`. It returns cross-fitted values: the log-odds of an image come from a model
    that saw no image of its part. `transform` uses the model fitted on all rows. A classifier trained on the values of a model that had seen
    the very rows would trust them far too much. scikit-learn's TargetEncoder does the same for the same reason.

    The log-odds come first, one column a detector; the other columns follow in their order.
    Fitted attributes, one array a detector in the order of `blocks`: `mean_` (R,), `scale_` (R,), `coef_` (R,), and `intercept_` (D,).
    """

    def __init__(self, blocks: Mapping[str, list[int]] | None = None, *, c: float = C, folds: int = FOLDS, seed: int = 0) -> None:
        """`blocks`: the places of each detector's residual columns; None or empty passes all columns on.

        `c`: the inverse strength of the ridge penalty, above 0; `folds`: of the cross-fitting, at least 2; `seed`: of these folds.
        """
        self.blocks = blocks
        self.c = c
        self.folds = folds
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike | None = None, groups: ArrayLike | None = None) -> Self:
        """Fit one model a detector on all rows of X (N, F) and labels y (N,), 1 = defect; `groups` only serves `fit_transform`."""
        self._fit(X, y)
        return self

    def fit_transform(self, X: ArrayLike, y: ArrayLike | None = None, groups: ArrayLike | None = None) -> np.ndarray:
        """Fit on all rows and return (N, K) with cross-fitted log-odds.

        `groups`: the part of each image, (N,); None: each image is a part of its own. Raises ZeromissError when a class comes from fewer
        than two parts.
        """
        X_NF, y_N = self._fit(X, y)
        if not self.blocks:
            return X_NF
        odds_ND = np.empty((len(X_NF), len(self.blocks)))
        for training, judged in self._folds(y_N, groups):
            for number, places in enumerate(self.blocks.values()):
                model = _fit_model(X_NF[training][:, places], y_N[training], self.c)
                odds_ND[judged, number] = _log_odds(X_NF[judged][:, places], *model)
        return np.hstack((odds_ND, X_NF[:, self.others_]))

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return (N, K) for X (N, F): the log-odds of the models fitted on all training rows, then the other columns."""
        check_is_fitted(self)
        X_NF = validate_data(self, X, dtype=np.float64, reset=False)
        if not self.blocks:
            return X_NF
        models = zip(self.mean_, self.scale_, self.coef_, self.intercept_, strict=True)
        odds = [_log_odds(X_NF[:, places], *model) for places, model in zip(self.blocks.values(), models, strict=True)]
        return np.hstack((np.stack(odds, axis=1), X_NF[:, self.others_]))

    def get_feature_names_out(self, input_features: ArrayLike) -> np.ndarray:
        """Return the names of the columns given on, (K,), of the names of all (F,)."""
        check_is_fitted(self)
        return np.array([*map(log_odds_column, self.blocks or {}), *np.asarray(input_features, dtype=object)[self.others_]], dtype=object)

    def _fit(self, X: ArrayLike, y: ArrayLike | None) -> tuple[np.ndarray, np.ndarray]:
        """Fit the models on all rows; return rows and labels as arrays."""
        X_NF = validate_data(self, X, dtype=np.float64)
        blocks = self.blocks or {}
        self.others_ = np.setdiff1d(np.arange(X_NF.shape[1]), np.array([place for places in blocks.values() for place in places], dtype=int))
        y_N = np.zeros(len(X_NF), dtype=int) if y is None else np.asarray(y)
        if blocks and len(np.unique(y_N)) < 2:
            raise ZeromissError("the residual columns are read by a model that needs normals and defects: add images of the missing kind")
        models = [_fit_model(X_NF[:, places], y_N, self.c) for places in blocks.values()]
        self.mean_, self.scale_, self.coef_ = ([model[part] for model in models] for part in range(3))
        self.intercept_ = [model[3] for model in models]
        return X_NF, y_N

    def _folds(self, y_N: np.ndarray, groups: ArrayLike | None) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the folds of the cross-fitting, by part."""
        part_N = np.arange(len(y_N)) if groups is None else np.asarray(groups)
        fewest = min(len(np.unique(part_N[y_N == label])) for label in (0, 1))
        if fewest < FEWEST_PARTS:
            raise ZeromissError(
                f"the residual columns are cross-fitted by part, and one class has {fewest} part to train on: add parts of the rarer class"
            )
        return search_folds(y_N, part_N, min(self.folds, fewest), self.seed)

    def __sklearn_tags__(self) -> Any:
        """Say that labels are needed."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = bool(self.blocks)
        return tags


Model = tuple[np.ndarray, np.ndarray, np.ndarray, float]  # mean (R,), scale (R,), coefficients (R,), intercept


def _fit_model(X_NR: np.ndarray, y_N: np.ndarray, c: float) -> Model:
    """Return the logistic regression on standardised columns; both classes weigh alike."""
    mean_R, scale_R = X_NR.mean(axis=0), X_NR.std(axis=0)
    scale_R = np.where(scale_R > 0, scale_R, 1.0)
    fitted = LogisticRegression(C=c, class_weight="balanced").fit((X_NR - mean_R) / scale_R, y_N)
    return mean_R, scale_R, fitted.coef_[0], float(fitted.intercept_[0])


def _log_odds(X_NR: np.ndarray, mean_R: np.ndarray, scale_R: np.ndarray, coef_R: np.ndarray, intercept: float) -> np.ndarray:
    """Return the log-odds of a defect, (N,); a row gets the same bits alone or among others."""
    return (np.ascontiguousarray((X_NR - mean_R) / scale_R) * coef_R).sum(axis=1) + intercept
