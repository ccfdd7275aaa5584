"""What a draw is judged by, against figures worked out by hand and scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from zeromiss.selection.scoring import SCORING, accuracy, partial_auc, zfn_accuracy
from zeromiss.stage_params import SelectionParams

DEFECTS, NORMALS = [0.3, 0.6, 0.6, 0.9], [0.1, 0.3, 0.5, 0.7, 0.2]
Y, P = np.array([1] * 4 + [0] * 5), np.array([*DEFECTS, *NORMALS])


def _drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y_M = np.repeat([0, 1], [33, 20])
    return y_M, 1.0 / (1.0 + np.exp(-random.normal(1.5 * y_M)))


def test_the_names_are_those_of_the_parameters() -> None:
    """What params.yaml may ask for is what there is."""
    for name in SCORING:
        assert SelectionParams(scoring=name).scoring == name
    assert list(SCORING) == ["accuracy", "zfn_accuracy", "partial_auc"] and SelectionParams().scoring == "accuracy"


def test_accuracy_by_hand() -> None:
    """Wrong at 0.5: the defect at 0.3, the normals at 0.5 and 0.7."""
    assert accuracy(P, Y) == pytest.approx(6 / 9)


def test_accuracy_at_the_lowest_defect_by_hand() -> None:
    """At 0.3 three normals are called abnormal, the one at 0.3 among them."""
    assert zfn_accuracy(P, Y) == pytest.approx(6 / 9)
    assert zfn_accuracy(np.array([0.2, 0.1]), np.array([1, 0])) == 1.0


@pytest.mark.parametrize(
    ("sensitivity", "expected"),
    [
        (0.75, 2 / 5),  # the lowest of four defects: two normals below 0.3, one equal
        (0.9, 2 / 5),  # less than one defect: the lowest alone
        (0.5, (2 + 4) / 10),  # the two lowest: four normals below 0.6
        (0.625, (2 + 0.5 * 4) / 7.5),  # one and a half
        (0.0, (2 + 4 + 4 + 5) / 20),  # all
    ],
)
def test_the_partial_auc_by_hand(sensitivity: float, expected: float) -> None:
    """Four defects, five normals."""
    assert partial_auc(P, Y, sensitivity) == pytest.approx(expected)


@pytest.mark.parametrize("sensitivity", [0.5, 0.77, 0.9, 0.95])
def test_the_partial_auc_is_scikit_learns_with_the_classes_swapped(sensitivity: float) -> None:
    """Up to a false positive rate of 1 - t0 of the swapped question; McClish's correction of theirs undone."""
    for seed in range(20):
        y_M, probability_M = _drawn(seed)
        width = 1.0 - sensitivity
        theirs = roc_auc_score(1 - y_M, -probability_M, max_fpr=width)
        area = (2 * theirs - 1) * (width - width**2 / 2) + width**2 / 2
        assert partial_auc(probability_M, y_M, sensitivity) == pytest.approx(area / width, abs=1e-12)


def test_at_no_sensitivity_it_is_the_auc_of_scores_without_ties() -> None:
    """With ties it is less, by half of the tied pairs."""
    for seed in range(20):
        y_M, probability_M = _drawn(seed)
        assert partial_auc(probability_M, y_M, 0.0) == pytest.approx(roc_auc_score(y_M, probability_M), abs=1e-12)
        rounded_M = np.round(probability_M, 1)
        tied = (rounded_M[y_M == 1][:, None] == rounded_M[y_M == 0]).mean()
        assert tied > 0 and partial_auc(rounded_M, y_M, 0.0) == pytest.approx(roc_auc_score(y_M, rounded_M) - tied / 2, abs=1e-12)


@pytest.mark.parametrize("name", ["zfn_accuracy", "partial_auc"])
def test_the_same_score_for_all_beats_no_honest_one(name: str) -> None:
    """Its threshold calls every normal abnormal."""
    assert SCORING[name](np.full(9, 0.5), Y) < SCORING[name](P, Y)
    assert partial_auc(np.full(9, 0.5), Y) == 0.0


@pytest.mark.parametrize("name", SCORING)
def test_every_score_is_from_zero_to_one_and_perfect_is_one(name: str) -> None:
    """Racing's proof needs it exactly: no rounding above 1."""
    for seed in range(30):
        y_M, probability_M = _drawn(seed)
        assert 0.0 <= SCORING[name](probability_M, y_M) <= 1.0
        assert SCORING[name](np.where(y_M == 1, 0.9, 0.1), y_M) == 1.0
        for defects in (3, 7, 11, 13, 20):
            few_M = np.repeat([0, 1], [seed + 1, defects])
            assert SCORING[name](few_M.astype(float), few_M) == 1.0


@pytest.mark.parametrize("name", ["zfn_accuracy", "partial_auc"])
@pytest.mark.parametrize("label", [0, 1])
def test_a_fold_of_one_class_prefers_no_draw(name: str, label: int) -> None:
    """Whatever the probabilities."""
    for probability_M in (np.array([0.1, 0.9]), np.array([0.7, 0.2])):
        assert SCORING[name](probability_M, np.array([label, label])) == 1.0


def test_order_alone_counts_at_full_sensitivity() -> None:
    """Probabilities far from 0.5 that rank rightly: accuracy sees half, the others everything."""
    y_M, probability_M = np.array([0, 0, 1, 1]), np.array([0.01, 0.02, 0.03, 0.04])
    assert [SCORING[name](probability_M, y_M) for name in SCORING] == [0.5, 1.0, 1.0]
