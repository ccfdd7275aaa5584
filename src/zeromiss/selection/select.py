"""The whole selection: search, leave one part out, judge, fit the winner on all (paper 1, section 3.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from zeromiss.selection.fit import Recipe, fit_pipeline, prepare_fold
from zeromiss.selection.folds import Fold, part_folds, search_folds
from zeromiss.selection.judge import Judgement, judge_pool, pick_winner
from zeromiss.selection.leave_one_out import Pool, leave_parts_out
from zeromiss.selection.resample import check_neighbours, is_imbalanced
from zeromiss.selection.search import Candidate, best_draws, search
from zeromiss.selection.source import Source
from zeromiss.stage_params import SelectionParams


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
        """K: how many draws, over all families, were compared: judged on one fold at least, also those dropped then."""
        return sum(candidate.folds > 0 for candidate in self.candidates)


def select(
    source: Source, params: SelectionParams, seed: int, *, pool: Literal["parts", "folds"] = "parts"
) -> Selection:
    """Run the selection on the metric table; the same seed gives the same result, whatever `params.jobs`.

    `pool`: probabilities are pooled leaving out one part at a time (the paper) or one search fold at a time.
    Raises ZeromissError when there are too few parts for the folds or for SMOTE, or every family fails.
    """
    X_NF, y_N = source.features.to_numpy(), source.y_N
    folds = search_folds(y_N, source.part_N, params.folds, seed)
    pool_folds = part_folds(y_N, source.part_N) if pool == "parts" else folds
    recipe = _recipe(source, params, seed, [*folds, *pool_folds])
    with threadpool_limits(1):
        ready = [prepare_fold(X_NF, y_N, fold, recipe, source.part_N) for fold in folds]
    candidates = search(
        ready,
        families=params.families,
        draws=params.draws,
        trees=params.trees,
        seed=seed,
        jobs=params.jobs,
        racing=params.racing,
        scoring=params.scoring,
    )
    best = best_draws(candidates)
    chosen = {family: candidate.params for family, candidate in best.items()}
    pools = leave_parts_out(X_NF, y_N, pool_folds, chosen=chosen, recipe=recipe, jobs=params.jobs, part_N=source.part_N)
    judgements = {
        family: judge_pool(y_N, left_out.probability_N)
        for family, left_out in pools.items()
        if left_out.probability_N is not None
    }
    winner = pick_winner(judgements)
    with threadpool_limits(1):
        classifier = fit_pipeline(winner, chosen[winner], source.features, y_N, recipe, source.part_N)
    return Selection(
        candidates=candidates,
        best=best,
        pools=pools,
        judgements=judgements,
        winner=winner,
        classifier=classifier,
        smote=recipe.smote_neighbours is not None,
    )


def _recipe(source: Source, params: SelectionParams, seed: int, folds: Sequence[Fold]) -> Recipe:
    """Decide on SMOTE, once, and refuse early when a fold could not run it."""
    smote = is_imbalanced(source.y_N, params.smote_below)
    if smote:
        check_neighbours(source.y_N, [training for training, _ in folds], params.smote_neighbors)
    return Recipe(
        correlation=params.correlation,
        smote_neighbours=params.smote_neighbors if smote else None,
        seed=seed,
        most=params.most,
        columns=tuple(source.features.columns),
    )
