"""Randomised search: each family's draws, by their score over stratified folds (paper 1, section 3.3: accuracy).

Draws advance fold by fold, all together; between folds those that need no further one are dropped
(`zeromiss.selection.racing`), and say so.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from zeromiss.errors import ZeromissError
from zeromiss.parallel import run_all
from zeromiss.selection.bench import Bench
from zeromiss.selection.draws import draw_parameters
from zeromiss.selection.families import FAMILY
from zeromiss.selection.fit import ReadyFold
from zeromiss.selection.fold_judge import judge_draws, sharing_key
from zeromiss.selection.racing import CANNOT_WIN, RACED, cannot_win, leaders, left_behind
from zeromiss.selection.scoring import SCORING

BATCH = 8  # draws of one family that one task judges on one fold


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One draw of one family and how it did; scores in [0, 1], over the folds judged, are None when it failed."""

    family: str
    draw: int
    params: dict[str, Any]
    mean_score: float | None
    std_score: float | None
    seconds: float
    error: str  # why it failed, empty if it did not
    folds: int  # judged; fewer than all where it was dropped or failed
    dropped: str  # "cannot win" (proven) or "raced" (behind) where it was not judged on every fold, else empty


@dataclass(kw_only=True)
class _Runner:
    """A draw on its way over the folds."""

    family: str
    draw: int
    params: dict[str, Any]
    scores: list[float] = field(default_factory=list)
    seconds: float = 0.0
    error: str = ""
    dropped: str = ""

    @property
    def running(self) -> bool:
        """Whether it goes on to the next fold."""
        return not self.error and not self.dropped

    @property
    def mean(self) -> float:
        """Its mean score over the folds judged so far."""
        return float(np.mean(self.scores))


def search(
    ready: Sequence[ReadyFold],
    *,
    families: Sequence[str],
    draws: int,
    trees: int,
    seed: int,
    jobs: int,
    racing: float,
    scoring: str = "accuracy",
) -> list[Candidate]:
    """Return every candidate, in the order of families and draws.

    `scoring`: what a draw is judged by on a fold, a name of `SCORING`.
    `racing`: share of a family's draws, the best so far, that goes on after each fold; 1 drops only what cannot
    win. A draw that fails is reported and the others go on. Raises ZeromissError when none succeeds.
    """
    squads = [
        [_Runner(family=family, draw=draw, params=params) for draw, params in enumerate(draw_parameters(FAMILY[family].space(trees), draws, seed))]
        for family in families
    ]
    count = len(ready)
    advance = partial(_advance, seed=seed, jobs=jobs, scoring=scoring)
    advance(squads, ready[:1], title=f"search, fold 1 of {count}")
    advance([_leaders(squad) for squad in squads], ready[1:], title="search, leaders")
    for fold in range(1, count):
        for squad in squads:
            _drop(squad, fold, count, racing)
        behind = [[runner for runner in squad if runner.running and len(runner.scores) == fold] for squad in squads]
        advance(behind, ready[fold : fold + 1], title=f"search, fold {fold + 1} of {count}")
    candidates = [_candidate(runner) for squad in squads for runner in squad]
    if all(candidate.error for candidate in candidates):
        raise ZeromissError(f"no classifier could be fitted; the first said: {candidates[0].error}: check the metric table")
    return candidates


def best_draws(candidates: Sequence[Candidate]) -> dict[str, Candidate]:
    """Return each family's draw of highest mean score over all folds, the first of equals; failed families are missing."""
    best: dict[str, Candidate] = {}
    for candidate in candidates:
        if candidate.mean_score is None or candidate.dropped:
            continue
        leader = best.get(candidate.family)
        if leader is None or candidate.mean_score > leader.mean_score:
            best[candidate.family] = candidate
    return best


def judge_batch(
    family: str, draws: Sequence[dict[str, Any]], fold: ReadyFold, seed: int, scoring: str = "accuracy"
) -> list[tuple[float | None, float, str]]:
    """Return each draw's score on one fold (None where it failed), its seconds and its error."""
    score = SCORING[scoring]
    return [
        (None if judged.probability_M is None else score(judged.probability_M, fold.judged_M), judged.seconds, judged.error)
        for judged in judge_draws(family, draws, Bench(fold), seed)
    ]


def _advance(squads: Iterable[Sequence[_Runner]], ready: Sequence[ReadyFold], *, seed: int, jobs: int, scoring: str, title: str) -> None:
    """Judge the runners on the folds, and let each remember how it did."""
    batches = [(batch, fold) for squad in squads for fold in ready for batch in _batches(squad)]
    if not batches:
        return
    tasks = [(batch[0].family, [runner.params for runner in batch], fold, seed, scoring) for batch, fold in batches]
    for (batch, _), results in zip(batches, run_all(judge_batch, tasks, jobs=jobs, title=title, unit="batch"), strict=True):
        for runner, (score, seconds, error) in zip(batch, results, strict=True):
            runner.seconds += seconds
            runner.error = runner.error or error
            if score is not None and not runner.error:
                runner.scores.append(score)


def _batches(squad: Sequence[_Runner]) -> list[list[_Runner]]:
    """Return the runners in batches; those that can share work stand together."""
    order = sorted(squad, key=lambda runner: sharing_key(runner.family, runner.params))
    return [order[start : start + BATCH] for start in range(0, len(order), BATCH)]


def _leaders(squad: Sequence[_Runner]) -> list[_Runner]:
    """Return the runners that lead after the first fold."""
    running = [runner for runner in squad if runner.running]
    return [running[place] for place in leaders([runner.scores[0] for runner in running])]


def _drop(squad: Sequence[_Runner], fold: int, count: int, racing: float) -> None:
    """Mark who needs no further fold, once every runner has been judged on the first `fold` folds of `count`."""
    finished = [runner for runner in squad if runner.running and len(runner.scores) == count]
    if finished:
        best = max(finished, key=lambda runner: (runner.mean, -runner.draw))
        for runner in squad:
            if runner.running and cannot_win(runner.scores, runner.draw, best.mean, best.draw, count) and runner not in finished:
                runner.dropped = CANNOT_WIN
    running = [runner for runner in squad if runner.running]
    for place in left_behind([float(np.mean(runner.scores[:fold])) for runner in running], racing):
        if len(running[place].scores) < count:
            running[place].dropped = RACED


def _candidate(runner: _Runner) -> Candidate:
    """Return what became of a draw."""
    return Candidate(
        family=runner.family,
        draw=runner.draw,
        params=runner.params,
        mean_score=None if runner.error else runner.mean,
        std_score=None if runner.error else float(np.std(runner.scores)),
        seconds=runner.seconds,
        error=runner.error,
        folds=len(runner.scores),
        dropped=runner.dropped,
    )
