"""SMOTE for tables in which one class is rare (paper 1, section 3.3, second phase).

It acts on the training part of a fold only. Whether it acts at all is decided once, by the whole table:
decided fold by fold, a share near the limit would tell the label of the image that was left out.
"""

from collections.abc import Iterable

import numpy as np
from imblearn.over_sampling import SMOTE

from zeromiss.errors import ZeromissError


def is_imbalanced(y_N: np.ndarray, below: float) -> bool:
    """Whether the rarer of the labels (0 normal, 1 defect) makes up a share under `below`."""
    return float(min(np.mean(y_N == 0), np.mean(y_N == 1))) < below


def check_neighbours(y_N: np.ndarray, trainings: Iterable[np.ndarray], neighbours: int) -> None:
    """Raise ZeromissError unless each training part (indices) holds enough of the rarer class for SMOTE.

    SMOTE needs `neighbours` + 1 in a training part, so at least `neighbours` + 2 in the table.
    """
    rare = int(np.mean(y_N) < 0.5)
    total = int(np.sum(y_N == rare))
    fewest = min(int(np.sum(y_N[training] == rare)) for training in trainings)
    if total >= neighbours + 2 and fewest >= neighbours + 1:
        return
    name = "defects" if rare else "normals"
    raise ZeromissError(
        f"SMOTE with selection.smote_neighbors {neighbours} needs at least {neighbours + 2} {name} and {neighbours + 1} in every fold's "
        f"training part, the table has {total} and a fold {fewest}: add {name}, lower selection.smote_neighbors, "
        "or set selection.smote_below to 0"
    )


def oversample(X_NF: np.ndarray, y_N: np.ndarray, *, neighbours: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and labels with artificial rows of the rarer class after the given ones, both classes equal."""
    return SMOTE(k_neighbors=neighbours, random_state=seed).fit_resample(X_NF, y_N)
