"""Bounds by hand, against Clopper and Pearson, and against drawn scores."""

import numpy as np
import pytest
from scipy.stats import binomtest

from zeromiss.errors import ZeromissError
from zeromiss.threshold.bounds import check_target, clopper_pearson_upper, miss_rate_bound, next_defect_miss_bound, required_defects


@pytest.mark.parametrize(("n_defects", "per_cent"), [(63, 4.6), (299, 1.0), (2995, 0.1), (1, 95.0)])
def test_known_bounds(n_defects: int, per_cent: float) -> None:
    """63 defects 4.6 %, 299 1.0 %, 2,995 0.1 %."""
    assert round(100 * miss_rate_bound(n_defects), 1) == per_cent


def test_the_next_defect() -> None:
    """1 / (n + 1)."""
    assert next_defect_miss_bound(63) == 1 / 64
    assert next_defect_miss_bound(1) == 0.5


@pytest.mark.parametrize("n_defects", [1, 7, 63, 299, 2995, 100_000])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("n_candidates", [1, 120, 6000])
def test_clopper_and_pearson_agree(n_defects: int, confidence: float, n_candidates: int) -> None:
    """At 0 misses of n both are the same number."""
    mine = miss_rate_bound(n_defects, confidence=confidence, n_candidates=n_candidates)
    theirs = clopper_pearson_upper(0, n_defects, confidence=confidence, n_candidates=n_candidates)
    assert mine == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize(("misses", "n_defects"), [(0, 20), (1, 20), (3, 63), (19, 20)])
def test_clopper_and_pearson_against_scipy(misses: int, n_defects: int) -> None:
    """One-sided at 95 %, as scipy's exact interval for the alternative `less`."""
    expected = binomtest(misses, n_defects, alternative="less").proportion_ci(0.95, method="exact").high
    assert clopper_pearson_upper(misses, n_defects) == pytest.approx(expected, rel=1e-9)


def test_all_missed_bounds_nothing() -> None:
    """The upper bound is one."""
    assert clopper_pearson_upper(5, 5) == 1.0


def test_many_candidates_widen_the_bound() -> None:
    """0.05 / K by hand: 1 - (0.05 / 120)^(1 / 250) = 3.07 %."""
    assert miss_rate_bound(250, n_candidates=120) == pytest.approx(1 - (0.05 / 120) ** (1 / 250), rel=1e-12)
    assert round(100 * miss_rate_bound(250, n_candidates=120), 2) == 3.07


@pytest.mark.parametrize(("miss_rate", "needed"), [(0.01, 299), (0.001, 2995), (0.05, 59), (0.95, 1)])
def test_defects_a_target_needs(miss_rate: float, needed: int) -> None:
    """The known sample sizes; one fewer is not enough."""
    assert required_defects(miss_rate) == needed
    assert miss_rate_bound(needed) <= miss_rate + 1e-12
    assert needed == 1 or miss_rate_bound(needed - 1) > miss_rate


def test_a_target_out_of_reach_says_how_many_are_needed() -> None:
    """63 defects cannot show 1 %."""
    with pytest.raises(ZeromissError, match="needs 299 defects, none missed; there are 63"):
        check_target(0.01, 63)
    assert check_target(0.05, 63) is None


def test_zero_is_no_target() -> None:
    """No number of defects shows it."""
    with pytest.raises(ZeromissError, match="no finite number of defects shows 0"):
        required_defects(0.0)


@pytest.mark.parametrize("n_defects", [0, -3])
def test_no_defects_no_bound(n_defects: int) -> None:
    """Not even a bad one."""
    with pytest.raises(ZeromissError, match="without defects nothing can be said"):
        miss_rate_bound(n_defects)
    with pytest.raises(ZeromissError, match="without defects nothing can be said"):
        next_defect_miss_bound(n_defects)


@pytest.mark.parametrize(("confidence", "n_candidates"), [(0.0, 1), (1.0, 1), (0.95, 0)])
def test_impossible_confidence(confidence: float, n_candidates: int) -> None:
    """Neither certainty nor no candidate."""
    with pytest.raises(ZeromissError, match="a bound needs a confidence between 0 and 1"):
        miss_rate_bound(10, confidence=confidence, n_candidates=n_candidates)


def test_the_bounds_hold_on_drawn_scores() -> None:
    """20,000 times 30 uniform scores: the true miss rate is their minimum.

    Its mean is 1 / 31, and it exceeds the 95 % bound in 5 % of the draws; both to four standard errors.
    """
    lowest = np.random.default_rng(0).random((20_000, 30)).min(axis=1)
    assert abs(lowest.mean() - next_defect_miss_bound(30)) < 4 * lowest.std() / 20_000**0.5
    assert abs(np.mean(lowest > miss_rate_bound(30)) - 0.05) < 4 * (0.05 * 0.95 / 20_000) ** 0.5
