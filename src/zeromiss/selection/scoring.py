"""What a draw is judged by on one fold of the search, in [0, 1], higher = better; racing's proof needs no more.

Probabilities are of a defect, in [0, 1], labels 1 = defect, 0 = normal. Axis M: judged images. A fold in which a
class is missing says the same of every draw where a score compares both classes: 1.
"""

from collections.abc import Callable

import numpy as np

STANDARD = 0.5  # the threshold of the STD columns of paper 1's Table 1
SENSITIVITY = 0.95  # from this true positive rate on, the partial AUC looks


def accuracy(probability_M: np.ndarray, judged_M: np.ndarray) -> float:
    """Return the share of images on the right side of 0.5 (the paper's search)."""
    return float(np.mean((probability_M >= STANDARD) == (judged_M == 1)))


def zfn_accuracy(probability_M: np.ndarray, judged_M: np.ndarray) -> float:
    """Return the accuracy at the fold's own zero-false-negative threshold: the lowest score of one of its defects.

    Every defect is then called abnormal, so this is the share of images that are defects or normals below all of them.
    """
    lowest = probability_M[judged_M == 1].min(initial=np.inf)
    return float(np.mean((judged_M == 1) | (probability_M < lowest)))


def partial_auc(probability_M: np.ndarray, judged_M: np.ndarray, sensitivity: float = SENSITIVITY) -> float:
    """Return the mean specificity over true positive rates from `sensitivity` in [0, 1) to 1.

    1 / (1 - t0) * integral from t0 to 1 of (1 - FPR(t)) dt, where FPR(t) is the false positive rate at the highest
    threshold that calls the share t of the defects abnormal. With n defects in ascending order and k = (1 - t0) n,
    it is the mean, over the k lowest defects, of the share of normals scored below each; the last of them weighs by
    the fraction that k leaves, and the lowest alone counts where k is under 1. 1 = no normal reaches these
    defects; 0 = every one; at t0 = 0 the AUC, except that equal scores count as false alarms, as they do in a
    verdict, and not half: the same score for all is worth 0, and must not beat an honest one.
    """
    defect_M = judged_M == 1
    n_defects, n_normals = int(defect_M.sum()), int((~defect_M).sum())
    if not n_defects or not n_normals:
        return 1.0
    defect_N = np.sort(probability_M[defect_M])
    below_N = np.searchsorted(np.sort(probability_M[~defect_M]), defect_N, side="left")
    weight_N = np.clip((1.0 - sensitivity) * n_defects - np.arange(n_defects), 0.0, 1.0)
    return min(1.0, float(np.average(below_N / n_normals, weights=weight_N)))  # a mean of ones may round above


SCORING: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": accuracy,
    "zfn_accuracy": zfn_accuracy,
    "partial_auc": partial_auc,
}
