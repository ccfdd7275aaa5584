"""AUROC over matched pairs: how well scores rank a defect above a normal image that looks alike by its trivial properties.

Only pairs within one stratum count (see `zeromiss.images.strata`). A score that tells the lamp, not the defect, falls
to 0.5 there. Axes: R repeats, N images, D defects, M normals, B draws.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from zeromiss.selection.honest_rates import CONFIDENCE, Interval

DRAWS = 1000
SEED = 0  # of the draws


@dataclass(frozen=True, kw_only=True)
class MatchedAuroc:
    """The AUROC over all pairs and over matched ones, with their 95 % intervals, on the same images; higher is better."""

    auroc: Interval
    matched: Interval | None  # None where no stratum holds both labels
    n_defects: int
    n_normals: int
    n_pairs: int  # that are matched
    pair_share: float  # of all pairs, in [0, 1]


def matched_auroc(y_N: np.ndarray, score_RN: np.ndarray, stratum_N: np.ndarray, part_N: np.ndarray) -> MatchedAuroc:
    """Return the AUROC over all pairs and over pairs of one stratum, a tie counting half, each the mean over repeats.

    y_N: 1 = defect, 0 = normal, at least one of each; score_RN: (N,) or (R, N), higher = more abnormal, infinite ones
    may be among them. Intervals: percentiles over draws of parts with replacement, defective and other parts apart,
    with the strata as they are.
    """
    y_N, score_RN = np.asarray(y_N), np.atleast_2d(np.asarray(score_RN, dtype=np.float64))
    defect_N = y_N == 1
    right_DM = np.mean([_right(score_N[defect_N], score_N[~defect_N]) for score_N in score_RN], axis=0)
    same_DM = (stratum_N[defect_N][:, None] == stratum_N[~defect_N][None, :]).astype(np.float64)
    weight_BN = part_weights(y_N, part_N, DRAWS, SEED)
    drawn = weight_BN[:, defect_N], weight_BN[:, ~defect_N]
    return MatchedAuroc(
        auroc=_share(right_DM, np.ones_like(same_DM), *drawn),
        matched=_share(right_DM, same_DM, *drawn) if same_DM.any() else None,
        n_defects=int(defect_N.sum()),
        n_normals=int((~defect_N).sum()),
        n_pairs=int(same_DM.sum()),
        pair_share=float(same_DM.mean()),
    )


def matched_scores(scores: Mapping[str, pd.DataFrame], properties: pd.DataFrame) -> dict[str, Any] | None:
    """Return the figures of each score by its name, and of `properties`; None where no image has a stratum.

    scores: indexed by path, one column a repeat; properties: content of properties.parquet. `properties` are the log-odds by
    trivial properties alone: what they keep over matched pairs is what the strata leave of a shortcut.
    """
    strata = properties.dropna(subset="stratum").set_index("path")
    if strata.empty:
        return None
    found = {}
    for name, frame in (dict(scores) | {"properties": strata[["log_odds"]]}).items():
        own = strata.loc[strata.index.intersection(frame.index)]
        y_N, stratum_N = (own["group"] == "defect").to_numpy(dtype=np.int64), own["stratum"].to_numpy(dtype=np.int64)
        score_RN = frame.loc[own.index].to_numpy(dtype=np.float64).T
        found[name] = asdict(matched_auroc(y_N, score_RN, stratum_N, own["part_id"].to_numpy()))
    return found


def native_scores(natives: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return each detector's native score as `matched_scores` takes it; natives: columns path, label and one a detector."""
    by_path = natives.set_index("path").drop(columns="label")
    return {str(name): by_path[[name]] for name in by_path}


def part_weights(y_N: np.ndarray, part_N: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Return how often each image is drawn, (B, N): parts are drawn with replacement, defective parts and others apart.

    A part with a defect on any of its images is defective; all images of a part are drawn together.
    """
    names, part_N = np.unique(np.asarray(part_N).astype(str), return_inverse=True)
    defective_P = np.zeros(len(names), dtype=bool)
    defective_P[part_N[np.asarray(y_N) == 1]] = True
    random, weight_BP = np.random.default_rng(seed), np.zeros((draws, len(names)))
    for chosen in (np.flatnonzero(defective_P), np.flatnonzero(~defective_P)):
        if len(chosen):
            weight_BP[:, chosen] = random.multinomial(len(chosen), np.full(len(chosen), 1.0 / len(chosen)), size=draws)
    return weight_BP[:, part_N]


def _right(defect_D: np.ndarray, normal_M: np.ndarray) -> np.ndarray:
    """Return which pairs a score ranks right, (D, M): 1, or 0.5 for a tie."""
    return (defect_D[:, None] > normal_M).astype(np.float64) + 0.5 * (defect_D[:, None] == normal_M)


def _share(right_DM: np.ndarray, counted_DM: np.ndarray, defect_BD: np.ndarray, normal_BM: np.ndarray) -> Interval:
    """Return the share of counted pairs that are ranked right, and the percentiles over the draws that have such a pair."""
    pairs_B = ((defect_BD @ counted_DM) * normal_BM).sum(axis=1)
    right_B = ((defect_BD @ (right_DM * counted_DM)) * normal_BM).sum(axis=1)
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(right_B[pairs_B > 0] / pairs_B[pairs_B > 0], (tail, 1.0 - tail))
    return Interval(mean=float((right_DM * counted_DM).sum() / counted_DM.sum()), low=float(low), high=float(high))
