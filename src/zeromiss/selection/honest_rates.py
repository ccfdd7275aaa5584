"""What outer folds say: rates over folds with their intervals, and how many defects were missed.

Axis N: outer-judged images, one row of outer.parquet each; an image judged in two repeats has two rows.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from scipy.stats import t as student_t

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean, over outer folds or repeats, and its 95 % interval, all in [0, 1]."""

    mean: float
    low: float
    high: float


def honest_figures(outer: pd.DataFrame, threshold_N: np.ndarray) -> dict[str, Any]:
    """Return the honest protocol's figures: repeats, folds (a repeat), missed, defects, fnr, fpr, accuracy, precision.

    `outer` has the columns repeat, fold, part_id, label, probability; a row is abnormal at its `threshold_N` or
    above. `missed` and `defects` count images over all repeats: a defect judged in two repeats counts twice. Each
    rate is a dictionary mean, low, high (`rate_interval`).
    """
    defect_N = (outer["label"] == "defect").to_numpy()
    abnormal_N = outer["probability"].to_numpy() >= threshold_N
    right_N = defect_N == abnormal_N
    shares = {
        "fnr": (defect_N, ~right_N),
        "fpr": (~defect_N, ~right_N),
        "accuracy": (np.ones_like(right_N), right_N),
        "precision": (abnormal_N, defect_N),
    }
    return {
        "repeats": int(outer["repeat"].nunique()),
        "folds": int(outer["fold"].nunique()),
        "missed": int((defect_N & ~abnormal_N).sum()),
        "defects": int(defect_N.sum()),
    } | {name: asdict(rate_interval(outer, counted_N, hit_N)) for name, (counted_N, hit_N) in shares.items()}


def rate_interval(outer: pd.DataFrame, counted_N: np.ndarray, hit_N: np.ndarray) -> Interval:
    """Return the mean over folds of the share of hits among the counted rows, and its 95 % interval.

    The interval is the union of two, so that folds which all agree never claim certainty: Student's t over the
    folds (`fold_interval`) and Clopper and Pearson's on parts (`part_interval`). A fold that counts no row,
    which befalls precision where nothing was called abnormal, has the share 0.
    """
    rows = outer[["repeat", "fold", "part_id"]].assign(counted=counted_N, hit=counted_N & hit_N)
    folds = rows.groupby(["repeat", "fold"])[["counted", "hit"]].sum()
    size = len(outer) / outer["repeat"].nunique()
    judged_share = float(rows.groupby(["repeat", "fold"]).size().mean()) / size
    found = fold_interval((folds["hit"] / folds["counted"].clip(lower=1)).to_list(), 1 - judged_share)
    low, high = part_interval(rows[rows["counted"]])
    return Interval(mean=found.mean, low=min(found.low, low), high=max(found.high, high))


def fold_interval(values: Sequence[float], train_share: float) -> Interval:
    """Return mean and interval of rates from repeated folds, clipped to [0, 1].

    A single value gives the widest interval, [0, 1].
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean=mean, low=0.0, high=1.0)
    reach = reach_over_folds(values, train_share)
    return Interval(mean=mean, low=max(0.0, mean - reach), high=min(1.0, mean + reach))


def reach_over_folds(values: Sequence[float], train_share: float) -> float:
    """Return by how much the mean of figures from two repeated folds or more may be off with 95 % confidence, >= 0.

    Folds share training images and are not independent: Student's t with the variance of Nadeau and Bengio
    (2003), s^2 (1 / folds + judged / trained). train_share: of the images, in (0, 1).
    """
    count = len(values)
    error = float(np.std(values, ddof=1)) * math.sqrt(1 / count + (1 - train_share) / train_share)
    return float(student_t.ppf(0.5 + CONFIDENCE / 2, count - 1)) * error


def part_interval(counted: pd.DataFrame) -> tuple[float, float]:
    """Return Clopper and Pearson's interval of the share of parts that are hits, each part counted once.

    `counted` has the columns part_id and hit. For the upper end a part is a hit if any of its verdicts, over images
    and repeats, was one; for the lower end if all were. Without a row the interval is everything, (0, 1).
    """
    if counted.empty:
        return 0.0, 1.0
    hits = counted.groupby("part_id")["hit"]
    low, high = (
        binomtest(int(parts.sum()), len(parts)).proportion_ci(CONFIDENCE, method="exact") for parts in (hits.all(), hits.any())
    )
    return float(low.low), float(high.high)
