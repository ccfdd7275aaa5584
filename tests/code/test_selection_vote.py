"""The soft vote and the non-negative logistic regression by hand and against scikit-learn; constrained boosters; which columns rise."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from zeromiss.errors import ZeromissError
from zeromiss.metrics.columns import feature_columns, map_columns, rises
from zeromiss.selection.bench import Bench
from zeromiss.selection.families import FAMILY
from zeromiss.selection.fit import Recipe, fit_pipeline, prepare_fold
from zeromiss.selection.fold_judge import judge_draws
from zeromiss.selection.judge import judge_pool, pick_winner, ranked
from zeromiss.selection.nonnegative import NonNegativeLogistic, logistic_loss
from zeromiss.selection.select import VOTERS, select
from zeromiss.selection.source import FACTS, read_source
from zeromiss.selection.store import load_classifier, save_classifier
from zeromiss.selection.vote import SoftVote, mean_logit
from zeromiss.stage_params import VOTE, SelectionParams


def drawn(images: int = 60, columns: int = 4, seed: int = 0, apart: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and labels; every column rises with abnormality."""
    random = np.random.default_rng(seed)
    y_N = np.arange(images) % 2
    return random.normal(size=(images, columns)) + apart * y_N[:, None], y_N


def test_log_odds_are_averaged() -> None:
    """Odds of 4 and of 1 give odds of 2, by hand; a probability of 0 counts as 0.001."""
    assert mean_logit([np.array([0.8]), np.array([0.5])])[0] == pytest.approx(2 / 3)
    assert mean_logit([np.array([0.0]), np.array([0.5])])[0] == pytest.approx(expit(logit(0.001) / 2))


def test_a_vote_fits_copies_and_averages_them() -> None:
    X_NF, y_N = drawn()
    given = [LogisticRegression(C=0.1), LogisticRegression(C=10.0)]
    vote = SoftVote(given).fit(X_NF, y_N)
    expected_N = mean_logit([LogisticRegression(C=c).fit(X_NF, y_N).predict_proba(X_NF)[:, 1] for c in (0.1, 10.0)])
    np.testing.assert_allclose(vote.predict_proba(X_NF)[:, 1], expected_N, atol=1e-12)
    assert not hasattr(given[0], "coef_") and vote.predict(X_NF).tolist() == (expected_N > 0.5).astype(int).tolist()


def test_without_a_bound_it_is_scikit_learns_ridge() -> None:
    X_NF, y_N = drawn(80)
    y_N[:20] = 0  # classes of unlike size
    mine = NonNegativeLogistic(C=0.05, rising=[False] * 4).fit(X_NF, y_N)
    theirs = LogisticRegression(C=0.05, class_weight="balanced", tol=1e-8).fit(StandardScaler().fit_transform(X_NF), y_N)
    np.testing.assert_allclose(mine.predict_proba(X_NF), theirs.predict_proba(StandardScaler().fit_transform(X_NF)), atol=1e-4)


def test_a_column_that_rises_never_speaks_for_a_normal_part() -> None:
    """Two columns share their noise: unbound, their difference is weighed; bound, the worse one gets a weight of 0."""
    random = np.random.default_rng(1)
    y_N = np.arange(300) % 2
    shared_N = random.normal(size=300)
    X_NF = np.stack((shared_N + 2.0 * y_N + 0.1 * random.normal(size=300), shared_N), axis=1)
    free = NonNegativeLogistic(C=1.0, rising=[True, False]).fit(X_NF, y_N)
    bound = NonNegativeLogistic(C=1.0).fit(X_NF, y_N)
    assert free.coef_[0] > 0 and free.coef_[1] < -0.5
    assert bound.coef_[0] > 0 and bound.coef_[1] == 0.0


def test_the_gradient_is_that_of_the_loss() -> None:
    X_NF, y_N = drawn(20)
    weights, weight_N = np.array([0.3, -0.2, 0.1, 0.5, -0.4]), np.linspace(0.5, 1.5, 20)
    gradient = logistic_loss(weights, X_NF, y_N, weight_N, 0.2)[1]
    for place, step in enumerate(1e-6 * np.eye(5)):
        ends = [logistic_loss(weights + sign * step, X_NF, y_N, weight_N, 0.2)[0] for sign in (1, -1)]
        assert gradient[place] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-6)


def test_a_penalty_of_nothing_is_refused() -> None:
    with pytest.raises(ZeromissError, match="C is 0.0: it must be above 0"):
        NonNegativeLogistic(C=0.0).fit(*drawn())


@parametrize_with_checks([NonNegativeLogistic()])
def test_it_is_an_estimator(estimator, check) -> None:
    """scikit-learn's own checks."""
    assert check(estimator) is None


@pytest.mark.parametrize("family", ["lightgbm", "xgboost"])
def test_a_constrained_booster_never_falls(family: str) -> None:
    """Along a rising column that the labels contradict: unbound the score falls, bound it can't; the fast way says the same."""
    random = np.random.default_rng(0)
    names = ("a.map.m.q99", "a.map.m.skewness")
    X_NF = random.random((200, 2))
    y_N = ((X_NF[:, 0] < 0.5) ^ (random.random(200) < 0.1)).astype(int)  # falls in the first column
    recipe = Recipe(correlation=1.0, smote_neighbours=None, seed=0, columns=names)
    fold = prepare_fold(X_NF, y_N, (np.arange(150), np.arange(150, 200)), recipe)
    assert fold.rising_F.tolist() == [True, False]
    line_MF = np.stack((np.linspace(0, 1, 50), np.full(50, 0.5)), axis=1)
    shared = {"n_estimators": 10, "learning_rate": 0.3, "min_child_samples": 5} if family == "lightgbm" else {"n_estimators": 10}
    falls = {}
    for monotone in (False, True):
        params = shared | {"monotone": monotone}
        booster = FAMILY[family].build(params, 0, fold.rising_F).fit(fold.train_NF, fold.train_N)
        falls[monotone] = bool((np.diff(booster.predict_proba(line_MF)[:, 1]) < -1e-9).any())
        [judged] = judge_draws(family, [params], Bench(fold), 0)
        assert np.array_equal(judged.probability_M, booster.predict_proba(fold.judged_MF)[:, 1].astype(np.float64))
    assert falls == {False: True, True: False}


def test_which_columns_rise_is_stated() -> None:
    unstated = {name for name in feature_columns("vqgan", masked=True) if not rises(name)}
    assert unstated == {"vqgan.image.critic", "vqgan.image.critic_hat", "vqgan.image.orb_no_keypoints"} | {
        f"vqgan.image.{values}.min" for values in ("difference", "map", "context")
    }
    assert {name for name in map_columns("padim", []) if not rises(name)} == {"padim.image.map.min"}
    assert [rises(f"patchknn.map.position.{name}") for name in ("q50", "grid00", "blob_area", "skewness", "kurtosis", "blob_count")] == [True] * 3 + [False] * 3
    assert [rises(name) for name in ("patchknn.residual.log_odds", "patchknn.residual.003", "f0")] == [True, False, False]


def test_scores_decide_before_accuracies() -> None:
    y_N = np.array([0, 0, 1, 1])
    judgements = {"a": judge_pool(y_N, np.array([0.1, 0.2, 0.8, 0.9])), "b": judge_pool(y_N, np.array([0.1, 0.9, 0.8, 0.9]))}
    assert pick_winner(judgements) == "a" and pick_winner(judgements, {"a": 0.1, "b": 0.2}) == "b"
    assert ranked(judgements, {"a": 0.1, "b": 0.1}) == ["a", "b"]


@pytest.fixture(scope="module")
def source():
    X_NF, y_N = drawn(40, apart=1.2)
    facts = dict.fromkeys(FACTS, "") | {"path": np.arange(40).astype(str), "part_id": np.arange(40).astype(str), "native_score": 0.0}
    facts["label"] = np.where(y_N == 1, "defect", "normal")
    return read_source(pd.DataFrame(facts | {f"a.map.m.grid{number:02d}": X_NF[:, number] for number in range(4)}))


def test_the_best_families_vote(source) -> None:
    """The pool is the mean of the three best ones' pools; the vote counts as one candidate more."""
    params = SelectionParams(families=("nb", "lda", "lr", "nnlr", "vote"), scoring="partial_auc", draws=2, folds=2, jobs=1)
    found = select(source, params, 0, pool="folds")
    voters = list(found.best[VOTE].params)
    assert len(voters) == VOTERS and set(voters) < {"nb", "lda", "lr", "nnlr"}
    np.testing.assert_array_equal(found.pools[VOTE].probability_N, mean_logit([found.pools[family].probability_N for family in voters]))
    assert found.n_candidates == 9


def test_a_vote_that_wins_is_fitted_stored_and_read(source, tmp_path: Path) -> None:
    """Members of several libraries lie in one file; nothing else may."""
    members = {"lr": {"C": 1.0}, "lightgbm": {"n_estimators": 3, "monotone": True}, "xgboost": {"n_estimators": 3}, "nnlr": {"C": 0.1}}
    recipe = Recipe(correlation=0.95, smote_neighbours=None, seed=0, columns=tuple(source.features.columns))
    before = fit_pipeline(VOTE, members, source.features, source.y_N, recipe)
    save_classifier(tmp_path / "classifier.skops", before)
    after = load_classifier(tmp_path / "classifier.skops")
    assert np.array_equal(before.predict_proba(source.features), after.predict_proba(source.features))
    alone = [fit_pipeline(family, own, source.features, source.y_N, recipe).predict_proba(source.features)[:, 1] for family, own in members.items()]
    np.testing.assert_allclose(before.predict_proba(source.features)[:, 1], mean_logit(alone), atol=1e-12)


def test_repeated_folds_are_averaged(source) -> None:
    """Two repeats: twice as many folds are searched, and each image's probability is a mean of two."""
    params = SelectionParams(families=("nb",), draws=1, folds=2, jobs=1)
    once, twice = (select(source, params.model_copy(update={"repeats": repeats}), 0, pool="folds") for repeats in (1, 2))
    assert [found.candidates[0].folds for found in (once, twice)] == [2, 4]
    assert not np.array_equal(once.pools["nb"].probability_N, twice.pools["nb"].probability_N)


def test_a_vote_over_one_family_is_refused() -> None:
    with pytest.raises(ValueError, match="asks for a vote over fewer than two other families"):
        SelectionParams(families=("nb", "vote"))
