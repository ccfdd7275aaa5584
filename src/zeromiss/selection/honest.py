"""The honest protocol: preprocessing, search, winner and threshold see the inner part only, outer parts judge.

The paper's protocol tells how well the chosen classifier separates the images it was chosen on; this one
how well the same way of choosing does on parts it has never met.
"""

import numpy as np
import pandas as pd
from tqdm import tqdm

from zeromiss.errors import ZeromissError
from zeromiss.selection.probability import defect_probability
from zeromiss.selection.folds import Fold, search_folds
from zeromiss.selection.resample import check_neighbours, is_imbalanced
from zeromiss.selection.select import select
from zeromiss.selection.source import Source
from zeromiss.selection.threshold_set import ThresholdSet
from zeromiss.stage_params import SelectionParams

COLUMNS = ("repeat", "fold", "path", "part_id", "label", "defect_type", "family", "probability", "threshold")


def outer_folds(source: Source, params: SelectionParams, seed: int) -> list[tuple[int, int, Fold]]:
    """Return repeat, fold and indices of every outer fold, `params.outer_repeats` times `params.outer_folds`.

    Folds are stratified and by part. Checks, before anything is fitted, that each fold can be judged and searched:
    raises ZeromissError, saying how the protocol is left out, where there are too few parts for it.
    """
    found = []
    try:
        for repeat in range(params.outer_repeats):
            for number, fold in enumerate(search_folds(source.y_N, source.part_N, params.outer_folds, seed + 1 + repeat)):
                _check(source, fold, params, seed)
                found.append((repeat, number, fold))
    except ZeromissError as error:
        raise ZeromissError(
            f"the honest protocol of {params.outer_folds} outer folds finds too few parts: {error}; or leave it out: selection.outer_repeats 0"
        ) from None
    return found


def judge_outer_folds(
    source: Source, params: SelectionParams, seed: int, *, threshold_set: ThresholdSet | None = None
) -> pd.DataFrame | None:
    """Return one row an outer-judged image, with the columns COLUMNS; None where `params.outer_repeats` is 0.

    `family` is the winner of the inner part, `probability` (of a defect, in [0, 1]) what it says of the outer
    image, `threshold` the lowest probability of a defect of the inner part. That pool comes from the inner search folds:
    leaving out one part at a time in each outer fold would cost as much as the paper's protocol each time.
    `threshold_set`: defects outside of `source`, which each fold's classifier scores too. Raises ZeromissError as `outer_folds` and
    `select` do.
    """
    if not params.outer_repeats:
        return None
    tables = []
    for repeat, number, (training, judged) in tqdm(
        outer_folds(source, params, seed), desc="honest protocol", unit="outer fold", dynamic_ncols=True
    ):
        inner, outer = select(source.take(training), params, seed, pool="folds"), source.take(judged)
        if threshold_set is not None:
            threshold_set.score(inner.classifier, repeat=repeat, fold=number)
        tables.append(
            outer.facts[["path", "part_id", "label", "defect_type"]].assign(
                repeat=repeat,
                fold=number,
                family=inner.winner,
                probability=defect_probability(inner.classifier, outer.features),
                threshold=inner.judgements[inner.winner].zfn_threshold,
            )
        )
    return pd.concat(tables, ignore_index=True)[list(COLUMNS)]


def _check(source: Source, fold: Fold, params: SelectionParams, seed: int) -> None:
    """Refuse an outer fold that lacks normals or defects to judge, or whose inner part is too small for the search."""
    training, judged = fold
    if len(np.unique(source.y_N[judged])) < 2:
        raise ZeromissError("an outer fold has no normals or no defects to judge: add parts of the rarer class or lower selection.outer_folds")
    y_M = source.y_N[training]
    inner = search_folds(y_M, source.part_N[training], params.folds, seed)
    if is_imbalanced(y_M, params.smote_below):
        check_neighbours(y_M, [inner_training for inner_training, _ in inner], params.smote_neighbors)
