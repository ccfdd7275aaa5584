"""Dropping draws: what is proven changes no winner, what is raced says so."""

import numpy as np
import pytest

from zeromiss.selection import racing
from zeromiss.selection.bench import Bench
from zeromiss.selection.draws import draw_parameters
from zeromiss.selection.families import FAMILY
from zeromiss.selection.fit import ReadyFold, Recipe, prepare_fold
from zeromiss.selection.fold_judge import judge_draws
from zeromiss.selection.folds import search_folds
from zeromiss.selection.racing import cannot_win, leaders, left_behind
from zeromiss.selection.scoring import SCORING
from zeromiss.selection.search import Candidate, best_draws, search

CHEAP = ("dt", "rf", "et", "ada", "lr", "knn", "nb", "lda", "qda")


@pytest.fixture(scope="module")
def ready() -> list[ReadyFold]:
    """Five folds of 90 drawn images with six columns."""
    random = np.random.default_rng(0)
    y_N = np.repeat([0, 1], 45)
    X_NF = random.normal(size=(90, 6)) + 1.2 * y_N[:, None] * (np.arange(6) < 3)
    folds = search_folds(y_N, np.arange(90).astype(str), 5, 0)
    return [prepare_fold(X_NF, y_N, fold, Recipe(correlation=0.95, smote_neighbours=None, seed=0, draw_tails_in=False)) for fold in folds]


def _search(
    ready: list[ReadyFold], *, families: tuple[str, ...] = CHEAP, draws: int = 30, share: float, scoring: str = "accuracy"
) -> list[Candidate]:
    return search(ready, families=families, draws=draws, trees=6, seed=0, jobs=1, racing=share, scoring=scoring)


def _accuracies(candidate: Candidate, ready: list[ReadyFold]) -> list[float]:
    """The candidate's accuracy on every fold, each draw fitted by itself."""
    return [
        float(np.mean((judge_draws(candidate.family, [candidate.params], Bench(fold), 0)[0].probability_M >= 0.5) == (fold.judged_M == 1)))
        for fold in ready
    ]


def test_without_racing_the_winners_are_those_of_all_folds(ready: list[ReadyFold]) -> None:
    """Every draw of nine families on every fold by brute force: same best draws; what was dropped could not win."""
    candidates = _search(ready, share=1.0)
    best, dropped = best_draws(candidates), 0
    for family in CHEAP:
        tried = [candidate for candidate in candidates if candidate.family == family]
        means = [float(np.mean(_accuracies(candidate, ready))) for candidate in tried]
        assert best[family].draw == int(np.argmax(means))  # the first of equals
        assert best[family].mean_score == max(means) and best[family].folds == 5
        for candidate, mean in zip(tried, means, strict=True):
            assert candidate.dropped in ("", "cannot win") and (candidate.folds == 5) == (candidate.dropped == "")
            assert not candidate.dropped or (mean, -candidate.draw) < (max(means), -best[family].draw)
            dropped += bool(candidate.dropped)
    assert dropped > 20


@pytest.mark.parametrize("scoring", ["zfn_accuracy", "partial_auc"])
def test_other_scores_drop_no_winner_either(ready: list[ReadyFold], scoring: str) -> None:
    """By brute force again; and what aims at full sensitivity chooses other draws than accuracy does."""
    families = ("dt", "knn", "lda")
    best = best_draws(_search(ready, families=families, share=1.0, scoring=scoring))
    for family, winner in best.items():
        tried = draw_parameters(FAMILY[family].space(6), 30, 0)
        judged = [judge_draws(family, tried, Bench(fold), 0) for fold in ready]
        means = [
            float(np.mean([SCORING[scoring](draws[number].probability_M, fold.judged_M) for draws, fold in zip(judged, ready, strict=True)]))
            for number in range(len(tried))
        ]
        assert winner.draw == int(np.argmax(means)) and winner.mean_score == max(means)
    usual = best_draws(_search(ready, families=families, share=1.0))
    assert any(best[family].draw != usual[family].draw for family in families)


def test_accuracies_are_those_of_the_folds_judged(ready: list[ReadyFold]) -> None:
    """Mean and standard deviation over the first folds, as many as the table says."""
    for candidate in _search(ready, families=("knn", "dt"), share=0.4):
        judged = _accuracies(candidate, ready)[: candidate.folds]
        assert candidate.mean_score == float(np.mean(judged)) and candidate.std_score == float(np.std(judged))


def test_racing_leaves_a_share_after_each_fold(ready: list[ReadyFold]) -> None:
    """Of 60 draws half go on after each fold, never fewer than twelve, and no leader is lost."""
    candidates = _search(ready, families=("knn",), draws=60, share=0.5)
    known = {folds: sum(candidate.folds >= folds for candidate in candidates) for folds in range(1, 6)}
    assert known[1] == 60 and known[2] <= 30 + racing.LEADERS and known[3] <= 15 + racing.LEADERS
    assert known[5] <= racing.FEWEST
    raced = [candidate for candidate in candidates if candidate.dropped == "raced"]
    assert len(raced) >= 40 and all(candidate.folds < 5 for candidate in raced)
    first = [_accuracies(candidate, ready)[0] for candidate in candidates]
    assert all(candidates[place].folds == 5 for place in np.argsort(-np.array(first), kind="stable")[: racing.LEADERS])
    assert not best_draws(candidates)["knn"].dropped


def test_few_draws_are_not_raced(ready: list[ReadyFold]) -> None:
    """Ten draws, the quick profile's, end as they would without racing."""
    raced, whole = (_search(ready, families=("knn", "lda"), draws=10, share=share) for share in (0.01, 1.0))
    assert [(one.folds, one.dropped, one.mean_score) for one in raced] == [(one.folds, one.dropped, one.mean_score) for one in whole]


def test_what_cannot_win_by_hand() -> None:
    """0.6, 0.7 and 0.6 on three of five folds: with ones for the others 3.9 / 5 = 0.78; 0.7, 0.8 and 0.7 may reach 0.84."""
    assert cannot_win([0.6, 0.7, 0.6], 0, 0.8, 3, 5)
    assert not cannot_win([0.7, 0.8, 0.7], 9, 0.8, 3, 5)
    assert cannot_win([0.5, 0.5], 4, 0.75, 3, 4)  # equal, and later: the first of equals wins
    assert not cannot_win([0.5, 0.5], 2, 0.75, 3, 4)  # equal, and earlier: it would win


def test_who_leads_and_who_is_left_behind() -> None:
    """Equal accuracies go by the order of draws; at least FEWEST stay."""
    assert leaders([0.5, 0.9, 0.9, 0.7, 0.9, 0.8]) == [1, 2, 4, 5]
    falling = [1 - place / 100 for place in range(40)]
    assert left_behind(falling, 0.5) == set(range(20, 40))
    assert left_behind([0.5] * 30, 0.5) == set(range(15, 30))
    assert left_behind(falling, 0.01) == set(range(racing.FEWEST, 40))
    assert left_behind(falling, 1.0) == set() and left_behind([0.1] * racing.FEWEST, 0.01) == set()
