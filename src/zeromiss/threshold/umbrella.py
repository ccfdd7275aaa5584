"""The Neyman-Pearson umbrella algorithm (Tong, Feng and Li, Science Advances 2018): a theorem by a split.

The classifier is chosen and fitted without n defects. It then scores them as it will score new ones, and the threshold is their
k-th lowest score. Whatever the classifier and the distribution, the true miss rate of that threshold exceeds a target a with
probability P(Bin(n, a) <= k - 1) at most, if the n are drawn independently from the defects to come. k is the largest for which that
probability is within 1 - confidence: it depends on n, a and the confidence alone. Ties only help, for a score at the threshold is abnormal.
A part counts once, by its lowest score.
"""

import numpy as np
import pandas as pd

from zeromiss.errors import ZeromissError
from zeromiss.stage_params import ThresholdParams
from zeromiss.threshold.bounds import check_target
from zeromiss.threshold.ranks import budget_rank


def umbrella_rank(n_parts: int, params: ThresholdParams) -> int:
    """Return k, at least 1, for n defective parts that set the threshold alone; raises ZeromissError as `check_umbrella` does."""
    check_umbrella(n_parts, params)
    return budget_rank(n_parts, float(params.target or 0.0), confidence=params.confidence, shares=1)


def check_umbrella(n_parts: int, params: ThresholdParams) -> None:
    """Raise ZeromissError, saying how many defective parts are needed, where not even the lowest score of n keeps the target."""
    try:
        check_target(float(params.target or 0.0), n_parts, confidence=params.confidence)
    except ZeromissError as error:
        raise ZeromissError(
            f"threshold.rule umbrella: {error}. These are defective parts that set the threshold and do nothing else: a larger manifest.threshold puts more aside"
        ) from None


def threshold_scores(rows: pd.DataFrame) -> np.ndarray:
    """Return each defective part's lowest score by the product's own classifier, (n,) in [0, 1].

    rows: those of threshold_set.parquet, in which a fold is missing for that classifier.
    """
    return _lowest(rows[rows["fold"].isna()])


def fold_thresholds(rows: pd.DataFrame, params: ThresholdParams) -> dict[tuple[int, int], float]:
    """Return the threshold of each outer fold, by repeat and fold: of its own classifier, by the same parts, at the same rank."""
    scored = rows[rows["fold"].notna()].groupby(["repeat", "fold"])
    lowest = {(int(repeat), int(fold)): _lowest(group) for (repeat, fold), group in scored}
    return {key: float(np.sort(score_P)[umbrella_rank(len(score_P), params) - 1]) for key, score_P in lowest.items()}


def _lowest(rows: pd.DataFrame) -> np.ndarray:
    """Return the lowest score of each part."""
    return rows.groupby(rows["part_id"].astype(str))["probability"].min().to_numpy(dtype=np.float64)
