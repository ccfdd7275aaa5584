"""Scores of outer-judged defects in relation to the threshold of their own fold.

Models of different outer folds score on different scales; a score over its own fold's ZFN threshold is
comparable: below 1 the defect was missed there, and a product's threshold is a multiple of its ZFN value.
"""

import numpy as np
import pandas as pd

from zeromiss.errors import ZeromissError


def part_ratios(outer: pd.DataFrame) -> pd.Series:
    """Return each defective part's lowest ratio, over its images and all repeats, by part_id; >= 0, 1 = at the threshold.

    `outer`: rows of outer.parquet. The lowest is on the safe side: no repeat makes a defect look easier.
    Raises ZeromissError where a fold's threshold is 0, for no score stands in relation to that.
    """
    defects = outer[outer["label"] == "defect"]
    flat = defects[defects["threshold"] <= 0.0]
    if not flat.empty:
        first = flat.iloc[0]
        raise ZeromissError(
            f"outer fold {first['fold']} of repeat {first['repeat']} calls everything abnormal ({first['family']} gave a defect the score 0), so its "
            "scores say nothing of a threshold: set threshold.rule to zfn or margin, or leave the family out of selection.families"
        )
    return (defects["probability"] / defects["threshold"]).groupby(defects["part_id"].astype(str)).min()


def order_statistic(ratio_P: np.ndarray, rank: int) -> np.ndarray:
    """Return the `rank`-th lowest ratio along the last axis, counted from 1: fewer than `rank` parts lie below it."""
    return np.partition(ratio_P, rank - 1, axis=-1)[..., rank - 1]
