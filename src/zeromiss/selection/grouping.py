"""What near-duplicate photographs do to the figures: the winner judged with each part in one fold, and with its photographs in several.

Only the photographs of such parts change their fold; all else, the folds of all other images included, stays the same. Axis N: images.
"""

from typing import Any

import numpy as np
import pandas as pd

from zeromiss.selection.folds import Fold, search_folds
from zeromiss.selection.judge import judge_pool
from zeromiss.selection.leave_one_out import leave_parts_out
from zeromiss.selection.select import REPEAT, Selection, recipe_of
from zeromiss.selection.source import Source
from zeromiss.stage_params import SelectionParams

FEWEST_REPEATS = 2


def figures_by_grouping(source: Source, groups: list[dict[str, Any]], selection: Selection, params: SelectionParams, seed: int) -> dict[str, Any] | None:
    """Return the winner's cross-validated figures with near-duplicates in one fold (`grouped`) and in several (`spread`).

    groups: of duplicates.json. Both hold image_auroc (higher = better) and fpr_at_zero_missed (lower = better), in [0, 1], over
    `repeats` times `folds`. `groups` and `images` count the groups with two photographed parts or more in the table. The winner's
    parameters are kept, so that this costs one fit a fold. None where the table has no such group, or the winner cannot be fitted on
    one of the folds. Raises ZeromissError where there are too few parts for the folds.
    """
    group_N, photographed_N = parts_of(source.facts, groups)
    together = pd.Series(photographed_N).groupby(group_N).nunique()
    together = set(together.index[together > 1])
    if not together:
        return None
    repeats = max(FEWEST_REPEATS, params.outer_repeats)
    draws = [search_folds(source.y_N, group_N, params.folds, seed + 1 + REPEAT * repeat) for repeat in range(repeats)]
    moved = [spread_groups(folds, group_N, photographed_N) for folds in draws]
    grouped = _figures(source, group_N, [fold for folds in draws for fold in folds], selection, params, seed)
    spread = _figures(source, photographed_N, [fold for folds in moved for fold in folds], selection, params, seed)
    if grouped is None or spread is None:
        return None
    return {
        "repeats": repeats,
        "folds": params.folds,
        "groups": len(together),
        "images": int(np.isin(group_N, list(together)).sum()),
        "grouped": grouped,
        "spread": spread,
    }


def parts_of(facts: pd.DataFrame, groups: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Return each image's part with all near-duplicates joined, and as it was photographed, both (N,) of text."""
    joined = {image["path"]: group["part_id"] for group in groups for image in group["images"]}
    apart = {image["path"]: image["photographed_part"] for group in groups for image in group["images"]}
    rows = list(zip(facts["path"], facts["part_id"].astype(str), strict=True))
    return tuple(np.array([names.get(path, part) for path, part in rows], dtype=object) for names in (joined, apart))


def spread_groups(folds: list[Fold], group_N: np.ndarray, photographed_N: np.ndarray) -> list[Fold]:
    """Return folds in which the photographed parts of a group, which one fold judges, are dealt out over the folds in turn."""
    fold_N = np.empty(len(group_N), dtype=np.int64)
    for number, (_, judged) in enumerate(folds):
        fold_N[judged] = number
    for group in np.unique(group_N):
        members = np.flatnonzero(group_N == group)
        _, rank = np.unique(photographed_N[members], return_inverse=True)
        fold_N[members] = (fold_N[members] + rank) % len(folds)
    return [(np.flatnonzero(fold_N != number), np.flatnonzero(fold_N == number)) for number in range(len(folds))]


def _figures(source: Source, part_N: np.ndarray, folds: list[Fold], selection: Selection, params: SelectionParams, seed: int) -> dict[str, float] | None:
    """Return the winner's figures over folds, each image's probability the mean over repeats; None where a fold cannot be fitted."""
    pools = leave_parts_out(
        source.features.to_numpy(), source.y_N, folds, chosen={selection.winner: selection.best[selection.winner].params},
        recipe=recipe_of(source, params, seed, folds), jobs=params.jobs, part_N=part_N,
    )  # fmt: skip
    probability_N = pools[selection.winner].probability_N
    if probability_N is None:
        return None
    judgement = judge_pool(source.y_N, probability_N)
    return {"image_auroc": judgement.image_auroc, "fpr_at_zero_missed": judgement.zfn.fpr}
