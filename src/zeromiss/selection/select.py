"""The whole selection: search, leave one part out, judge, fit the winner on all (paper 1, section 3.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from zeromiss.selection.fit import Recipe, fit_pipeline, prepare_fold
from zeromiss.selection.folds import Fold, part_folds, search_folds
from zeromiss.selection.judge import Judgement, judge_pool, pick_winner, ranked
from zeromiss.selection.leave_one_out import Pool, leave_parts_out
from zeromiss.selection.resample import check_neighbours, is_imbalanced
from zeromiss.selection.scoring import partial_auc
from zeromiss.selection.search import Candidate, best_draws, search
from zeromiss.selection.source import Source
from zeromiss.selection.vote import mean_logit
from zeromiss.stage_params import VOTE, SelectionParams

REPEAT = 1000  # between the seeds of repeated folds: outer folds count theirs by one
VOTERS = 3  # the best families, which vote


@dataclass(frozen=True, kw_only=True)
class Selection:
    """All that a selection found. Failed families are in `candidates` and `pools`, not in `judgements`."""

    candidates: list[Candidate]
    best: dict[str, Candidate]
    pools: dict[str, Pool]
    judgements: dict[str, Judgement]
    winner: str
    classifier: Pipeline  # the winner's best draw, fitted on all rows
    smote: bool

    @property
    def n_candidates(self) -> int:
        """K: how many draws, over all families, were compared: judged on one fold at least, also those dropped then; and the vote."""
        return sum(candidate.folds > 0 for candidate in self.candidates) + (VOTE in self.judgements)


def select(
    source: Source, params: SelectionParams, seed: int, *, pool: Literal["parts", "folds"] = "parts"
) -> Selection:
    """Run the selection on the metric table; the same seed gives the same result, whatever `params.jobs`.

    `pool`: probabilities are pooled leaving out one part at a time (the paper) or one search fold at a time.
    Raises ZeromissError when there are too few parts for the folds or for SMOTE, or every family fails.
    """
    X_NF, y_N = source.features.to_numpy(), source.y_N
    folds = [fold for repeat in range(params.repeats) for fold in search_folds(y_N, source.part_N, params.folds, seed + REPEAT * repeat)]
    pool_folds = part_folds(y_N, source.part_N) if pool == "parts" else folds
    recipe = recipe_of(source, params, seed, [*folds, *pool_folds])
    with threadpool_limits(1):
        ready = [prepare_fold(X_NF, y_N, fold, recipe, source.part_N) for fold in folds]
    candidates = search(
        ready,
        families=params.searched,
        draws=params.draws,
        trees=params.trees,
        seed=seed,
        jobs=params.jobs,
        racing=params.racing,
        scoring=params.scoring,
    )
    best = best_draws(candidates)
    chosen = {family: candidate.params for family, candidate in best.items()}
    pools = leave_parts_out(
        X_NF,
        y_N,
        pool_folds,
        chosen=chosen,
        recipe=recipe,
        jobs=params.jobs,
        part_N=source.part_N,
        ready=ready if pool == "folds" else None,
    )
    judgements = {family: judge_pool(y_N, one.probability_N) for family, one in pools.items() if one.probability_N is not None}
    if VOTE in params.families and len(judgements) > 1:
        voters = ranked(judgements, _scores(judgements, pools, y_N, params))[:VOTERS]
        best[VOTE] = _ballot({family: chosen[family] for family in voters})
        pools[VOTE] = Pool(probability_N=mean_logit([pools[family].probability_N for family in voters]), seconds=0.0, error="")
        judgements[VOTE] = judge_pool(y_N, pools[VOTE].probability_N)
    winner = pick_winner(judgements, _scores(judgements, pools, y_N, params))
    with threadpool_limits(1):
        classifier = fit_pipeline(winner, best[winner].params, source.features, y_N, recipe, source.part_N)
    return Selection(
        candidates=candidates,
        best=best,
        pools=pools,
        judgements=judgements,
        winner=winner,
        classifier=classifier,
        smote=recipe.smote_neighbours is not None,
    )


def _scores(
    judgements: Mapping[str, Judgement], pools: Mapping[str, Pool], y_N: np.ndarray, params: SelectionParams
) -> dict[str, float] | None:
    """Return what families are chosen by on the pool before the paper's accuracies; None where these decide alone."""
    if params.scoring != "partial_auc":
        return None
    return {family: partial_auc(pools[family].probability_N, y_N) for family in judgements}


def _ballot(members: dict[str, dict[str, Any]]) -> Candidate:
    """Return the vote of families with their best parameters as a candidate; it was not searched, so it has no score of a fold."""
    return Candidate(family=VOTE, draw=0, params=members, mean_score=None, std_score=None, seconds=0.0, error="", folds=0, dropped="")


def recipe_of(source: Source, params: SelectionParams, seed: int, folds: Sequence[Fold]) -> Recipe:
    """Return what every fit shares: decides on SMOTE, once, and refuses early when a fold could not run it."""
    smote = is_imbalanced(source.y_N, params.smote_below)
    if smote:
        check_neighbours(source.y_N, [training for training, _ in folds], params.smote_neighbors)
    return Recipe(
        correlation=params.correlation,
        smote_neighbours=params.smote_neighbors if smote else None,
        seed=seed,
        most=params.most,
        draw_tails_in=params.tails == "asinh",
        columns=tuple(source.features.columns),
    )
