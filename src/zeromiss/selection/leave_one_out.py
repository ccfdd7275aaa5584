"""Leave one part out: out-of-fold probabilities of each family's best draw (paper 1, section 3.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zeromiss.parallel import run_all
from zeromiss.selection.bench import Bench
from zeromiss.selection.fit import ReadyFold, Recipe, prepare_fold
from zeromiss.selection.fold_judge import Judged, judge_draws
from zeromiss.selection.folds import Fold


@dataclass(frozen=True, kw_only=True)
class Pool:
    """One family's out-of-fold probabilities of a defect, (N,) in [0, 1]; None when a fold failed."""

    probability_N: np.ndarray | None
    seconds: float  # of fitting and judging, over all folds
    error: str  # why it failed, empty if it did not


def leave_parts_out(
    X_NF: np.ndarray,
    y_N: np.ndarray,
    folds: Sequence[Fold],
    *,
    chosen: Mapping[str, dict[str, Any]],
    recipe: Recipe,
    jobs: int,
    part_N: np.ndarray | None = None,
    ready: Sequence[ReadyFold] | None = None,
) -> dict[str, Pool]:
    """Fit each family's chosen parameters once a fold and pool what it says of the images left out.

    The folds' judged parts together hold each image once, or equally often: then its probability is the mean. A fold's preprocessing is fitted once and shared
    by the families. A family that fails in a fold is reported, and the others go on. part_N: as of `prepare_fold`.
    ready: the folds after their preprocessing, where it has been done before.
    """
    same = dict(chosen)
    if ready is None:
        tasks = [(X_NF, y_N, fold, same, recipe, part_N) for fold in folds]
        results = run_all(judge_left_out, tasks, jobs=jobs, title="leave one part out", unit="fold")
    else:
        tasks = [(fold, same, recipe.seed) for fold in ready]
        results = run_all(judge_ready, tasks, jobs=jobs, title="leave one fold out", unit="fold")
    return {family: _pool([result[family] for result in results], folds, len(y_N)) for family in chosen}


def judge_left_out(
    X_NF: np.ndarray,
    y_N: np.ndarray,
    fold: Fold,
    chosen: Mapping[str, dict[str, Any]],
    recipe: Recipe,
    part_N: np.ndarray | None = None,
) -> dict[str, Judged]:
    """Make one fold ready, fit every family on its training part and judge the images left out."""
    return judge_ready(prepare_fold(X_NF, y_N, fold, recipe, part_N), chosen, recipe.seed)


def judge_ready(fold: ReadyFold, chosen: Mapping[str, dict[str, Any]], seed: int) -> dict[str, Judged]:
    """Fit every family on the training part of a fold made ready and judge the images left out."""
    bench = Bench(fold)
    return {family: judge_draws(family, [params], bench, seed)[0] for family, params in chosen.items()}


def _pool(results: Sequence[Judged], folds: Sequence[Fold], images: int) -> Pool:
    """Put the folds' probabilities at their images' places."""
    seconds = sum(result.seconds for result in results)
    for number, result in enumerate(results):
        if result.error:
            return Pool(probability_N=None, seconds=seconds, error=f"leaving part {number} out: {result.error}")
    total_N, times_N = np.zeros(images), np.zeros(images)
    for (_, judged), result in zip(folds, results, strict=True):
        total_N[judged] += result.probability_M
        times_N[judged] += 1
    return Pool(probability_N=total_N / times_N, seconds=seconds, error="")
