"""Folds by part, and SMOTE inside them."""

import numpy as np
import pytest

from zeromiss.errors import ZeromissError
from zeromiss.selection.fit import Recipe, prepare_fold
from zeromiss.selection.folds import part_folds, search_folds
from zeromiss.selection.resample import check_neighbours, is_imbalanced, oversample


def _labels(normals: int, defects: int) -> np.ndarray:
    return np.array([0] * normals + [1] * defects)


def test_search_folds_are_stratified() -> None:
    """20 normals and 10 defects in 5 folds: 4 and 2 each."""
    y_N = _labels(20, 10)
    for training, judged in search_folds(y_N, np.arange(30).astype(str), 5, 0):
        assert np.bincount(y_N[judged]).tolist() == [4, 2]
        assert np.intersect1d(training, judged).size == 0 and len(training) + len(judged) == 30


def test_search_folds_keep_a_part_together() -> None:
    """Three images a part: no part lies on both sides, each image is judged once."""
    y_N, part_N = np.repeat(_labels(10, 10), 3), np.repeat(np.arange(20).astype(str), 3)
    judged_all = []
    for training, judged in search_folds(y_N, part_N, 5, 0):
        assert not set(part_N[training]) & set(part_N[judged])
        judged_all.extend(judged)
    assert sorted(judged_all) == list(range(60))


def test_too_few_parts_for_the_folds() -> None:
    """Four defects cannot be in five folds; images of one part count once."""
    with pytest.raises(ZeromissError, match=r"selection.folds is 5, but the defects come from 4 parts"):
        search_folds(_labels(20, 4), np.arange(24).astype(str), 5, 0)
    part_N = np.array([f"n{i}" for i in range(20)] + ["d0"] * 10)
    with pytest.raises(ZeromissError, match="the defects come from 1 parts"):
        search_folds(_labels(20, 10), part_N, 5, 0)


def test_leave_one_part_out_by_hand() -> None:
    """Folds follow the parts' first appearance and leave out all of a part."""
    folds = part_folds(np.array([0, 1, 0, 1, 1, 0]), np.array(["b", "a", "b", "c", "a", "d"]))
    assert [judged.tolist() for _, judged in folds] == [[0, 2], [1, 4], [3], [5]]


def test_leaving_the_only_defect_part_out_is_refused() -> None:
    """Without it nothing of its class is left to train on."""
    with pytest.raises(ZeromissError, match="no normals or no defects to train on"):
        part_folds(np.array([0, 0, 1, 1]), np.array(["a", "b", "c", "c"]))


def test_what_counts_as_imbalanced() -> None:
    """40 % is not under 40 %; the rarer class may be either."""
    assert not is_imbalanced(_labels(60, 40), 0.4)
    assert is_imbalanced(_labels(61, 39), 0.4)
    assert is_imbalanced(_labels(39, 61), 0.4)
    assert not is_imbalanced(_labels(99, 1), 0.0)


def test_smote_makes_classes_equal_between_known_rows() -> None:
    """10 against 4 become 10 and 10; given rows come first, artificial ones lie between rows of their class."""
    X_NF = np.concatenate([np.linspace(0, 0.2, 10), [0.7, 0.8, 0.9, 1.0]])[:, None]
    grown_NF, grown_N = oversample(X_NF, _labels(10, 4), neighbours=3, seed=0)
    assert np.bincount(grown_N).tolist() == [10, 10]
    assert (grown_NF[:14] == X_NF).all()
    assert grown_NF[14:].min() >= 0.7 and grown_NF[14:].max() <= 1.0


def test_smote_acts_on_the_training_part_only() -> None:
    """The judged part keeps its rows; artificial rows know nothing of it."""
    X_NF = np.stack([np.arange(14.0), np.arange(14.0)[::-1] ** 2], axis=1)
    y_N = _labels(10, 4)
    fold = (np.arange(13), np.array([13]))
    ready = prepare_fold(X_NF, y_N, fold, Recipe(correlation=1.0, smote_neighbours=2, seed=0))
    assert np.bincount(ready.train_N).tolist() == [10, 10]
    assert ready.judged_MF.shape == (1, 2)
    assert (ready.train_NF[13:, 0] <= 1.0).all() and (ready.train_NF[13:, 0] >= 10 / 12 - 1e-12).all()


@pytest.mark.parametrize("defects", [5, 6])
def test_smote_with_five_neighbours_needs_seven(defects: int) -> None:
    """Leave-one-out leaves six; fewer is refused with the key to change."""
    y_N = _labels(30, defects)
    folds = [training for training, _ in part_folds(y_N, np.arange(len(y_N)).astype(str))]
    with pytest.raises(ZeromissError, match=rf"at least 7 defects .* the table has {defects} .*lower selection.smote_neighbors"):
        check_neighbours(y_N, folds, 5)


def test_seven_are_enough_for_leave_one_out_but_not_for_five_folds() -> None:
    """A fold that puts two of seven aside trains on five: six are needed there too."""
    y_N, part_N = _labels(30, 7), np.arange(37).astype(str)
    check_neighbours(y_N, [training for training, _ in part_folds(y_N, part_N)], 5)
    folds = [training for training, _ in search_folds(y_N, part_N, 5, 0)]
    with pytest.raises(ZeromissError, match="the table has 7 and a fold 5"):
        check_neighbours(y_N, folds, 5)


def test_rare_normals_are_named() -> None:
    """SMOTE grows whichever class is rare, and so does its refusal."""
    with pytest.raises(ZeromissError, match="add normals"):
        check_neighbours(_labels(3, 30), [np.arange(33)], 5)
