"""Folds by part: all images of one part lie on the same side. Axes: N images."""

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from zeromiss.errors import ZeromissError

Fold = tuple[np.ndarray, np.ndarray]  # indices of the training part, indices of the part that is judged


def search_folds(y_N: np.ndarray, part_N: np.ndarray, folds: int, seed: int) -> list[Fold]:
    """Return `folds` shuffled folds, stratified by label (0 normal, 1 defect), each part in one.

    Raises ZeromissError when a class has fewer parts than there are folds, or a fold trains on one class.
    """
    for label, name in ((0, "normals"), (1, "defects")):
        parts = len(np.unique(part_N[y_N == label]))
        if parts < folds:
            raise ZeromissError(f"selection.folds is {folds}, but the {name} come from {parts} parts: add {name} or lower selection.folds")
    single = len(np.unique(part_N)) == len(part_N)
    kind = StratifiedKFold if single else StratifiedGroupKFold
    splitter = kind(n_splits=folds, shuffle=True, random_state=seed)
    return _checked(list(splitter.split(y_N, y_N, None if single else part_N)), y_N)


def part_folds(y_N: np.ndarray, part_N: np.ndarray) -> list[Fold]:
    """Return one fold a part, in the order in which parts first appear; each leaves out all images of its part.

    Raises ZeromissError when a fold would train on one class.
    """
    _, first, group_N = np.unique(part_N, return_index=True, return_inverse=True)
    groups = np.argsort(first, kind="stable")
    return _checked([(np.flatnonzero(group_N != group), np.flatnonzero(group_N == group)) for group in groups], y_N)


def _checked(folds: list[Fold], y_N: np.ndarray) -> list[Fold]:
    """Return the folds, or refuse those that leave nothing of a class to train on."""
    for training, judged in folds:
        if len(np.unique(y_N[training])) < 2 or not len(judged):
            raise ZeromissError("a fold of the selection has no normals or no defects to train on: add parts of the rarer class")
    return folds
