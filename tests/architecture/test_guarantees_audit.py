"""docs/guarantees.md, the part on the audit set: its numbers are what the gate computes."""

import math

import pytest

from zeromiss.registry.criteria import enough_normals_pass, fewest_of_each
from zeromiss.registry.gate import refusal_chance
from zeromiss.registry.verdict import AuditVerdict
from zeromiss.registry.wear import error_parts
from zeromiss.registry.wording import below
from zeromiss.stage_params import PromotionParams
from zeromiss.threshold.bounds import clopper_pearson_upper, miss_rate_bound


@pytest.fixture(scope="module")
def page(repository):
    return " ".join((repository / "docs" / "guarantees.md").read_text(encoding="utf-8").split())


def test_the_bounds_of_63_defects(page):
    assert f"which is {below(miss_rate_bound(63)).removeprefix('below ')} for 63, rounded up" in page
    assert f"with 2 of 63 missed it is {below(clopper_pearson_upper(2, 63)).removeprefix('below ')}" in page
    shown = " | ".join(below(miss_rate_bound(63, n_candidates=error_parts(look))).removeprefix("below ") for look in (1, 2, 3, 5, 10))
    assert f"| true miss rate below | {shown} |" in page


def enough(passing, confidence):
    """Return what the gate says of a model that passes so many of 59 good parts."""
    parts = [AuditVerdict(path=f"n{number}", label="normal", score=0.1 if number < passing else 0.9, threshold=0.5) for number in range(59)]
    return enough_normals_pass(parts, PromotionParams().min_passed, confidence=confidence, hardest=None)


def test_the_gates_limits(page):
    gate = PromotionParams()
    for key in ("min_audit_defects", "audit_uses", "chance", "min_passed"):
        assert f"`promotion.{key}: {getattr(gate, key)}`" in page
    plain, beside = (next(n for n in range(60) if enough(n, sure).passed) for sure in (None, gate.confidence))
    assert f"For 59 good parts that asks for {plain} and for {beside} that pass" in page
    count = fewest_of_each(gate.chance)
    assert f"{count} defective and {count} normal parts are the fewest" in page
    assert math.comb(2 * count, count) >= 1 / gate.chance > math.comb(2 * count - 2, count - 1)
    assert f"63 after 250 is {refusal_chance(63, 250):.0%}".replace("%", " %") in page
