"""Leave one part out: out-of-fold probabilities of each family's best draw (paper 1, section 3.3)."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zeromiss.parallel import run_all
from zeromiss.selection.fit import Recipe, defect_probability, fit_family, prepare_fold
from zeromiss.selection.folds import Fold
from zeromiss.selection.search import describe


@dataclass(frozen=True, kw_only=True)
class Pool:
    """One family's out-of-fold probabilities of a defect, (N,) in [0, 1]; None when a fold failed."""

    probability_N: np.ndarray | None
    seconds: float  # of fitting and judging, over all folds
    error: str  # why it failed, empty if it did not


@dataclass(frozen=True, kw_only=True)
class _FoldResult:
    """What one family said of the images left out in one fold."""

    probability_M: np.ndarray | None
    seconds: float
    error: str


def leave_parts_out(
    X_NF: np.ndarray,
    y_N: np.ndarray,
    folds: Sequence[Fold],
    *,
    chosen: Mapping[str, dict[str, Any]],
    recipe: Recipe,
    jobs: int,
) -> dict[str, Pool]:
    """Fit each family's chosen parameters once a fold and pool what it says of the images left out.

    The folds' judged parts together hold each image once. A fold's preprocessing is fitted once and shared
    by the families. A family that fails in a fold is reported, and the others go on.
    """
    tasks = [(X_NF, y_N, fold, dict(chosen), recipe) for fold in folds]
    results = run_all(judge_left_out, tasks, jobs=jobs, title="leave one part out", unit="fold")
    return {family: _pool([result[family] for result in results], folds, len(y_N)) for family in chosen}


def judge_left_out(
    X_NF: np.ndarray, y_N: np.ndarray, fold: Fold, chosen: dict[str, dict[str, Any]], recipe: Recipe
) -> dict[str, _FoldResult]:
    """Fit every family on one fold's training part and judge the images left out."""
    ready = prepare_fold(X_NF, y_N, fold, recipe)
    results = {}
    for family, params in chosen.items():
        start = time.perf_counter()
        probability_M, error = None, ""
        try:
            classifier = fit_family(family, params, ready.train_NF, ready.train_N, recipe.seed)
            probability_M = defect_probability(classifier, ready.judged_MF)
        except Exception as problem:  # whatever a library raises, the other families must go on
            error = describe(problem)
        results[family] = _FoldResult(probability_M=probability_M, seconds=time.perf_counter() - start, error=error)
    return results


def _pool(results: Sequence[_FoldResult], folds: Sequence[Fold], images: int) -> Pool:
    """Put the folds' probabilities at their images' places."""
    seconds = sum(result.seconds for result in results)
    for number, result in enumerate(results):
        if result.error:
            return Pool(probability_N=None, seconds=seconds, error=f"leaving part {number} out: {result.error}")
    probability_N = np.empty(images)
    for (_, judged), result in zip(folds, results, strict=True):
        probability_N[judged] = result.probability_M
    return Pool(probability_N=probability_N, seconds=seconds, error="")
