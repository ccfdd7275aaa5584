"""docs/guarantees.md: every worked number of its rules is what the product computes."""

import pytest
from scipy.stats import binom, binomtest

from zeromiss.stage_params import InspectionParams, ThresholdParams
from zeromiss.threshold.bounds import clopper_pearson_upper, miss_rate_bound, required_defects
from zeromiss.threshold.escapes import escapes
from zeromiss.threshold.ranks import SHARES_A_FOLD, budget_rank, check_conformal, conformal_rank
from zeromiss.threshold.statement import DRIFT, percent
from zeromiss.threshold.umbrella import umbrella_rank

SHARES = SHARES_A_FOLD * 5  # five outer folds


@pytest.fixture(scope="module")
def page(repository):
    return " ".join((repository / "docs" / "guarantees.md").read_text(encoding="utf-8").split())


def test_the_bounds_of_the_lowest_score(page):
    shares = [f"{100 * miss_rate_bound(n):.1f} %" for n in (63, 299, 2995)]
    assert f"{shares[0]} for 63 defects, {shares[1]} for 299, {shares[2]} for 2,995" in page
    plain, corrected = (percent(miss_rate_bound(250, n_candidates=count)) for count in (1, 390))
    assert f"for 250 defects {plain} becomes {corrected} with K = 390" in page


def test_what_conformal_needs_and_gives(page):
    assert check_conformal(19, 0.05) is None and conformal_rank(18, 0.05) == 0
    assert check_conformal(99, 0.01) is None and conformal_rank(98, 0.01) == 0
    assert "5 % needs 19 defective parts, 1 % needs 99" in page
    rank = conformal_rank(250, 0.01)
    assert f"With 250 parts and a target of 1 %, k is {rank} and the next defect is missed with probability up to {percent(rank / 251)}" in page


def test_what_the_budget_needs_and_gives(page):
    needed = [f"{required_defects(budget, n_candidates=SHARES):,}" for budget in (0.05, 0.01, 0.001)]
    assert f"50,000 per million need {needed[0]} defective parts, 10,000 need {needed[1]}, 1,000 need {needed[2]}" in page
    rank = budget_rank(250, 0.05, confidence=0.95, shares=SHARES)
    bound = percent(clopper_pearson_upper(rank - 1, 250, n_candidates=SHARES))
    assert f"With 250 parts and 50,000 per million, k is {rank} and the bound {bound}" in page
    assert f"(0.05/{SHARES} for five)" in page


def test_what_the_umbrella_needs(page):
    needed = [f"{required_defects(target):,}" for target in (0.05, 0.01, 0.001)]
    assert f"The lowest score needs {needed[0]} parts for 5 %, {needed[1]} for 1 % and {needed[2]} for 0.1 %" in page
    assert page.count(" / ".join(needed)) == 2
    first = [next(n for n in range(59, 200) if umbrella_rank(n, ThresholdParams(rule="umbrella", target=0.05)) == rank) for rank in (1, 2, 3)]
    assert f"1 for {first[0]} parts at 5 %, 2 for {first[1]}, 3 for {first[2]}." in page


def test_what_a_bound_means_on_the_line(page):
    found = escapes(0.01, 0.01, defect_share=0.02, next_parts=InspectionParams().next_parts)
    assert f"at 2 % defective parts is up to {found['per_million']:g} escapes per million parts and up to {found['next_misses']:g} misses" in page
    assert f"`inspection.next_parts` ({found['next_parts']:,})" in page


def test_the_interval_of_no_miss_and_the_simulations_limit(page):
    assert f"none of 250 missed is an interval from 0 to {percent(binomtest(0, 250).proportion_ci(0.95, method='exact').high)}" in page
    assert f"at most {percent(binom.ppf(0.999, 2000, 0.05) / 2000)} of the resamples" in page


def test_the_page_states_the_assumption_as_the_files_do(page):
    assert DRIFT.split(":")[0] in page
