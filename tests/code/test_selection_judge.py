"""A pool judged by hand, the paper's own table, and ties."""

from dataclasses import replace

import numpy as np
import pytest

from zeromiss.errors import ZeromissError
from zeromiss.selection.judge import Judgement, Rates, judge_pool, pick_winner, rates_at

Y_N = np.array([0, 0, 0, 0, 1, 1, 1])
P_N = np.array([0.1, 0.3, 0.5, 0.9, 0.3, 0.6, 0.8])


def _rates(accuracy: float) -> Rates:
    return Rates(accuracy=accuracy, precision=0.5, fpr=0.5, fnr=0.0)


def _judgement(std: float, zfn: float) -> Judgement:
    return Judgement(std=_rates(std), zfn=_rates(zfn), zfn_threshold=0.1, image_auroc=0.5, average_precision=0.5)


def test_a_pool_by_hand() -> None:
    """At 0.5: normals 0.5 and 0.9 are false alarms, defect 0.3 is missed. At 0.3 only the normal 0.1 is right."""
    found = judge_pool(Y_N, P_N)
    assert found.std == Rates(accuracy=4 / 7, precision=2 / 4, fpr=2 / 4, fnr=1 / 3)
    assert found.zfn == Rates(accuracy=4 / 7, precision=3 / 6, fpr=3 / 4, fnr=0.0)
    assert found.zfn_threshold == 0.3
    # defects above normals: 0.3 beats 0.1 and ties 0.3; 0.6 and 0.8 beat three each: 7.5 of 12
    assert found.image_auroc == pytest.approx(7.5 / 12)


def test_no_positive_verdict_has_precision_zero() -> None:
    """0 / 0 has one stated value."""
    assert rates_at(Y_N, P_N, 0.95) == Rates(accuracy=4 / 7, precision=0.0, fpr=0.0, fnr=1.0)


@pytest.mark.parametrize(
    ("false_alarms", "missed", "accuracy", "precision", "fpr", "fnr"),
    [
        (42, 0, 87.93, 80.56, 24.14, 0.0),  # extra trees at zero missed
        (3, 12, 95.69, 98.18, 1.72, 6.9),  # extra trees at 0.5
        (20, 9, 91.67, 89.19, 11.49, 5.17),  # XGBoost at 0.5
        (59, 0, 83.05, 74.68, 33.91, 0.0),  # XGBoost at zero missed
        (162, 0, 53.45, 51.79, 93.1, 0.0),  # logistic regression at zero missed
        (174, 0, 50.0, 50.0, 100.0, 0.0),  # nearest neighbours at zero missed
    ],
)
def test_the_papers_table(
    false_alarms: int, missed: int, accuracy: float, precision: float, fpr: float, fnr: float
) -> None:
    """Rows of paper 1's Table 1 (174 normals, 174 defects) follow from their counts, to two places."""
    y_N = np.repeat([0, 1], 174)
    p_N = np.concatenate([np.arange(174) < false_alarms, np.arange(174) >= missed]).astype(float)
    found = rates_at(y_N, p_N, 0.5)
    shares = [found.accuracy, found.precision, found.fpr, found.fnr]
    assert [round(100 * share, 2) for share in shares] == [accuracy, precision, fpr, fnr]


def test_one_defect_at_zero_calls_everything_abnormal() -> None:
    """The paper's note on KNN, DT and others: a threshold of zero, all normals false alarms."""
    found = judge_pool(Y_N, np.array([0.0, 0.1, 0.2, 0.0, 0.0, 1.0, 1.0]))
    assert found.zfn_threshold == 0.0 and found.zfn.fpr == 1.0 and found.zfn.accuracy == pytest.approx(3 / 7)


def test_one_class_is_refused() -> None:
    """No rate without its denominator."""
    with pytest.raises(ZeromissError, match="there are 3 and 0"):
        rates_at(np.zeros(3), np.zeros(3), 0.5)


def test_the_winner_has_the_highest_zfn_accuracy() -> None:
    """Whatever its accuracy at 0.5."""
    assert pick_winner({"a": _judgement(0.99, 0.6), "b": _judgement(0.7, 0.61)}) == "b"


def test_ties_go_by_std_accuracy_then_by_order() -> None:
    """Equal at zero missed: STD decides; equal there too: the first."""
    assert pick_winner({"a": _judgement(0.8, 0.6), "b": _judgement(0.9, 0.6)}) == "b"
    assert pick_winner({"b": _judgement(0.9, 0.6), "a": _judgement(0.9, 0.6)}) == "b"
    better_elsewhere = replace(_judgement(0.9, 0.6), image_auroc=0.99)
    assert pick_winner({"b": _judgement(0.9, 0.6), "a": better_elsewhere}) == "b"


def test_no_family_no_winner() -> None:
    """All failed is an error that says where to look."""
    with pytest.raises(ZeromissError, match="candidates.parquet"):
        pick_winner({})
