"""Observed rates with Clopper and Pearson's intervals, and the limits at which someone is told."""

import numpy as np
import pytest
from scipy.stats import beta

from zeromiss.monitoring.alarm import fpr_limit, reasons
from zeromiss.monitoring.drift import compare
from zeromiss.monitoring.rates import rates, share_of
from zeromiss.params import MonitorParams

LINE = {f"n{number}": "normal" for number in range(16)} | {f"a{number}": "abnormal" for number in range(4)}


def test_a_share_has_clopper_and_pearsons_interval():
    found = share_of(3, 20)
    assert (found.share, found.low, found.high) == pytest.approx((0.15, beta.ppf(0.025, 3, 18), beta.ppf(0.975, 4, 17)))
    assert (found.low, found.high) == pytest.approx((0.03207, 0.37893), abs=1e-5)
    none = share_of(0, 10)
    assert (none.low, none.high) == pytest.approx((0.0, 1 - 0.025**0.1))


def test_without_a_judged_alarm_the_false_positive_rate_is_unknown():
    found = rates(LINE, {"n3": "normal", "elsewhere": "normal"})
    assert (found.abnormal.count, found.abnormal.of) == (4, 20)
    assert found.fpr is None and found.judged_alarms == 0 and found.missed == ()


def test_all_alarms_judged_give_the_rate_among_good_parts():
    found = rates(LINE, {"a0": "normal", "a1": "normal", "a2": "normal", "a3": "defect"})
    assert (found.fpr.count, found.fpr.of) == (3, 19)


def test_half_of_the_alarms_judged_stand_for_all_with_half_of_the_passed():
    found = rates(LINE, {"a0": "normal", "a1": "normal"})
    assert (found.fpr.count, found.fpr.of) == (2, 10)
    assert found.fpr.high - found.fpr.low > rates(LINE, dict.fromkeys(("a0", "a1", "a2", "a3"), "normal")).fpr.high * 0.5


def test_a_defect_found_later_is_a_miss_and_no_good_part():
    found = rates(LINE, {"n3": "defect", "a0": "normal", "a1": "defect", "a2": "defect", "a3": "defect"})
    assert found.missed == ("n3",)
    assert (found.fpr.count, found.fpr.of) == (1, 16)


@pytest.mark.parametrize(("expected", "limit"), [(0.1, 0.2), (0.0, 0.0), (0.7, 0.85), (1.0, 1.0)])
def test_the_highest_rate_is_twice_the_expected_one_or_halfway_to_all(expected, limit):
    assert fpr_limit(expected, 2.0) == pytest.approx(limit)


def told(judgements, *, expected_fpr=0.1, missed=0, drift=None, params=MonitorParams()):
    """What calls for retraining of forty verdicts, ten of them abnormal."""
    verdicts = {f"n{number}": "normal" for number in range(30)} | {f"a{number}": "abnormal" for number in range(10)}
    strict = rates(verdicts, judgements, confidence=1.0 - 2.0 * params.false_alarm)
    return reasons(drift, strict, expected_fpr=expected_fpr, missed=missed, params=params)


def test_false_alarms_are_told_only_when_chance_cannot_explain_them():
    judged = {f"a{number}": "normal" for number in range(10)}
    assert told(judged) == ()  # a quarter, but of forty: its interval begins below 0.2
    assert told(judged, expected_fpr=0.02) == ("false alarms",)


def test_misses_and_drift_are_told():
    generator = np.random.default_rng(0)
    drift = compare(generator.normal(size=(30, 2)), generator.normal(4.0, size=(30, 2)), permutations=1999, false_alarm=0.001, seed=0)
    assert told({}, missed=1) == ("missed",)
    assert told({}, missed=1, params=MonitorParams(misses=1)) == ()
    assert told({}, missed=1, drift=drift) == ("drift", "missed")


def test_a_chance_that_the_permutations_cannot_reach_is_refused():
    with pytest.raises(ValueError, match="needs monitor.permutations of 19999 or more"):
        MonitorParams(false_alarm=0.0001)
    with pytest.raises(ValueError, match="monitor.most is below monitor.least"):
        MonitorParams(least=50, most=20)
