"""What a pool of out-of-fold probabilities says of a family, computed once on the whole pool (paper 1, Table 1).

Probabilities are of a defect, in [0, 1], higher = more abnormal; labels 1 = defect, 0 = normal. Axis N: images.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import confusion_matrix

from zeromiss.errors import ZeromissError
from zeromiss.metrics.ranking import average_precision, image_auroc
from zeromiss.selection.scoring import STANDARD


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Figures at one threshold, fractions in [0, 1]."""

    accuracy: float
    precision: float  # 0 when nothing was called abnormal
    fpr: float  # share of the normals called abnormal
    fnr: float  # share of the defects called normal


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A family at 0.5 (std) and at its zero-false-negative threshold (zfn), and how it ranks the pool."""

    std: Rates
    zfn: Rates
    zfn_threshold: float  # the lowest probability of a defect
    image_auroc: float
    average_precision: float


def rates_at(y_N: np.ndarray, probability_N: np.ndarray, threshold: float) -> Rates:
    """Return the figures of the verdict "abnormal" at `threshold` or above.

    Raises ZeromissError when normals or defects are missing.
    """
    defect_N, abnormal_N = np.asarray(y_N) == 1, np.asarray(probability_N) >= threshold
    n_defects, n_normals = int(defect_N.sum()), int((~defect_N).sum())
    if not n_defects or not n_normals:
        raise ZeromissError(f"a classifier is judged on normals and defects, there are {n_normals} and {n_defects}: add the missing kind")
    right, false_alarms, missed, hits = map(int, confusion_matrix(defect_N, abnormal_N, labels=[False, True]).ravel())
    return Rates(
        accuracy=(hits + right) / (n_defects + n_normals),
        precision=hits / (hits + false_alarms) if hits + false_alarms else 0.0,
        fpr=false_alarms / n_normals,
        fnr=missed / n_defects,
    )


def judge_pool(y_N: np.ndarray, probability_N: np.ndarray) -> Judgement:
    """Return all figures of one family's pool; raises ZeromissError when normals or defects are missing."""
    std = rates_at(y_N, probability_N, STANDARD)
    lowest = float(probability_N[np.asarray(y_N) == 1].min())
    return Judgement(
        std=std,
        zfn=rates_at(y_N, probability_N, lowest),
        zfn_threshold=lowest,
        image_auroc=image_auroc(y_N, probability_N),
        average_precision=average_precision(y_N, probability_N),
    )


def ranked(judgements: Mapping[str, Judgement], scores: Mapping[str, float] | None = None) -> list[str]:
    """Return the families, the best first: by ZFN accuracy, then STD accuracy (the paper), then their order in the mapping.

    `scores`: of each family, higher = better; they decide before the accuracies do.
    """
    first = scores or dict.fromkeys(judgements, 0.0)
    return sorted(judgements, key=lambda family: (-first[family], -judgements[family].zfn.accuracy, -judgements[family].std.accuracy))


def pick_winner(judgements: Mapping[str, Judgement], scores: Mapping[str, float] | None = None) -> str:
    """Return the best family by `ranked`; raises ZeromissError when there is none."""
    if not judgements:
        raise ZeromissError("no family of classifiers could be judged: see the errors in candidates.parquet")
    return ranked(judgements, scores)[0]
