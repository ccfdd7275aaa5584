"""Scores of images by classifiers that never saw them: one row a repeat of the nested cross-validation, or the leave-one-out pool.

Axes: R repeats (1 for the leave-one-out pool), N images.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from zeromiss.errors import ZeromissError

NESTED, LEAVE_ONE_OUT = "nested cross-validation", "leave-one-out"
FACTS = ("path", "part_id", "label", "defect_type")


@dataclass(frozen=True, kw_only=True)
class OutOfFold:
    """N images with R scores each; higher = more abnormal."""

    protocol: Literal["nested cross-validation", "leave-one-out"]
    facts: pd.DataFrame  # one row an image, sorted by path: path, part_id, label (normal or defect), defect_type
    probability_RN: np.ndarray  # of a defect, in [0, 1]
    threshold_RN: np.ndarray  # ZFN threshold of the classifier of its own fold, in [0, 1]; of the whole pool for leave-one-out

    @property
    def y_N(self) -> np.ndarray:
        """Labels: 1 = defect, 0 = normal."""
        return (self.facts["label"] == "defect").to_numpy(dtype=np.int64)


def out_of_fold(pool: pd.DataFrame, outer: pd.DataFrame | None) -> OutOfFold:
    """Return the scores of the nested cross-validation where there is one, else of the winner's leave-one-out pool.

    `pool`: the winner's rows of oof.parquet; `outer`: rows of outer.parquet, None where selection.outer_repeats is 0.
    Raises ZeromissError where a repeat does not score every image exactly once.
    """
    rows = pool.assign(repeat=0, threshold=pool["probability"].where(pool["label"] == "defect").min()) if outer is None else outer
    if rows.duplicated(["repeat", "path"]).any() or len(rows) != rows["repeat"].nunique() * rows["path"].nunique():
        raise ZeromissError("the out-of-fold scores do not hold every image exactly once a repeat: run the selection stage anew")
    rows = rows.sort_values(["repeat", "path"], ignore_index=True)
    facts = rows.loc[rows["repeat"] == rows["repeat"].min(), list(FACTS)].fillna({"defect_type": ""}).reset_index(drop=True)
    probability_RN = rows["probability"].to_numpy(dtype=np.float64).reshape(-1, len(facts))
    threshold_RN = rows["threshold"].to_numpy(dtype=np.float64).reshape(-1, len(facts))
    return OutOfFold(
        protocol=LEAVE_ONE_OUT if outer is None else NESTED, facts=facts, probability_RN=probability_RN, threshold_RN=threshold_RN
    )
