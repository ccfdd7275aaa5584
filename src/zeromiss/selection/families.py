"""The families of classifiers and the spaces their parameters are drawn from: paper 1's twelve (section 3.3), and ours.

Every classifier fits on one thread and from one seed, so that the number of jobs changes nothing.
The spaces suit a few hundred images and up to a few hundred columns in [0, 1]: shallow trees, strong
regularisation, column subsets. `trees` is the most trees an ensemble may have; boosting rounds stay
below it, since their learning rates are drawn to match.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from lightgbm import LGBMClassifier
from scipy.stats import loguniform, randint, uniform
from sklearn.base import ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import AdaBoostClassifier, ExtraTreesClassifier, GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from zeromiss.errors import ZeromissError
from zeromiss.selection.nonnegative import NonNegativeLogistic
from zeromiss.selection.vote import SoftVote
from zeromiss.selection.wmw import WMWClassifier
from zeromiss.stage_params import VOTE

Space = dict[str, Any] | list[dict[str, Any]]  # lists or scipy distributions by parameter name
BINS = 63  # histogram bins of the boosters: as fine as a few hundred rows can use, and quick


class Build(Protocol):
    """What makes a classifier, not fitted, of drawn parameters."""

    def __call__(self, params: dict[str, Any], seed: int, rising_F: np.ndarray | None = None) -> ClassifierMixin:
        """`rising_F`: which columns are stated to rise with abnormality; None: of none it is stated."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family: how to build a classifier from drawn parameters, and the space they are drawn from."""

    build: Build
    space: Callable[[int], Space]  # most trees


def _builder(kind: type[ClassifierMixin], *, seeded: bool = True, **fixed: Any) -> Build:
    """Return what builds a classifier of this kind from drawn parameters and the seed, if it takes one."""

    def build(params: dict[str, Any], seed: int, rising_F: np.ndarray | None = None) -> ClassifierMixin:
        """Return the classifier, not fitted."""
        return kind(**fixed, **({"random_state": seed} if seeded else {}), **params)

    return build


def _booster(kind: type[ClassifierMixin], **fixed: Any) -> Build:
    """Return what builds a booster; where `monotone` is drawn, its score may not fall where a rising column rises."""

    def build(params: dict[str, Any], seed: int, rising_F: np.ndarray | None = None) -> ClassifierMixin:
        """Return the booster, not fitted."""
        own = {name: value for name, value in params.items() if name != "monotone"}
        if params.get("monotone") and rising_F is not None and rising_F.any():
            own["monotone_constraints"] = tuple(int(rises) for rises in rising_F)
        return kind(**fixed, random_state=seed, **own)

    return build


def _non_negative(params: dict[str, Any], seed: int, rising_F: np.ndarray | None = None) -> NonNegativeLogistic:
    return NonNegativeLogistic(rising=None if rising_F is None else rising_F.tolist(), **params)


def _vote(params: dict[str, Any], seed: int, rising_F: np.ndarray | None = None) -> SoftVote:
    return SoftVote([FAMILY[family].build(own, seed, rising_F) for family, own in params.items()])


def _tree_space(trees: int) -> Space:
    return {
        "criterion": ["gini", "entropy"],
        "max_depth": [2, 3, 4, 5, 6, 8, None],
        "min_samples_leaf": randint(1, 25),
        "max_features": [0.3, 0.6, None],
        "ccp_alpha": loguniform(1e-4, 3e-2),
    }


def _forest_space(trees: int) -> Space:
    return {
        "n_estimators": randint(_share(trees, 0.5), trees + 1),
        "criterion": ["gini", "entropy"],
        "max_features": ["sqrt", "log2", 0.05, 0.15],
        "max_depth": [4, 6, 8, None],
        "min_samples_leaf": randint(1, 8),
        "max_samples": [0.4, 0.6, 0.8, None],
    }


def _extra_space(trees: int) -> Space:
    return {
        "n_estimators": randint(_share(trees, 0.5), trees + 1),
        "criterion": ["gini", "entropy"],
        "max_features": ["sqrt", 0.1, 0.2, 0.35, 0.5],
        "max_depth": [5, 7, 10, None],
        "min_samples_leaf": randint(1, 8),
        "bootstrap": [False, True],
    }


def _ada(params: dict[str, Any], seed: int, rising_F: np.ndarray | None = None) -> AdaBoostClassifier:
    base = DecisionTreeClassifier(
        max_depth=params["max_depth"], max_features=params["max_features"], min_samples_leaf=params["min_samples_leaf"]
    )
    return AdaBoostClassifier(base, n_estimators=params["n_estimators"], learning_rate=params["learning_rate"], random_state=seed)


def _ada_space(trees: int) -> Space:
    return {
        "n_estimators": randint(_share(trees, 0.2), _share(trees, 0.5) + 1),
        "learning_rate": loguniform(0.03, 1.5),
        "max_depth": [1, 2, 3],
        "max_features": ["sqrt", 0.1, 0.2],
        "min_samples_leaf": randint(1, 12),
    }


def _lightgbm_space(trees: int) -> Space:
    return {
        "n_estimators": randint(_share(trees, 0.4), trees + 1),
        "learning_rate": loguniform(0.02, 0.3),
        "num_leaves": [3, 4, 6, 8, 12, 16],
        "min_child_samples": randint(5, 40),
        "subsample": uniform(0.5, 0.5),
        "colsample_bytree": uniform(0.1, 0.7),
        "reg_lambda": loguniform(1e-3, 30),
        "monotone": [False, True],
    }


def _gradient_space(trees: int) -> Space:
    return {
        "n_estimators": randint(_share(trees, 0.4), _share(trees, 0.9) + 1),
        "learning_rate": loguniform(0.03, 0.3),
        "max_depth": [1, 2, 3, 4],
        "max_features": ["sqrt", "log2", 0.1, 0.2],
        "min_samples_leaf": randint(1, 20),
        "subsample": uniform(0.4, 0.6),
    }


def _xgboost_space(trees: int) -> Space:
    return {
        "n_estimators": randint(_share(trees, 0.4), trees + 1),
        "learning_rate": loguniform(0.03, 0.4),
        "max_depth": [1, 2, 3, 4, 6],
        "min_child_weight": loguniform(0.3, 6),
        "subsample": uniform(0.5, 0.5),
        "colsample_bytree": uniform(0.1, 0.7),
        "reg_lambda": loguniform(1e-2, 30),
        "monotone": [False, True],
    }


def _logistic_space(trees: int) -> Space:
    ridge = {"solver": ["newton-cholesky"], "l1_ratio": [0.0], "C": loguniform(1e-2, 10)}  # of columns in [0, 1]: a variance of some 0.03
    lasso = {"solver": ["liblinear"], "l1_ratio": [1.0], "C": loguniform(1e-2, 5)}
    return [ridge, lasso]


def _neighbours_space(trees: int) -> Space:
    return {"n_neighbors": list(range(1, 41)), "weights": ["uniform", "distance"], "p": [1, 2]}


def _bayes_space(trees: int) -> Space:
    return {"var_smoothing": loguniform(1e-9, 1)}


def _linear_space(trees: int) -> Space:
    return [{"solver": ["lsqr"], "shrinkage": loguniform(1e-4, 1)}, {"solver": ["svd"]}, {"solver": ["lsqr"], "shrinkage": ["auto"]}]


def _quadratic_space(trees: int) -> Space:
    return {"reg_param": loguniform(1e-4, 1)}


def _wmw_space(trees: int) -> Space:
    return {"share": [0.05, 0.15, 0.4, 1.0], "gamma": uniform(0.2, 0.8), "p": [1.5, 2.0, 3.0], "alpha": loguniform(0.05, 200)}


def _non_negative_space(trees: int) -> Space:
    return {"C": loguniform(1e-3, 0.3)}


def _vote_space(trees: int) -> Space:
    raise ZeromissError("a vote is not drawn: it is made of the best families (selection.families)")


def _share(trees: int, share: float) -> int:
    """Return a share of the most trees, at least one."""
    return max(1, round(trees * share))


_LIGHTGBM = {"verbosity": -1, "deterministic": True, "force_col_wise": True, "subsample_freq": 1}
FAMILY = {
    "dt": Family(build=_builder(DecisionTreeClassifier), space=_tree_space),
    "rf": Family(build=_builder(RandomForestClassifier, n_jobs=1), space=_forest_space),
    "et": Family(build=_builder(ExtraTreesClassifier, n_jobs=1), space=_extra_space),
    "ada": Family(build=_ada, space=_ada_space),
    "lightgbm": Family(build=_booster(LGBMClassifier, n_jobs=1, max_bin=BINS, **_LIGHTGBM), space=_lightgbm_space),
    "gbc": Family(build=_builder(GradientBoostingClassifier), space=_gradient_space),
    "xgboost": Family(build=_booster(XGBClassifier, n_jobs=1, verbosity=0, tree_method="hist", max_bin=BINS), space=_xgboost_space),
    "lr": Family(build=_builder(LogisticRegression, max_iter=200), space=_logistic_space),
    "knn": Family(build=_builder(KNeighborsClassifier, seeded=False, algorithm="brute", n_jobs=1), space=_neighbours_space),
    "nb": Family(build=_builder(GaussianNB, seeded=False), space=_bayes_space),
    "lda": Family(build=_builder(LinearDiscriminantAnalysis, seeded=False), space=_linear_space),
    "qda": Family(build=_builder(QuadraticDiscriminantAnalysis, seeded=False), space=_quadratic_space),
    "wmw": Family(build=_builder(WMWClassifier, seeded=False), space=_wmw_space),
    "nnlr": Family(build=_non_negative, space=_non_negative_space),
    VOTE: Family(build=_vote, space=_vote_space),
}
