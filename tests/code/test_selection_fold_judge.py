"""Judging draws the fast way says bit for bit what the libraries' own estimators say."""

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import AdaBoostClassifier, ExtraTreesClassifier, GradientBoostingClassifier, RandomForestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from zeromiss.selection import fold_judge
from zeromiss.selection.bench import Bench
from zeromiss.selection.draws import draw_parameters
from zeromiss.selection.ensembles import ada_probability, forest_probabilities, gradient_probability
from zeromiss.selection.families import FAMILY, Family
from zeromiss.selection.fit import ReadyFold, Recipe, fit_family, prepare_fold
from zeromiss.selection.probability import defect_probability
from zeromiss.selection.fold_judge import judge_draws
from zeromiss.selection.grow import Grower, column_count, predicted_classes
from zeromiss.stage_params import FAMILIES


def _fold(normals: int = 60, defects: int = 45, *, seed: int = 0, smote: int | None = None, apart: float = 0.7, judged: int = 21) -> ReadyFold:
    """A fold of drawn images; two of its nine columns have few values, so that there are ties."""
    random = np.random.default_rng(seed)
    y_N = random.permutation(np.array([0] * normals + [1] * defects))
    X_NF = np.exp(random.normal(size=(len(y_N), 9)) + apart * y_N[:, None])
    X_NF[:, 7:] = np.round(X_NF[:, 7:])
    split = len(y_N) - judged
    return prepare_fold(X_NF, y_N, (np.arange(split), np.arange(split, len(y_N))), Recipe(correlation=1.0, smote_neighbours=smote, seed=0))


FOLDS = {"plain": _fold(), "smote": _fold(70, 25, seed=1, smote=3), "one judged": _fold(28, 20, seed=2, judged=1)}


@pytest.mark.parametrize("name", FOLDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_says_what_its_estimator_says(family: str, name: str) -> None:
    """Ten draws judged together, against ten fitted and asked one by one."""
    draws, fold = draw_parameters(FAMILY[family].space(25), 10, 3), FOLDS[name]
    for params, judged in zip(draws, judge_draws(family, draws, Bench(fold), 5), strict=True):
        expected_M = defect_probability(fit_family(family, params, fold.train_NF, fold.train_N, 5), fold.judged_MF)
        assert judged.error == ""
        assert np.array_equal(judged.probability_M, expected_M), params


@pytest.mark.parametrize("family", ["rf", "et"])
def test_smaller_forests_are_beginnings_of_larger_ones(family: str) -> None:
    """Four sizes of one forest, out of order and one twice: each equals a forest fitted by itself."""
    shared = next(params for params in draw_parameters(FAMILY[family].space(25), 50, 0) if params.get("bootstrap", True))
    sizes, fold = [12, 3, 25, 3], FOLDS["plain"]
    together = judge_draws(family, [shared | {"n_estimators": size} for size in sizes], Bench(fold), 7)
    for size, judged in zip(sizes, together, strict=True):
        forest = FAMILY[family].build(shared | {"n_estimators": size}, 7).fit(fold.train_NF, fold.train_N)
        assert np.array_equal(judged.probability_M, forest.predict_proba(fold.judged_MF)[:, 1]), size


def test_a_forest_is_grown_once_for_all_its_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two forests of 9 and 4 trees and one of 5 with other depth: 9 + 5 trees."""
    grown = []
    grow = Grower.grow
    monkeypatch.setattr(Grower, "grow", lambda *args: grown.append(1) or grow(*args))
    shared = {"criterion": "gini", "max_features": "sqrt", "max_depth": 4, "min_samples_leaf": 2, "max_samples": None}
    draws = [shared | {"n_estimators": 9}, shared | {"n_estimators": 5, "max_depth": 6}, shared | {"n_estimators": 4}]
    judge_draws("rf", draws, Bench(FOLDS["plain"]), 0)
    assert len(grown) == 14


@pytest.mark.parametrize("max_features", ["sqrt", "log2", None, 0.3, 0.01])
def test_columns_a_split_may_look_at(max_features: str | float | None) -> None:
    """The same count as scikit-learn's tree says after its fit."""
    random = np.random.default_rng(0)
    tree = DecisionTreeClassifier(max_features=max_features).fit(random.normal(size=(20, 37)), np.arange(20) % 2)
    assert column_count(max_features, 37) == tree.max_features_


def test_one_tree_equals_scikit_learns() -> None:
    """Every node: column, limit, children."""
    bench = Bench(FOLDS["plain"])
    settings: dict[str, Any] = {"criterion": "entropy", "max_features": 0.4, "max_depth": 5, "min_samples_leaf": 2}
    mine = Grower(bench.train32_NF, np.random.RandomState(11), **settings).grow(bench.train_N1, None)
    theirs = DecisionTreeClassifier(random_state=11, **settings).fit(bench.fold.train_NF, bench.fold.train_N)
    assert np.array_equal(mine.feature, theirs.tree_.feature) and np.array_equal(mine.threshold, theirs.tree_.threshold)
    assert np.array_equal(mine.children_left, theirs.tree_.children_left)
    assert np.array_equal(predicted_classes(mine, bench.judged32_MF), theirs.predict(bench.fold.judged_MF))


def test_boosting_ends_where_scikit_learns_does() -> None:
    """A first tree that is right everywhere ends AdaBoost after it; so does one that later does no better than guessing."""
    fold = _fold(30, 30, seed=4, apart=9.0)
    ada = AdaBoostClassifier(DecisionTreeClassifier(max_depth=3), n_estimators=20, random_state=0)
    assert len(ada.fit(fold.train_NF, fold.train_N).estimators_) == 1
    assert np.array_equal(ada_probability(ada, Bench(fold)), ada.predict_proba(fold.judged_MF)[:, 1])
    row_N = np.repeat([0.0, 0.0, 1.0, 1.0], 8)  # one column of two values, a quarter of either lies wrong: all is learnt by one tree
    label_N, ended = ((np.arange(32) % 4 == 0) ^ (row_N == 1)).astype(int), 0
    hard = ReadyFold(train_NF=row_N[:, None], train_N=label_N, judged_MF=np.array([[0.0], [1.0]]), judged_M=np.array([0, 1]))
    for seed in range(8):
        ada = AdaBoostClassifier(DecisionTreeClassifier(max_depth=1), n_estimators=30, random_state=seed)
        ended += len(ada.fit(hard.train_NF, hard.train_N).estimators_) < 30
        assert np.array_equal(ada_probability(ada, Bench(hard)), ada.predict_proba(hard.judged_MF)[:, 1])
    assert ended


def test_columns_without_meaning_make_adaboost_refuse() -> None:
    """No tree does better than guessing: both say so, each in its words."""
    even = ReadyFold(train_NF=np.zeros((8, 2)), train_N=np.arange(8) % 2, judged_MF=np.zeros((1, 2)), judged_M=np.zeros(1))
    ada = AdaBoostClassifier(DecisionTreeClassifier(max_depth=1), n_estimators=3, random_state=0)
    with pytest.raises(ValueError, match="worse than random"):
        ada.fit(even.train_NF, even.train_N)
    with pytest.raises(ValueError, match="no better than guessing"):
        ada_probability(ada, Bench(even))


def test_settings_outside_the_spaces() -> None:
    """Whole samples, stumps, many stages and depth without a limit: equal too."""
    fold = FOLDS["plain"]
    boosting = GradientBoostingClassifier(n_estimators=120, max_depth=None, subsample=1.0, learning_rate=0.5, random_state=1)
    boosting.fit(fold.train_NF, fold.train_N)
    assert np.array_equal(gradient_probability(boosting, Bench(fold)), boosting.predict_proba(fold.judged_MF)[:, 1])
    for forest in (RandomForestClassifier(7, max_samples=0.3, random_state=2), ExtraTreesClassifier(7, max_depth=1, random_state=2)):
        expected_M = forest.fit(fold.train_NF, fold.train_N).predict_proba(fold.judged_MF)[:, 1]
        assert np.array_equal(forest_probabilities(forest, [7], Bench(fold))[7], expected_M)


def test_a_failing_draw_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """It carries its error, the others their probabilities."""

    def build(params: dict[str, Any], seed: int, rising_F: np.ndarray | None = None) -> GaussianNB:
        if params["var_smoothing"] < 0:
            raise ValueError("no luck\ntoday")
        return GaussianNB(**params)

    monkeypatch.setitem(fold_judge.FAMILY, "nb", Family(build=build, space=FAMILY["nb"].space))
    good, bad = judge_draws("nb", [{"var_smoothing": 0.1}, {"var_smoothing": -1.0}], Bench(FOLDS["plain"]), 0)
    assert bad.error == "ValueError: no luck today" and bad.probability_M is None
    assert good.error == "" and good.probability_M.shape == (21,)
