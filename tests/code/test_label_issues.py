"""Confident learning on numbers that were worked out by hand."""

import numpy as np
import pytest

from zeromiss.errors import ZeromissError
from zeromiss.selection.label_issues import find_label_issues, most_contradicted

Y = np.array([0, 0, 0, 1, 1, 1])
PROBABILITY = np.array([0.1, 0.2, 0.9, 0.5, 0.9, 0.1])


def test_thresholds_are_the_mean_self_confidence() -> None:
    """Normals: (.9 + .8 + .1) / 3; defects: (.5 + .9 + .1) / 3."""
    assert find_label_issues(Y, PROBABILITY).thresholds_R2 == pytest.approx(np.array([[0.6, 0.5]]))


def test_margins_and_contradictions_by_hand() -> None:
    """The third normal: (.1 - .6) - (.9 - .5) = -.9; the last defect: (.1 - .5) - (.9 - .6) = -.7."""
    issues = find_label_issues(Y, PROBABILITY)
    assert issues.margin_N == pytest.approx([0.7, 0.5, -0.9, 0.1, 0.9, -0.7])
    assert issues.contradicted_N.tolist() == [0, 0, 1, 0, 0, 1]
    assert most_contradicted(issues).tolist() == [2, 5, 3, 1, 0, 4]


def test_an_image_that_reaches_both_thresholds_is_of_the_more_probable_class() -> None:
    """Thresholds .4 and .5: the first defect reaches both and stays one; the second normal and the second defect change sides."""
    issues = find_label_issues(np.array([0, 0, 1, 1]), np.array([0.5, 0.7, 0.55, 0.45]))
    assert issues.thresholds_R2 == pytest.approx(np.array([[0.4, 0.5]]))
    assert issues.contradicted_N.tolist() == [0, 1, 0, 1]


def test_repeats_are_judged_one_by_one_and_their_margins_averaged() -> None:
    """Where the second repeat is sure of the third normal, it is contradicted in one of two, behind what both contradict."""
    second = np.array([0.1, 0.2, 0.0, 0.5, 0.9, 0.1])
    issues = find_label_issues(Y, np.stack([PROBABILITY, second]))
    assert issues.thresholds_R2 == pytest.approx(np.array([[0.6, 0.5], [0.9, 0.5]]))
    assert issues.contradicted_N.tolist() == [0, 0, 1, 0, 0, 2]
    assert issues.margin_N[2] == pytest.approx((-0.9 + (1.0 - 0.9) - (0.0 - 0.5)) / 2)
    assert most_contradicted(issues).tolist()[:2] == [5, 2]


def test_labels_that_were_swapped_on_purpose_come_first() -> None:
    random = np.random.default_rng(0)
    truth = np.repeat([0, 1], [120, 80])
    probability_RN = np.clip(random.normal(0.2 + 0.6 * truth, 0.1, (2, 200)), 0.0, 1.0)
    given, swapped = truth.copy(), [3, 40, 90, 130, 150, 199]
    given[swapped] = 1 - given[swapped]
    assert sorted(most_contradicted(find_label_issues(given, probability_RN))[:6].tolist()) == swapped


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_is_refused(label: int) -> None:
    with pytest.raises(ZeromissError, match="only where there are normal images and defects"):
        find_label_issues(np.full(3, label), np.full(3, 0.5))
