"""Ranks, ratios and refusals of the threshold's rules, by hand and against Clopper and Pearson."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from zeromiss.errors import ZeromissError
from zeromiss.params import Product, resolve_product
from zeromiss.stage_params import ThresholdParams
from zeromiss.threshold.bounds import clopper_pearson_upper, required_defects
from zeromiss.threshold.ranks import budget_rank, check_conformal, conformal_rank
from zeromiss.threshold.ratios import order_statistic, part_ratios
from zeromiss.threshold.rules import outer_thresholds, place


def _outer(**columns: Any) -> pd.DataFrame:
    count = len(columns["probability"])
    values = {"repeat": 0, "fold": np.arange(count) % 2, "part_id": [f"d{number}" for number in range(count)], "label": "defect", "family": "et"}
    return pd.DataFrame(values | {"threshold": 0.5} | columns)


@pytest.mark.parametrize(("n_defects", "target", "rank"), [(19, 0.05, 1), (18, 0.05, 0), (99, 0.29, 29), (250, 0.01, 2), (63, 0.1, 6), (10, 0.999, 10)])
def test_conformal_ranks(n_defects: int, target: float, rank: int) -> None:
    """The highest k with k / (n + 1) <= target; 0.29 * 100 is 29 in spite of its rounding."""
    assert conformal_rank(n_defects, target) == rank
    assert rank / (n_defects + 1) <= target * (1 + 1e-9) < (rank + 1) / (n_defects + 1)


@pytest.mark.parametrize("shares", [1, 10])
@pytest.mark.parametrize(("n_defects", "budget", "confidence"), [(600, 0.01, 0.95), (300, 0.02, 0.95), (5000, 0.001, 0.9), (63, 0.2, 0.99), (110, 0.05, 0.95)])
def test_the_budgets_rank_is_the_last_whose_bound_holds(n_defects: int, budget: float, confidence: float, shares: int) -> None:
    """Clopper and Pearson of one miss fewer than the rank lies within the budget, of the rank itself above it."""
    rank = budget_rank(n_defects, budget, confidence=confidence, shares=shares)
    assert rank >= 1
    assert clopper_pearson_upper(rank - 1, n_defects, confidence=confidence, n_candidates=shares) <= budget * (1 + 1e-9)
    assert clopper_pearson_upper(rank, n_defects, confidence=confidence, n_candidates=shares) > budget


@pytest.mark.parametrize("budget", [1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.3, 0.95])
def test_just_enough_defects_are_enough(budget: float) -> None:
    """What the refusal names as needed makes rank 1, one fewer none."""
    for shares in (1, 4, 10):
        needed = required_defects(budget, n_candidates=shares)
        assert budget_rank(needed, budget, confidence=0.95, shares=shares) >= 1
        assert needed == 1 or budget_rank(needed - 1, budget, confidence=0.95, shares=shares) == 0


@pytest.mark.parametrize(("target", "needed"), [(0.05, 19), (0.01, 99), (0.3, 3), (0.001, 999), (1 / 3, 2)])
def test_what_conformal_needs(target: float, needed: int) -> None:
    """ceil(1 / target) - 1, said in the refusal."""
    assert check_conformal(needed, target) is None
    with pytest.raises(ZeromissError, match=f"needs {needed} defects; there are {needed - 1}: add defects or ask for less"):
        check_conformal(needed - 1, target)


def test_a_parts_lowest_ratio_counts() -> None:
    """Over its images and repeats, each over its own fold's threshold; normals have none."""
    table = _outer(
        probability=[0.5, 0.4, 0.9, 0.2, 0.1], threshold=[0.5, 0.2, 0.3, 0.4, 0.5], part_id=["a", "a", "b", "b", "n"],
        label=["defect"] * 4 + ["normal"], repeat=[0, 1, 0, 1, 0],
    )  # fmt: skip
    found = part_ratios(table)
    assert found.to_dict() == {"a": 1.0, "b": 0.5}


def test_a_fold_that_calls_everything_abnormal_is_refused() -> None:
    """Its scores stand in no relation to a threshold of 0."""
    with pytest.raises(ZeromissError, match=r"outer fold 1 of repeat 0 calls everything abnormal \(et gave a defect the score 0\).*zfn or margin"):
        part_ratios(_outer(probability=[0.5, 0.4], threshold=[0.5, 0.0]))


def test_order_statistics() -> None:
    """Counted from 1; ties stay at their value."""
    assert [order_statistic(np.array([3.0, 1.0, 2.0, 2.0]), rank) for rank in (1, 2, 3, 4)] == [1.0, 2.0, 2.0, 3.0]


def test_ties_at_the_threshold_are_caught() -> None:
    """Three parts tie at the second rank: only the one below is missed by the verdict abnormal at >=."""
    ratio_P = np.array([0.5, 0.75, 0.75, 0.75, 2.0])
    assert (ratio_P < order_statistic(ratio_P, 2)).sum() == 1


def test_multiples_of_the_zfn_threshold() -> None:
    """1; 1 - margin; the ratio at the rank."""
    outer = _outer(probability=[0.25, 0.375, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
    assert place(ThresholdParams(), None).multiplier == 1.0
    assert place(ThresholdParams(rule="margin", margin=0.25), None).multiplier == 0.75
    conformal = place(ThresholdParams(rule="conformal", target=0.2), outer)
    assert (conformal.multiplier, conformal.rank, conformal.n_parts) == (0.75, 2, 9)
    budget = place(ThresholdParams(rule="budget", budget_ppm=400_000), outer)  # 0 of 9 bounds 38.6 % with two folds
    assert (budget.multiplier, budget.rank) == (0.5, 1)


def test_a_fold_is_judged_by_the_ratios_of_the_others() -> None:
    """Target 0.4 of two parts outside is rank 1: fold 0 (1.0 and 2.0) takes 0.5 of fold 1, which takes 1.0."""
    outer = _outer(probability=[0.5, 0.25, 1.0, 1.0], threshold=[0.5, 0.5, 0.5, 0.5])
    found = outer_thresholds(ThresholdParams(rule="conformal", target=0.4), outer)
    assert found.tolist() == [0.25, 0.5, 0.25, 0.5]


def test_a_part_never_sets_the_threshold_that_judges_it_in_another_repeat() -> None:
    """Part a, of ratio 0.1 in its second repeat, is left out wherever it is judged."""
    outer = _outer(probability=[0.5, 0.5, 0.05, 0.4], part_id=["a", "b", "a", "b"], repeat=[0, 0, 1, 1], fold=[0, 1, 1, 0])
    found = outer_thresholds(ThresholdParams(rule="conformal", target=0.4), outer)
    assert found == pytest.approx([0.4, 0.05, 0.4, 0.05])


def test_the_other_rules_multiply_the_folds_thresholds() -> None:
    """By one number; and no threshold lies above 1."""
    outer = _outer(probability=[0.9, 0.9, 0.9, 0.9], threshold=[0.2, 0.4, 0.2, 0.4])
    assert outer_thresholds(ThresholdParams(), outer).tolist() == [0.2, 0.4, 0.2, 0.4]
    assert outer_thresholds(ThresholdParams(rule="margin", margin=0.5), outer).tolist() == [0.1, 0.2, 0.1, 0.2]
    clipped = outer_thresholds(ThresholdParams(rule="conformal", target=0.4), outer)  # ratios 4.5 and 2.25 of the other fold
    assert clipped == pytest.approx([0.45, 1.0, 0.45, 1.0])


@pytest.mark.parametrize("rule", [{"rule": "conformal", "target": 0.1}, {"rule": "budget", "budget_ppm": 100}])
def test_no_outer_folds_no_rule(rule: dict[str, Any]) -> None:
    """A selection made before its key was set."""
    with pytest.raises(ZeromissError, match=f"threshold.rule {rule['rule']} rests on defects that outer folds judged: set selection.outer_repeats"):
        place(ThresholdParams(**rule), None)


def test_too_few_defects_for_the_aim() -> None:
    """The key, what it needs and what there is."""
    outer = _outer(probability=[0.5, 0.4, 0.3])
    with pytest.raises(ZeromissError, match="threshold.target: missing the next defect with a probability of at most 0.1 needs 9 defects; there are 3"):
        place(ThresholdParams(rule="conformal", target=0.1), outer)
    with pytest.raises(ZeromissError, match="threshold.budget_ppm: a miss rate below 0.001 with 95 % confidence shared among 4 needs 4380 defects, none missed; there are 3"):
        place(ThresholdParams(rule="budget", budget_ppm=1000), outer)


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ({"margin": 0.1}, "threshold.margin is set, but threshold.rule zfn does not read it"),
        ({"rule": "conformal", "target": 0.1, "margin": 0.1}, "threshold.margin is set, but threshold.rule conformal does not read it"),
        ({"rule": "margin", "margin": 0.1, "target": 0.1}, "threshold.target is set, but threshold.rule margin does not read it"),
        ({"rule": "conformal", "target": 0.1, "budget_ppm": 10}, "threshold.budget_ppm is set, but threshold.rule conformal does not read it"),
        ({"rule": "margin"}, "threshold.rule margin needs threshold.margin above 0"),
        ({"rule": "conformal"}, "threshold.rule conformal needs threshold.target above 0"),
        ({"rule": "budget"}, "threshold.rule budget needs threshold.budget_ppm above 0"),
        ({"rule": "umbrella"}, "threshold.rule umbrella needs threshold.target above 0"),
        ({"rule": "umbrella", "target": 0.1, "margin": 0.1}, "threshold.margin is set, but threshold.rule umbrella does not read it"),
        ({"rule": "conformal", "target": 1.0}, "threshold.target: input should be less than 1"),
        ({"rule": "budget", "budget_ppm": 0}, "threshold.budget_ppm: input should be greater than 0"),
    ],
)
def test_a_rule_and_its_key_belong_together(section: dict[str, Any], fault: str) -> None:
    """Told when the parameters are read, before anything is trained."""
    with pytest.raises(ZeromissError, match=fault):
        _product(section, outer_repeats=1)


def test_outer_folds_are_asked_for_when_the_parameters_are_read() -> None:
    """Not after an hour of training."""
    section = {"rule": "conformal", "target": 0.1}
    with pytest.raises(ZeromissError, match="threshold.rule conformal rests on outer folds: set selection.outer_repeats to 1 or more"):
        _product(section, outer_repeats=0)
    assert _product(section, outer_repeats=2).threshold.target == 0.1


def _product(threshold: dict[str, Any], outer_repeats: int) -> Product:
    sections = {"source": {"kind": "elpv"}, "threshold": threshold, "selection": {"outer_repeats": outer_repeats}}
    return resolve_product({"products": {"toy": sections}, "profiles": {"quick": {}}}, "toy", origin=Path("params.yaml"))
