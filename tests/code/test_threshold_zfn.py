"""The threshold by hand, its refusals, and what false alarms cost."""

import numpy as np
import pytest

from zeromiss.errors import ZeromissError
from zeromiss.threshold.review_time import review_seconds
from zeromiss.threshold.zfn import zfn_threshold

Y_N = np.array([0, 0, 1, 1, 1])
P_N = np.array([0.05, 0.7, 0.4, 0.9, 0.6])


def test_the_lowest_defect_sets_the_threshold() -> None:
    """Normals don't matter, and at the threshold the verdict is abnormal: no known defect is missed."""
    value = zfn_threshold(Y_N, P_N)
    assert value == 0.4
    assert (P_N[Y_N == 1] >= value).all()


def test_without_defects_there_is_no_threshold() -> None:
    """It is never guessed."""
    with pytest.raises(ZeromissError, match="there is no defect to set the threshold by"):
        zfn_threshold(np.zeros(5), P_N)


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.5])
def test_a_defect_without_a_probability_is_refused(bad: float) -> None:
    """A NaN would pass every comparison as not abnormal."""
    with pytest.raises(ZeromissError, match="not a number in"):
        zfn_threshold(Y_N, np.array([0.05, 0.7, bad, 0.9, 0.6]))


def test_review_time() -> None:
    """The paper's 8 s at 24.14 % are 1.9 s; 14 % of 8 s are 1.12 s."""
    assert round(review_seconds(0.2414, 8.0), 1) == 1.9
    assert review_seconds(0.14, 8.0) == pytest.approx(1.12)
    assert review_seconds(42 / 174, 8.0) == pytest.approx(336 / 174)


@pytest.mark.parametrize(("fpr", "seconds"), [(1.1, 8.0), (-0.1, 8.0), (0.5, -1.0), (float("nan"), 8.0)])
def test_review_time_out_of_range(fpr: float, seconds: float) -> None:
    """Rates are fractions."""
    with pytest.raises(ZeromissError, match="review time needs a rate in"):
        review_seconds(fpr, seconds)
