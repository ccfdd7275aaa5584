"""One fold made ready for all families, and one classifier fitted on it. Axes: N, M images, F columns."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.pipeline import Pipeline

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


@dataclass(frozen=True, kw_only=True)
class ReadyFold:
    """A fold after preprocessing that was fitted on its training part alone; values in [0, 1]."""

    train_NF: np.ndarray
    train_N: np.ndarray  # 0 normal, 1 defect; after SMOTE where it acts
    judged_MF: np.ndarray
    judged_M: np.ndarray


def prepare_fold(X_NF: np.ndarray, y_N: np.ndarray, fold: Fold, recipe: Recipe) -> ReadyFold:
    """Fit the preprocessing on the fold's training part, transform both parts, oversample the training part."""
    training, judged = fold
    preprocessing = build_preprocessing(recipe.correlation, recipe.most)
    train_NF, train_N = preprocessing.fit_transform(X_NF[training], y_N[training]), y_N[training]
    if recipe.smote_neighbours is not None:
        train_NF, train_N = oversample(train_NF, train_N, neighbours=recipe.smote_neighbours, seed=recipe.seed)
    return ReadyFold(train_NF=train_NF, train_N=train_N, judged_MF=preprocessing.transform(X_NF[judged]), judged_M=y_N[judged])


def fit_family(family: str, params: dict[str, Any], X_NF: np.ndarray, y_N: np.ndarray, seed: int) -> ClassifierMixin:
    """Return a classifier of the family, built from `params` and fitted."""
    with understood_warnings():
        return FAMILY[family].build(params, seed).fit(X_NF, y_N)


def fit_pipeline(
    family: str, params: dict[str, Any], table: pd.DataFrame, y_N: np.ndarray, recipe: Recipe
) -> Pipeline:
    """Return preprocessing and classifier fitted on all rows of `table` (N, F), as one scikit-learn pipeline.

    SMOTE has done its work once the classifier is fitted: the pipeline does not hold it. Column names and
    their order are remembered, and others refused.
    """
    preprocessing = build_preprocessing(recipe.correlation, recipe.most)
    train_NF, train_N = preprocessing.fit_transform(table, y_N), y_N
    if recipe.smote_neighbours is not None:
        train_NF, train_N = oversample(train_NF, train_N, neighbours=recipe.smote_neighbours, seed=recipe.seed)
    classifier = fit_family(family, params, train_NF, train_N, recipe.seed)
    return Pipeline([*preprocessing.steps, ("classifier", classifier)])
