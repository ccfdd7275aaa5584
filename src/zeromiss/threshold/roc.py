"""ROC points as a file: false- and true-positive rate at every threshold, of the classifier in use and of each repeat.

Axes: N images, K points.
"""

from typing import Any

import numpy as np

from zeromiss.selection.out_of_fold import NESTED, OutOfFold

FILE, SCHEMA_VERSION = "roc.json", 1


def roc_points(y_N: np.ndarray, score_N: np.ndarray) -> dict[str, list[float | None]]:
    """Return `fpr`, `tpr` (in [0, 1]) and `threshold`, K values each, from no alarm to all; an image is abnormal at a threshold or above.

    y_N: 1 = defect, 0 = normal, at least one of each; score_N: higher = more abnormal. Points on a straight line between
    two others are left out. A threshold is null where it is infinite: the first, and the next too where scores are.
    """
    y_N, score_N = np.asarray(y_N), np.asarray(score_N, dtype=np.float64)
    threshold_K, place_N = np.unique(-score_N, return_inverse=True)
    found_K = np.concatenate(([0], np.cumsum(np.bincount(place_N, weights=y_N == 1))))
    alarms_K = np.concatenate(([0], np.cumsum(np.bincount(place_N, weights=y_N == 0))))
    threshold_K = np.concatenate(([np.inf], -threshold_K))
    corner_K = np.ones(len(threshold_K), dtype=bool)
    corner_K[1:-1] = np.diff(found_K, n=2).astype(bool) | np.diff(alarms_K, n=2).astype(bool)
    return {
        "fpr": (alarms_K[corner_K] / alarms_K[-1]).tolist(),
        "tpr": (found_K[corner_K] / found_K[-1]).tolist(),
        "threshold": [float(value) if np.isfinite(value) else None for value in threshold_K[corner_K]],
    }


def roc_facts(plain: OutOfFold, scores: OutOfFold) -> dict[str, Any]:
    """Return the content of roc.json.

    `plain`: the leave-one-out pool of the classifier in use; `repeats`: one a repeat of the nested cross-validation, empty
    without one. Thresholds are composite scores in [0, 1].
    """
    return {
        "plain": roc_points(plain.y_N, plain.probability_RN[0]),
        "repeats": [roc_points(scores.y_N, score_N) for score_N in scores.probability_RN] if scores.protocol == NESTED else [],
    }
