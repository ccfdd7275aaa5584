"""Kolmogorov and Smirnov's statistic, PSI, and the chance of a false alarm that the permutations promise."""

import math

import numpy as np
import pytest
from scipy.stats import binom, ks_2samp

from zeromiss.monitoring.drift import compare, mean_distance


def drift(table, window, *, permutations=199, false_alarm=0.05, seed=0):
    """Compare columns given as lists."""
    return compare(np.asarray(table, dtype=float), np.asarray(window, dtype=float), permutations=permutations, false_alarm=false_alarm, seed=seed)


def test_distances_are_scipys_ties_included():
    generator = np.random.default_rng(1)
    table, window = generator.integers(0, 6, (40, 5)), generator.integers(0, 7, (23, 5))
    found = drift(table, window)
    for f in range(5):
        theirs = ks_2samp(table[:, f], window[:, f], method="asymp")
        assert found.ks_F[f] == pytest.approx(theirs.statistic, abs=1e-12)
        assert found.p_F[f] == pytest.approx(theirs.pvalue)
    assert mean_distance(table, window) == pytest.approx(found.mean, abs=1e-12)


def test_psi_is_the_one_worked_out_by_hand():
    table = np.arange(20.0)[:, None]  # two in each of ten bins
    window = np.full((5, 1), 19.0)  # all in the last one
    old, new_last, new_else = 2.5 / 25, 5.5 / 10, 0.5 / 10
    expected = (new_last - old) * math.log(new_last / old) + 9 * (new_else - old) * math.log(new_else / old)
    assert drift(table, window).psi == pytest.approx(expected)


def test_the_same_values_have_no_distance_and_the_highest_p():
    values = np.random.default_rng(0).normal(size=(30, 3))
    found = drift(values, values)
    assert found.mean == 0.0 and found.psi == pytest.approx(0.0) and found.p == 1.0
    assert (found.corrected_F == 1.0).all()


def test_values_apart_have_the_lowest_p_there_is():
    generator = np.random.default_rng(0)
    found = drift(generator.normal(size=(30, 4)), generator.normal(5.0, size=(30, 4)))
    assert found.p == 2 / 200 and found.mean > found.mean_limit and found.psi > found.psi_limit


def test_one_metric_among_many_is_named_and_the_others_are_not():
    generator = np.random.default_rng(3)
    table, window = generator.normal(size=(120, 40)), generator.normal(size=(80, 40))
    window[:, 17] += 1.5
    found = drift(table, window, permutations=499)
    assert found.worst[0] == 17
    assert np.flatnonzero(found.corrected_F <= 0.05).tolist() == [17]
    assert found.p <= 0.05
    assert (found.p_F <= 0.05).sum() > 1  # each alone, chance would be taken for drift


def test_corrected_p_is_never_below_that_of_the_metric_alone():
    generator = np.random.default_rng(4)
    found = drift(generator.normal(size=(60, 20)), generator.normal(size=(60, 20)), permutations=999)
    assert (found.corrected_F >= found.p_F / 2).all()
    assert found.corrected_F[found.worst[0]] > found.p_F[found.worst[0]]


def test_an_unchanged_line_is_called_drifted_as_seldom_as_asked():
    """100 undrifted weeks of metrics that hang together: no more alarms than the chance of one in five allows."""
    generator = np.random.default_rng(7)
    mixing = generator.normal(size=(3, 8))
    alarms = 0
    for week in range(100):
        sample = np.exp(generator.normal(size=(45, 3)) @ mixing)
        alarms += drift(sample[:25], sample[25:], permutations=99, seed=week).p <= 0.2
    assert 0 < alarms <= binom.isf(1e-4, 100, 0.2)


def test_the_same_seed_gives_the_same_figures():
    generator = np.random.default_rng(0)
    table, window = generator.normal(size=(30, 4)), generator.normal(0.5, size=(20, 4))
    one, two, other = drift(table, window, seed=5), drift(table, window, seed=5), drift(table, window, seed=6)
    assert (one.p, one.mean_limit) == (two.p, two.mean_limit)
    assert one.mean_limit != other.mean_limit and one.mean == other.mean
