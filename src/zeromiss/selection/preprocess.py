"""What happens to the metric columns before a classifier sees them (paper 1, section 3.3, first phase).

Five transformers, fitted inside every fold on its training part alone, in this order: residual columns become log-odds
(`zeromiss.selection.residuals`, not in the paper), constant columns are dropped, long tails are drawn in (not in the paper), of
correlated columns one is kept, values are scaled to [0, 1]. The paper keeps the first; with several detectors, whose columns are many
and of unequal use, the best may stay instead, and no more than some.
Axes: N images, F columns, K kept columns.
"""

from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted, validate_data

from zeromiss.errors import ZeromissError
from zeromiss.selection.residuals import ResidualLogOdds

ROUNDING = 1e-12  # a column whose range is this small beside its values holds rounding noise only
LARGEST = np.finfo(np.float64).max
MAD_TO_DEVIATION = 1.4826  # of a normal distribution: its standard deviation by its median absolute deviation


class KeptColumns(TransformerMixin, BaseEstimator):
    """What transformers share that keep some columns as they are: their places are in `kept_` (K,), ascending."""

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return the kept columns of X (N, F) as (N, K) float64."""
        check_is_fitted(self)
        return validate_data(self, X, dtype=np.float64, reset=False)[:, self.kept_]

    def get_feature_names_out(self, input_features: ArrayLike) -> np.ndarray:
        """Return the names of the kept columns, (K,), of the names of all (F,)."""
        check_is_fitted(self)
        return np.asarray(input_features, dtype=object)[self.kept_]


class DrawTailsIn(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Replace each column by asinh((x - m) / s), with m the median and s the scaled median absolute deviation of normal parts.

    Differences near the normal values stay as they are, in units of their spread; those far out count by their logarithm. Without
    this a gross defect, fifty times as far out as a faint one, leaves the faint one and all normal parts in a few hundredths of
    the range. The order within a column stays, so trees and monotone constraints are not touched.
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Take the medians of the normal parts, y = 0, of X (N, F), none of whose columns may be constant.

        A column in which most normal parts agree is measured by its standard deviation over all parts.
        """
        X_NF, y_N = validate_data(self, X, y, dtype=np.float64)
        normal_MF = X_NF[np.asarray(y_N) == 0]
        self.middle_ = np.median(normal_MF, axis=0)
        spread_F = MAD_TO_DEVIATION * np.median(np.abs(normal_MF - self.middle_), axis=0)
        low_F, high_F = X_NF.min(axis=0), X_NF.max(axis=0)
        unit_F = unit_scale(X_NF, low_F, high_F).std(axis=0)
        self.spread_ = np.where(spread_F > ROUNDING * np.abs(self.middle_), spread_F, 2 * unit_F * (high_F / 2 - low_F / 2))
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return X (N, F) with its tails drawn in, float64."""
        check_is_fitted(self)
        X_NF = validate_data(self, X, dtype=np.float64, reset=False)
        with np.errstate(over="ignore"):
            away_NF = (X_NF / 2 - self.middle_ / 2) / self.spread_ * 2
        return np.arcsinh(np.clip(away_NF, -LARGEST, LARGEST))


class DropConstant(KeptColumns):
    """Drop columns with one value, up to rounding: a range of at most 1e-12 of the largest magnitude."""

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Find the columns of X (N, F) that vary; raises ZeromissError when none does."""
        X_NF = validate_data(self, X, dtype=np.float64)
        low_F, high_F = X_NF.min(axis=0), X_NF.max(axis=0)
        magnitude_F = np.maximum(np.abs(low_F), np.abs(high_F))
        self.kept_ = np.flatnonzero(high_F / 2 - low_F / 2 > ROUNDING / 2 * magnitude_F)
        if not self.kept_.size:
            raise ZeromissError("every column of the metric table is constant: nothing can be learned from it")
        return self


class DropCorrelated(KeptColumns):
    """Keep a column unless it correlates above `limit`, by absolute value, with an earlier kept one.

    Columns are met in their order; one that was dropped drops no other.
    """

    def __init__(self, limit: float = 0.95) -> None:
        """`limit`: Pearson's |r| in (0, 1] up to which, itself included, both columns stay."""
        self.limit = limit

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Choose among the columns of X (N, F), none of which may be constant."""
        magnitude_FF = np.abs(correlations(validate_data(self, X, dtype=np.float64)))
        self.kept_ = keep_first(magnitude_FF > self.limit)
        return self


class KeepBest(KeptColumns):
    """Keep at most `most` columns, the best first, none that correlates above `limit` with a better one that is kept.

    A column is as good as it alone tells the training part's classes: by how far its AUC is from 0.5, either way. Equally
    good columns are met in their order, and what is kept stays in that order too.
    """

    def __init__(self, limit: float = 0.95, most: int = 100) -> None:
        """`limit`: Pearson's |r| in (0, 1] up to which both columns may stay; `most`: columns, at least 1."""
        self.limit = limit
        self.most = most

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Choose among the columns of X (N, F), none of which may be constant, by the classes y (N,), 1 = defect."""
        X_NF, y_N = validate_data(self, X, y, dtype=np.float64)
        order_F = np.argsort(-telling(X_NF, y_N), kind="stable")
        magnitude_FF = np.abs(correlations(X_NF[:, order_F]))
        self.kept_ = np.sort(order_F[keep_first(magnitude_FF > self.limit)[: self.most]])
        return self


def telling(X_NF: np.ndarray, y_N: np.ndarray) -> np.ndarray:
    """Return how well each column alone tells defects (y = 1) from normals, (F,): its AUC's distance from 0.5, in [0, 0.5]."""
    defect_N = np.asarray(y_N) == 1
    rank_NF = rankdata(X_NF, axis=0)
    defects, normals = int(defect_N.sum()), int((~defect_N).sum())
    wins_F = rank_NF[defect_N].sum(axis=0) - defects * (defects + 1) / 2
    return np.abs(wins_F / (defects * normals) - 0.5)


class UnitScale(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Scale each column to [0, 1] by its lowest and highest value in the training part, and clip.

    Clipping keeps a new part inside the range the classifier knows: a gross defect counts as much as the
    most extreme part seen, instead of being carried anywhere by a column with an opposite weight.
    """

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Take lowest and highest value of each column of X (N, F)."""
        X_NF = validate_data(self, X, dtype=np.float64)
        self.low_, self.high_ = X_NF.min(axis=0), X_NF.max(axis=0)
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return X (N, F) scaled, in [0, 1] also for values never seen."""
        check_is_fitted(self)
        X_NF = validate_data(self, X, dtype=np.float64, reset=False)
        return unit_scale(X_NF, self.low_, self.high_)


def unit_scale(X_NF: np.ndarray, low_F: np.ndarray, high_F: np.ndarray) -> np.ndarray:
    """Return (X - low) / (high - low) clipped to [0, 1]; 0 where a column's range is 0.

    Halves are subtracted, so that a range beyond the largest float does not become infinite.
    """
    range_F = high_F / 2 - low_F / 2
    safe_F = np.where(range_F > 0, range_F, 1.0)
    inside_NF = np.clip(X_NF, low_F, high_F)
    return np.clip((inside_NF / 2 - low_F / 2) / safe_F, 0.0, 1.0)


def correlations(X_NF: np.ndarray) -> np.ndarray:
    """Return Pearson's correlations of the columns, (F, F) in [-1, 1]; 0 with a constant column.

    Columns are brought to [0, 1] first: neither tiny nor huge values over- or underflow when squared.
    """
    unit_NF = unit_scale(X_NF, X_NF.min(axis=0), X_NF.max(axis=0))
    unit_NF -= unit_NF.mean(axis=0)
    length_F = np.sqrt(np.einsum("nf,nf->f", unit_NF, unit_NF))
    unit_NF /= np.where(length_F > 0, length_F, 1.0)
    return np.clip(unit_NF.T @ unit_NF, -1.0, 1.0)


def keep_first(linked_FF: np.ndarray) -> np.ndarray:
    """Return the indices of columns not linked (bool, symmetric) with an earlier kept one, ascending."""
    dropped_F = np.zeros(len(linked_FF), dtype=bool)
    for column in range(len(linked_FF)):
        if not dropped_F[column]:
            dropped_F[column + 1 :] |= linked_FF[column, column + 1 :]
    return np.flatnonzero(~dropped_F)


def build_preprocessing(
    correlation: float, most: int | None = None, *, draw_tails_in: bool = True, blocks: Mapping[str, list[int]] | None = None, seed: int = 0
) -> Pipeline:
    """Return the transformers as one unfitted pipeline; with `most`, the best columns stay, without, the first ones.

    `draw_tails_in`: the paper leaves columns as measured.
    `blocks`: the places of each detector's residual columns, `seed`: of their cross-fitting. Where there are any, `fit_transform` takes the
    images' parts as `residual__groups`.
    """
    chosen = DropCorrelated(correlation) if most is None else KeepBest(correlation, most)
    residual = ResidualLogOdds(dict(blocks or {}), seed=seed)
    drawn_in = [("tails", DrawTailsIn())] if draw_tails_in else []
    return Pipeline([("residual", residual), ("constant", DropConstant()), *drawn_in, ("correlated", chosen), ("scale", UnitScale())])
