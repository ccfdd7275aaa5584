"""Which labels the out-of-fold scores contradict most: confident learning (Northcutt, Jiang and Chuang, JAIR 2021).

A class's threshold is the mean probability that its own images get of being of it (their mean self-confidence). An image is
confidently of the *other* class when its probability of it reaches that class's threshold, and is the larger one where both
do: an off-diagonal entry of the confident joint. These images come first. Within them, and behind them, the order is the
margin between the two probabilities, each less its class's threshold: below 0 the scores speak against the label.
Axes: R repeats, N images.
"""

from dataclasses import dataclass

import numpy as np

from zeromiss.errors import ZeromissError


@dataclass(frozen=True, kw_only=True)
class LabelIssues:
    """What the scores say of N labels."""

    thresholds_R2: np.ndarray  # mean self-confidence of normals and of defects, in [0, 1]
    margin_N: np.ndarray  # mean over repeats, in [-2, 2]; the lower, the more the scores contradict the label
    contradicted_N: np.ndarray  # repeats in which the image is confidently of the other class


def find_label_issues(y_N: np.ndarray, probability_RN: np.ndarray) -> LabelIssues:
    """Return how much each label is contradicted. y_N: 1 = defect, 0 = normal; probability_RN: of a defect, in [0, 1], (N,) or (R, N).

    Raises ZeromissError where one of the two classes is missing.
    """
    y_N, probability_RN = np.asarray(y_N), np.atleast_2d(np.asarray(probability_RN, dtype=np.float64))
    if not (y_N == 1).any() or not (y_N == 0).any():
        raise ZeromissError(
            "labels can be compared with scores only where there are normal images and defects: add images of the kind that is missing"
        )
    thresholds_R2 = np.stack([1.0 - probability_RN[:, y_N == 0].mean(axis=1), probability_RN[:, y_N == 1].mean(axis=1)], axis=1)
    given_RN = np.where(y_N == 1, probability_RN, 1.0 - probability_RN)
    other_RN = 1.0 - given_RN
    given_threshold_RN, other_threshold_RN = thresholds_R2[:, y_N], thresholds_R2[:, 1 - y_N]
    contradicted_RN = (other_RN >= other_threshold_RN) & ((given_RN < given_threshold_RN) | (other_RN > given_RN))
    margin_RN = (given_RN - given_threshold_RN) - (other_RN - other_threshold_RN)
    return LabelIssues(thresholds_R2=thresholds_R2, margin_N=margin_RN.mean(axis=0), contradicted_N=contradicted_RN.sum(axis=0))


def most_contradicted(issues: LabelIssues) -> np.ndarray:
    """Return the indices of all images, (N,): contradicted in more repeats first, then the lowest margin, then the order given."""
    return np.lexsort((issues.margin_N, -issues.contradicted_N))
