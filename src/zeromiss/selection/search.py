"""Randomised search: each family's draws, by accuracy over stratified folds (paper 1, section 3.3)."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zeromiss.errors import ZeromissError
from zeromiss.parallel import run_all
from zeromiss.selection.draws import draw_parameters
from zeromiss.selection.families import FAMILY
from zeromiss.selection.fit import ReadyFold, defect_probability, fit_family

STANDARD = 0.5  # the threshold of the STD columns of paper 1's Table 1


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One draw of one family and how it did; accuracies in [0, 1] are None when it failed."""

    family: str
    draw: int
    params: dict[str, Any]
    mean_accuracy: float | None
    std_accuracy: float | None
    seconds: float
    error: str  # why it failed, empty if it did not


def search(
    ready: Sequence[ReadyFold], *, families: Sequence[str], draws: int, trees: int, seed: int, jobs: int
) -> list[Candidate]:
    """Return every candidate, in the order of families and draws.

    A draw that fails is reported and the others go on. Raises ZeromissError when none succeeds.
    """
    tasks = [
        (family, draw, params, ready, seed)
        for family in families
        for draw, params in enumerate(draw_parameters(FAMILY[family].space(trees), draws, seed))
    ]
    candidates = run_all(try_candidate, tasks, jobs=jobs, title="search", unit="draw")
    if all(candidate.error for candidate in candidates):
        raise ZeromissError(f"no classifier could be fitted; the first said: {candidates[0].error}: check the metric table")
    return candidates


def try_candidate(family: str, draw: int, params: dict[str, Any], ready: Sequence[ReadyFold], seed: int) -> Candidate:
    """Fit and judge one draw on every fold."""
    start = time.perf_counter()
    mean, spread, error = None, None, ""
    try:
        accuracies = [_accuracy(family, params, fold, seed) for fold in ready]
        mean, spread = float(np.mean(accuracies)), float(np.std(accuracies))
    except Exception as problem:  # whatever a library raises, the other candidates must go on
        error = describe(problem)
    return Candidate(
        family=family,
        draw=draw,
        params=params,
        mean_accuracy=mean,
        std_accuracy=spread,
        seconds=time.perf_counter() - start,
        error=error,
    )


def best_draws(candidates: Sequence[Candidate]) -> dict[str, Candidate]:
    """Return each family's draw of highest mean accuracy, the first of equals; failed families are missing."""
    best: dict[str, Candidate] = {}
    for candidate in candidates:
        if candidate.mean_accuracy is None:
            continue
        leader = best.get(candidate.family)
        if leader is None or candidate.mean_accuracy > leader.mean_accuracy:
            best[candidate.family] = candidate
    return best


def describe(problem: Exception) -> str:
    """Return an exception's kind and text on one line."""
    return f"{type(problem).__name__}: {' '.join(str(problem).split())}"[:300]


def _accuracy(family: str, params: dict[str, Any], fold: ReadyFold, seed: int) -> float:
    """Return the share of the fold's judged images on the right side of 0.5."""
    classifier = fit_family(family, params, fold.train_NF, fold.train_N, seed)
    abnormal_M = defect_probability(classifier, fold.judged_MF) >= STANDARD
    return float(np.mean(abnormal_M == (fold.judged_M == 1)))
