"""The five rules: where each puts a product's threshold. All but the last put it at a multiple of the ZFN threshold.

zfn      1: at the lowest score of a known defect (paper 1)
margin   1 - margin: a stated share below it
conformal, budget   the k-th lowest ratio of an outer-judged defective part (`zeromiss.threshold.ratios`), k by
         the aim and the number of parts (`zeromiss.threshold.ranks`)
umbrella the k-th lowest score of a defective part that the classifier was chosen without (`zeromiss.threshold.umbrella`)
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from zeromiss.errors import ZeromissError
from zeromiss.stage_params import ThresholdParams
from zeromiss.threshold.bounds import check_target
from zeromiss.threshold.ranks import PARTS_PER_MILLION, SHARES_A_FOLD, budget_rank, check_conformal, conformal_rank
from zeromiss.threshold.ratios import order_statistic, part_ratios
from zeromiss.threshold.umbrella import fold_thresholds, threshold_scores, umbrella_rank


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a rule puts the threshold, and on what that rests: a multiple of the ZFN threshold, or a score."""

    multiplier: float | None = None  # >= 0; above 1 known defects are missed; None for umbrella
    score: float | None = None  # umbrella: the threshold itself, in [0, 1]
    rank: int | None = None  # k, of conformal, budget and umbrella
    n_parts: int | None = None  # n, of the same: defective parts among which the k-th lowest counts
    shares: int | None = None  # among which the doubt of a bound is shared

    def at(self, lowest: float) -> float:
        """Return the threshold, in [0, 1], where `lowest` is the ZFN threshold."""
        return min(1.0, lowest * self.multiplier) if self.score is None else self.score


def place(params: ThresholdParams, outer: pd.DataFrame | None, aside: pd.DataFrame | None = None) -> Placement:
    """Return where the rule puts the threshold.

    `outer`: rows of outer.parquet, None without the honest protocol; `aside`: of threshold_set.parquet, None without defects put aside.
    Raises ZeromissError where the rule needs one of the two and has none, or where n is too small for its aim.
    """
    if params.rule == "zfn":
        return Placement(multiplier=1.0)
    if params.rule == "margin":
        return Placement(multiplier=1.0 - params.margin)
    if params.rule == "umbrella":
        score_P = threshold_scores(_needed(aside))
        rank = umbrella_rank(len(score_P), params)
        return Placement(score=float(order_statistic(score_P, rank)), rank=rank, n_parts=len(score_P), shares=1)
    if outer is None:
        raise ZeromissError(
            f"threshold.rule {params.rule} rests on defects that outer folds judged: set selection.outer_repeats to 1 or more and run the selection anew"
        )
    ratio_P = part_ratios(outer).to_numpy()
    shares = _shares(outer)
    _check(len(ratio_P), shares, params)
    rank = _rank(len(ratio_P), shares, params)
    return Placement(multiplier=float(order_statistic(ratio_P, rank)), rank=rank, n_parts=len(ratio_P), shares=shares)


def outer_thresholds(params: ThresholdParams, outer: pd.DataFrame, aside: pd.DataFrame | None = None) -> np.ndarray:
    """Return the threshold in [0, 1] at which the rule would have judged each outer row, knowing nothing of its fold.

    Rules conformal and budget take the multiple from the parts outside the row's fold, with the rank that their
    number allows and at least 1: where few parts are left, the nearest that can be judged. Rule umbrella takes the
    k-th lowest score that the fold's own classifier gives the parts put aside, the same for all folds. The other rules have
    one multiple for all. Raises ZeromissError as `place` does, but for the number of defects.
    """
    if params.rule == "umbrella":
        found = fold_thresholds(_needed(aside), params)
        return np.array([found[repeat, fold] for repeat, fold in zip(outer["repeat"], outer["fold"], strict=True)])
    if params.rule in ("zfn", "margin"):
        multiplier_N = np.full(len(outer), place(params, None).multiplier)
    else:
        ratios = part_ratios(outer)
        multiplier_N = np.empty(len(outer))
        for index in outer.groupby(["repeat", "fold"]).indices.values():
            outside_P = ratios[~ratios.index.isin(outer["part_id"].iloc[index].astype(str))].to_numpy()
            multiplier_N[index] = order_statistic(outside_P, _rank(len(outside_P), _shares(outer), params))
    return np.clip(multiplier_N * outer["threshold"].to_numpy(), 0.0, 1.0)


def _needed(aside: pd.DataFrame | None) -> pd.DataFrame:
    """Return the defects that set the threshold alone, or refuse that there are none."""
    if aside is None:
        raise ZeromissError(
            "threshold.rule umbrella rests on defects that the classifier was chosen without: set manifest.threshold and run the product from the manifest on"
        )
    return aside


def _shares(outer: pd.DataFrame) -> int:
    """Return among how many the doubt of a bound is shared."""
    return SHARES_A_FOLD * int(outer["fold"].nunique())


def _rank(n_defects: int, shares: int, params: ThresholdParams) -> int:
    """Return the rank of conformal or budget for n defects, at least 1."""
    if params.rule == "conformal":
        return max(1, conformal_rank(n_defects, _aim(params)))
    return max(1, budget_rank(n_defects, _aim(params), confidence=params.confidence, shares=shares))


def _check(n_defects: int, shares: int, params: ThresholdParams) -> None:
    """Refuse n defects that are too few for the aim of conformal or budget, and say which key asks for it."""
    key = "threshold.target" if params.rule == "conformal" else "threshold.budget_ppm"
    try:
        if params.rule == "conformal":
            check_conformal(n_defects, _aim(params))
        else:
            check_target(_aim(params), n_defects, confidence=params.confidence, n_candidates=shares)
    except ZeromissError as error:
        raise ZeromissError(f"{key}: {error}") from None


def _aim(params: ThresholdParams) -> float:
    """Return the probability that the rule aims at, in (0, 1); that it is set, the parameters have checked."""
    if params.rule == "conformal":
        return float(params.target or 0.0)
    return float(params.budget_ppm or 0.0) / PARTS_PER_MILLION
