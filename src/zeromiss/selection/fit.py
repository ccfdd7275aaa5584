"""One fold made ready for all families, and one classifier fitted on it. Axes: N, M images, F columns."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.pipeline import Pipeline

from zeromiss.metrics.columns import residual_blocks, rises
from zeromiss.selection.families import FAMILY
from zeromiss.selection.folds import Fold
from zeromiss.selection.preprocess import build_preprocessing
from zeromiss.selection.probability import understood_warnings
from zeromiss.selection.resample import oversample


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What every fit of a selection shares."""

    correlation: float  # above: keep one column only
    smote_neighbours: int | None  # None: classes are balanced enough
    seed: int
    most: int | None = None  # columns, the best; None: all, the first of correlated ones
    draw_tails_in: bool = True  # long tails of columns; the paper leaves them as measured
    columns: tuple[str, ...] = ()  # names of the table's columns; empty: unnamed, and none is a residual column


@dataclass(frozen=True, kw_only=True)
class ReadyFold:
    """A fold after preprocessing that was fitted on its training part alone; values in [0, 1]."""

    train_NF: np.ndarray
    train_N: np.ndarray  # 0 normal, 1 defect; after SMOTE where it acts
    judged_MF: np.ndarray
    judged_M: np.ndarray
    rising_F: np.ndarray | None = None  # which columns are stated to rise with abnormality; None: the columns have no names


def prepare_fold(X_NF: np.ndarray, y_N: np.ndarray, fold: Fold, recipe: Recipe, part_N: np.ndarray | None = None) -> ReadyFold:
    """Fit the preprocessing on the fold's training part, transform both parts, oversample the training part.

    part_N: the images' parts, needed where the table has residual columns.
    """
    training, judged = fold
    part_M = None if part_N is None else part_N[training]
    preprocessing, train_NF = fit_preprocessing(X_NF[training], y_N[training], recipe, part_M)
    train_N = y_N[training]
    if recipe.smote_neighbours is not None:
        train_NF, train_N = oversample(train_NF, train_N, neighbours=recipe.smote_neighbours, seed=recipe.seed)
    return ReadyFold(
        train_NF=train_NF,
        train_N=train_N,
        judged_MF=preprocessing.transform(X_NF[judged]),
        judged_M=y_N[judged],
        rising_F=rising(preprocessing, recipe),
    )


def fit_preprocessing(
    X: np.ndarray | pd.DataFrame, y_N: np.ndarray, recipe: Recipe, part_N: np.ndarray | None
) -> tuple[Pipeline, np.ndarray]:
    """Return the preprocessing fitted on X (N, F), and the rows that a classifier trains on; these are not `transform` of X.

    Raises ValueError where there are residual columns and the parts aren't given: without them the rows would tell their own labels.
    """
    blocks = residual_blocks(recipe.columns)
    if blocks and part_N is None:
        raise ValueError("the table has residual columns: their model is cross-fitted by part, and needs part_N")
    preprocessing = build_preprocessing(recipe.correlation, recipe.most, draw_tails_in=recipe.draw_tails_in, blocks=blocks, seed=recipe.seed)
    return preprocessing, preprocessing.fit_transform(X, y_N, residual__groups=part_N)


def rising(preprocessing: Pipeline, recipe: Recipe) -> np.ndarray | None:
    """Return which columns behind the fitted preprocessing are stated to rise with abnormality, (F,); None for unnamed columns."""
    if not recipe.columns:
        return None
    return np.array([rises(name) for name in preprocessing.get_feature_names_out(list(recipe.columns))])


def fit_family(
    family: str, params: dict[str, Any], X_NF: np.ndarray, y_N: np.ndarray, seed: int, rising_F: np.ndarray | None = None
) -> ClassifierMixin:
    """Return a classifier of the family, built from `params` and fitted; rising_F: as of `ReadyFold`."""
    with understood_warnings():
        return FAMILY[family].build(params, seed, rising_F).fit(X_NF, y_N)


def fit_pipeline(
    family: str, params: dict[str, Any], table: pd.DataFrame, y_N: np.ndarray, recipe: Recipe, part_N: np.ndarray | None = None
) -> Pipeline:
    """Return preprocessing and classifier fitted on all rows of `table` (N, F), as one scikit-learn pipeline.

    SMOTE has done its work once the classifier is fitted: the pipeline does not hold it. Column names and
    their order are remembered, and others refused. part_N: as of `prepare_fold`.
    """
    preprocessing, train_NF = fit_preprocessing(table, y_N, recipe, part_N)
    train_N = y_N
    if recipe.smote_neighbours is not None:
        train_NF, train_N = oversample(train_NF, train_N, neighbours=recipe.smote_neighbours, seed=recipe.seed)
    classifier = fit_family(family, params, train_NF, train_N, recipe.seed, rising(preprocessing, recipe))
    return Pipeline([*preprocessing.steps, ("classifier", classifier)])
