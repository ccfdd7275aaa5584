"""The gate's conditions on false alarms, latency, source, report and past, against figures worked out by hand."""

import pytest

from zeromiss.inspection.shadow import ShadowCount
from zeromiss.registry.criteria import no_more_alarms, paired_alarms
from zeromiss.registry.gate import judge
from zeromiss.registry.release_criteria import Release, clean, fast_enough, not_withdrawn, reported
from zeromiss.registry.verdict import AuditVerdict


def normals(*scores, parts=None):
    return [
        AuditVerdict(path=f"n{i}", label="normal", score=score, threshold=0.5, part_id="" if parts is None else parts[i])
        for i, score in enumerate(scores)
    ]  # fmt: skip


def timed(*seconds):
    return [AuditVerdict(path=f"n{i}", label="normal", score=0.1, threshold=0.5, seconds=one) for i, one in enumerate(seconds)]


@pytest.mark.parametrize(
    ("more", "fewer", "p"),
    [(4, 0, 1 / 16), (5, 0, 1 / 32), (6, 1, 8 / 128), (7, 1, 9 / 256), (0, 3, 1.0), (0, 0, 1.0), (1, 1, 3 / 4)],
)  # fmt: skip
def test_the_sign_test_counts_binomial_tails(more, fewer, p):
    ours = normals(*[0.9] * more, *[0.1] * fewer, 0.9, 0.1)
    theirs = normals(*[0.1] * more, *[0.9] * fewer, 0.9, 0.1)
    assert paired_alarms(ours, theirs) == (pytest.approx(p), more, fewer)
    assert no_more_alarms(ours, theirs, 0.05).passed is (p > 0.05)


def test_a_lower_rate_passes_whatever_the_test_says_and_level_1_refuses_any_more():
    assert no_more_alarms(normals(0.1, 0.1), normals(0.9, 0.9), 1.0).passed
    assert not no_more_alarms(normals(0.9, 0.1), normals(0.1, 0.1), 1.0).passed


def test_images_of_one_part_are_one_pair():
    ours, theirs = normals(*[0.9] * 6, parts=["a"] * 3 + ["b"] * 3), normals(*[0.1] * 6, parts=["a"] * 3 + ["b"] * 3)
    assert paired_alarms(ours, theirs) == (0.25, 2, 0)
    assert no_more_alarms(ours, theirs, 0.05).passed  # six images, and two parts say nothing


def test_more_alarms_beyond_chance_refuse_with_direction_and_level():
    one = no_more_alarms(normals(*[0.9] * 5, 0.1), normals(*[0.1] * 6), 0.05)
    assert (one.passed, one.value, one.limit) == (False, 5 / 6, 0.0)
    assert one.sentence.endswith("5 parts are new among them and 0 gone (one-sided sign test: p = 0.031, refused up to 0.05)")


@pytest.mark.parametrize(("limit", "passed"), [(None, True), (20.0, True), (19.0, False)])
def test_latency_is_the_time_of_95_percent_without_the_first(limit, passed):
    one = fast_enough(limit, timed(9.0, *[i / 1000 for i in range(1, 21)]), timed(1.0, 0.002, 0.004))
    assert (one.value, one.passed) == (pytest.approx(20.0), passed)  # the 19.05th of 20, rounded up
    assert "95 % of 20 audit images are judged within 20.0 ms (median 10.5 ms, the champion's median 3.0 ms)" in one.sentence


def test_a_limit_that_nothing_was_measured_against_is_not_kept():
    assert not fast_enough(10.0, normals(0.1), None).passed
    assert fast_enough(None, normals(0.1), None).passed


COMMITTED = {"commit": "a" * 40, "dirty": False, "complete": True, "data": "b" * 32}


@pytest.mark.parametrize(
    ("facts", "any_", "stored", "committed"),
    [
        (COMMITTED, True, True, True),
        (COMMITTED | {"dirty": True}, True, True, False),
        (COMMITTED | {"data": None, "complete": False, "missing": "the raw images have no version"}, True, False, False),
        (COMMITTED | {"complete": None, "dirty": None}, True, False, False),
        (COMMITTED | {"commit": None}, True, True, False),
    ],
)  # fmt: skip
def test_clean_is_as_strict_as_it_is_asked_to_be(facts, any_, stored, committed):
    assert [clean(Release(clean=rule, **facts)).passed for rule in ("any", "stored", "committed")] == [any_, stored, committed]


def test_clean_names_what_is_not():
    one = clean(Release(clean="committed", **COMMITTED | {"dirty": True, "complete": False, "missing": "x.bin is not in git"}))
    assert one.sentence == (
        "code and data are not clean: the tree had changes that were not committed; x.bin is not in git (promotion.clean: committed)"
    )
    assert one.value == 2.0
    assert clean(Release(**COMMITTED)).sentence == f"code and data are those of commit {'a' * 12} and data version {'b' * 12}"


@pytest.mark.parametrize(("needed", "there", "passed"), [(True, True, True), (True, False, False), (False, False, True)])
def test_a_report_is_there_where_it_is_needed(needed, there, passed):
    assert reported(Release(report_needed=needed, report=there)).passed is passed


def test_what_was_taken_out_of_service_stays_out():
    assert not_withdrawn(Release()).passed
    assert "by Ann: dim" in not_withdrawn(Release(withdrawn="by Ann: dim")).sentence
    assert not not_withdrawn(Release(withdrawn="by Ann: dim")).passed


def test_the_verdict_holds_every_condition_with_value_limit_and_reason_and_the_shadow():
    defects = [AuditVerdict(path=f"d{i}", label="defect", score=0.9, threshold=0.5, seconds=0.03) for i in range(3)]
    shadow = ShadowCount(champion="1", challenger="2", images=40, to_abnormal=3, to_normal=1, errors=2)
    release = Release(latency_ms=10.0, clean="stored", report_needed=True, withdrawn="by Ann: dim", shadow=shadow)
    answer = judge(defects + normals(0.1), None, confidence=0.95, min_audit_defects=3, chance=0.5, audit_uses=10, release=release)
    assert [one.name for one in answer.criteria if not one.passed] == ["latency", "clean", "report", "not_withdrawn"]
    assert [one.name for one in answer.criteria] == [
        "every_image_judged", "enough_audit_defects", "audit_not_worn", "no_missed_defect", "better_than_chance", "enough_normals_pass",
        "false_alarms", "latency", "clean", "report", "not_withdrawn",
    ]  # fmt: skip
    assert all(one.sentence for one in answer.criteria)
    assert len(answer.advice) == 4
    assert answer.to_json()["shadow"] == {"champion": "1", "challenger": "2", "images": 40, "to_abnormal": 3, "to_normal": 1, "errors": 2}
    assert answer.notes[-1] == (
        "in the shadow of version 1, version 2 judged 40 live images: 3 that the champion calls normal are abnormal to it, 1 that the "
        "champion calls abnormal are normal to it; 2 could not be judged by the challenger"
    )
