"""The promotion gate against answers worked out by hand."""

import math

import pytest
from scipy.stats import beta

from zeromiss.errors import ZeromissError
from zeromiss.registry.gate import false_positive_rate, judge, miss_rate_bound, refusal_chance
from zeromiss.registry.verdict import AuditVerdict


def verdicts(defects, normals, threshold=0.5):
    """Return audit verdicts with these scores; None stands for a file that could not be judged."""
    named = [("defect", f"d{i}", score) for i, score in enumerate(defects)]
    named += [("normal", f"n{i}", score) for i, score in enumerate(normals)]
    return [
        AuditVerdict(path=path, label=label, score=score, threshold=threshold, error="" if score is not None else "truncated")
        for label, path, score in named
    ]


def ask(challenger, champion=None, **options):
    return judge(challenger, champion, **{"confidence": 0.95, "min_audit_defects": 3} | options)


def criterion(answer, name):
    return next(one for one in answer.criteria if one.name == name)


@pytest.mark.parametrize(("defects", "bound"), [(1, 0.95), (63, 0.0464), (299, 0.00997), (2995, 0.0009997)])
def test_bounds_of_the_method_page(defects, bound):
    assert miss_rate_bound(defects, confidence=0.95) == pytest.approx(bound, rel=2e-3)


@pytest.mark.parametrize("defects", [1, 5, 63, 250])
@pytest.mark.parametrize("looks", [1, 4])
def test_bound_is_clopper_pearson_for_none_of_n(defects, looks):
    exact = beta.ppf(1 - 0.05 / looks, 1, defects)
    assert miss_rate_bound(defects, confidence=0.95, looks=looks) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(("audit", "known", "chance"), [(63, 250, 63 / 313), (1, 1, 0.5), (1, 9, 0.1), (10, 10, 0.5)])
def test_chance_of_refusing_a_good_model(audit, known, chance):
    assert refusal_chance(audit, known) == pytest.approx(chance)


def test_chance_of_refusal_agrees_with_drawing():
    import numpy as np

    scores = np.random.default_rng(0).random((20000, 15))
    refused = (scores[:, 10:].min(axis=1) < scores[:, :10].min(axis=1)).mean()
    assert refused == pytest.approx(refusal_chance(5, 10), abs=0.01)


@pytest.mark.parametrize(
    ("scores", "rate"), [([], None), ([0.1], 0.0), ([0.5], 1.0), ([0.1, 0.5, 0.49, 0.9], 0.5), ([None, 0.1], 0.5)]
)
def test_false_positive_rate_counts_what_was_not_passed_as_good(scores, rate):
    assert false_positive_rate(verdicts([], scores)) == rate


def test_first_model_that_misses_nothing_is_promoted():
    answer = ask(verdicts([0.5, 0.7, 0.9], [0.1, 0.6]))
    assert answer.promoted
    assert (answer.n_defects, answer.n_normals, answer.missed) == (3, 2, 0)
    assert answer.false_positive_rate == 0.5
    assert answer.champion_false_positive_rate is None
    assert answer.miss_rate_bound == pytest.approx(1 - 0.05 ** (1 / 3))
    assert answer.images == ()
    assert answer.advice == ()
    assert answer.statement == (
        "promoted: 0 of 3 audit defects missed, so with 95% confidence the true miss rate lies below 63.2% "
        "(valid: nothing was tuned on these images)"
    )


def test_a_score_at_the_threshold_is_no_miss_and_one_just_below_is():
    assert ask(verdicts([0.5, 0.6, 0.7], [])).promoted
    assert not ask(verdicts([math.nextafter(0.5, 0), 0.6, 0.7], [])).promoted


def test_first_model_that_misses_is_refused_with_the_images():
    answer = ask(verdicts([0.4, 0.9, 0.2, 0.8], [0.1]))
    assert not answer.promoted
    assert answer.missed == 2
    assert answer.miss_rate_bound is None
    assert [(one.path, one.score, one.threshold, one.why) for one in answer.images] == [
        ("d2", 0.2, 0.5, "missed defect"),
        ("d0", 0.4, 0.5, "missed defect"),
    ]
    assert answer.statement == "refused: 2 of 4 audit defects missed"
    assert any("threshold.rule: margin" in text for text in answer.advice)
    assert any("retrain with more defects" in text for text in answer.advice)


@pytest.mark.parametrize(("found", "needed", "passed"), [(3, 3, True), (2, 3, False), (0, 1, False), (1, 1, True)])
def test_enough_audit_defects(found, needed, passed):
    answer = ask(verdicts([0.9] * found, [0.1]), min_audit_defects=needed)
    assert answer.promoted is passed
    one = criterion(answer, "enough_audit_defects")
    assert (one.value, one.limit, one.passed) == (float(found), float(needed), passed)


def test_without_an_audit_set_there_is_nothing_to_judge_on():
    answer = ask([])
    assert not answer.promoted
    assert "the audit set holds no defects, so there is nothing to judge on; at least 3 are needed" in answer.statement
    assert answer.miss_rate_bound is None
    assert answer.chance_of_refusal is None
    assert answer.advice == ("give the audit set more defects: ingest more, or raise manifest.audit in params.yaml",)


@pytest.mark.parametrize(
    ("ours", "theirs", "passed"),
    [
        ([0.1, 0.1], [0.1, 0.1], True),
        ([0.6, 0.1], [0.1, 0.6], True),  # equally many, on other images
        ([0.1, 0.1], [0.6, 0.6], True),
        ([0.6, 0.1], [0.1, 0.1], False),
        ([0.6, 0.6], [0.6, 0.1], False),
    ],
)
def test_false_alarms_must_not_exceed_the_champions(ours, theirs, passed):
    answer = ask(verdicts([0.9] * 3, ours), verdicts([0.9] * 3, theirs))
    assert answer.promoted is passed
    one = criterion(answer, "false_alarms")
    assert (one.value, one.limit) == (sum(s >= 0.5 for s in ours) / 2, sum(s >= 0.5 for s in theirs) / 2)


def test_images_of_new_false_alarms_are_those_the_champion_passed():
    answer = ask(verdicts([0.9] * 3, [0.6, 0.7, 0.1]), verdicts([0.9] * 3, [0.1, 0.8, 0.1]))
    assert [(one.path, one.why, one.score) for one in answer.images] == [("n0", "new false alarm", 0.6)]
    assert answer.statement == "refused: 2 of 3 normal audit images raise a false alarm, the champion raises 1 on the same"


def test_each_model_is_held_to_its_own_threshold():
    ours = verdicts([0.3, 0.4, 0.5], [0.1, 0.2], threshold=0.3)
    theirs = verdicts([0.9, 0.9, 0.9], [0.1, 0.2], threshold=0.2)
    answer = ask(ours, theirs)
    assert answer.promoted
    assert (answer.false_positive_rate, answer.champion_false_positive_rate) == (0.0, 0.5)


def test_a_better_false_alarm_rate_never_buys_a_miss():
    answer = ask(verdicts([0.4, 0.9, 0.9], [0.1]), verdicts([0.9] * 3, [0.9]))
    assert not answer.promoted
    assert criterion(answer, "false_alarms").passed


def test_a_champion_that_misses_is_named():
    answer = ask(verdicts([0.9] * 3, [0.1]), verdicts([0.1, 0.1, 0.9], [0.1]))
    assert answer.promoted
    assert "the present champion misses 2 of these audit defects: consider taking it out of service" in answer.notes


@pytest.mark.parametrize("scores", [([None, 0.9, 0.9], [0.1]), ([0.9, 0.9, 0.9], [None])])
def test_an_image_that_could_not_be_judged_refuses_the_model(scores):
    answer = ask(verdicts(*scores))
    assert not answer.promoted
    assert answer.missed == 0
    assert [(one.why, one.score) for one in answer.images] == [("not judged", None)]
    assert "1 of 4 audit images could not be judged" in answer.statement


def test_an_unjudged_defect_gives_no_bound_and_an_unjudged_normal_does():
    assert ask(verdicts([None, 0.9, 0.9], [])).miss_rate_bound is None
    assert ask(verdicts([0.9, 0.9, 0.9], [None])).miss_rate_bound == pytest.approx(1 - 0.05 ** (1 / 3))


def test_what_the_champion_could_not_judge_counts_as_its_false_alarm():
    answer = ask(verdicts([0.9] * 3, [0.9]), verdicts([0.9] * 3, [None]))
    assert answer.promoted
    assert answer.champion_false_positive_rate == 1.0


def test_without_normals_a_champion_cannot_be_compared():
    assert ask(verdicts([0.9] * 3, [])).promoted
    answer = ask(verdicts([0.9] * 3, []), verdicts([0.9] * 3, []))
    assert not answer.promoted
    assert "no normal images to compare with the champion on" in answer.statement


def test_arithmetic_of_the_threshold_is_told():
    answer = ask(verdicts([0.9] * 63, [0.1]), threshold_defects=250)
    assert answer.chance_of_refusal == pytest.approx(0.20128, abs=1e-5)
    assert any("a/(n + a) = 63/(250 + 63) = 20.1%" in note for note in answer.notes)
    refused = ask(verdicts([0.1] + [0.9] * 62, [0.1]), threshold_defects=250)
    assert any("a good model is refused with probability 20%" in text for text in refused.advice)


def test_every_model_judged_on_the_set_costs_a_share_of_the_error():
    answer = ask(verdicts([0.9] * 50, [0.1]), looks=5)
    assert answer.miss_rate_bound == pytest.approx(1 - 0.01 ** (1 / 50))
    assert "with 95% confidence shared among 5 models the true miss rate lies below 8.8%" in answer.statement


@pytest.mark.parametrize(
    ("champion", "text"),
    [
        (verdicts([0.9] * 2, [0.1]), "judged other images"),
        (verdicts([0.9] * 3, []), "judged other images"),
        (verdicts([0.9] * 4, [0.1]), "judged other images"),
    ],
)
def test_other_images_are_refused(champion, text):
    with pytest.raises(ZeromissError, match=text):
        ask(verdicts([0.9] * 3, [0.1]), champion)


def test_an_image_twice_is_refused():
    twice = verdicts([0.9] * 3, [0.1])
    with pytest.raises(ZeromissError, match="d0 is in the audit set twice"):
        ask([*twice, twice[0]])


@pytest.mark.parametrize("options", [{"confidence": 0.0}, {"confidence": 1.0}, {"looks": 0}])
def test_parameters_out_of_range_are_refused(options):
    with pytest.raises(ZeromissError, match="must lie between 0 and 1|at least 1"):
        ask(verdicts([0.9] * 3, []), **options)


@pytest.mark.parametrize(("score", "error"), [(None, ""), (0.5, "truncated")])
def test_a_verdict_has_a_score_or_an_error(score, error):
    with pytest.raises(ZeromissError, match="either a score or an error"):
        AuditVerdict(path="a", label="normal", score=score, threshold=0.5, error=error)


def test_an_unknown_label_is_refused():
    with pytest.raises(ZeromissError, match="label 'good' is not normal or defect"):
        AuditVerdict(path="a", label="good", score=0.1, threshold=0.5)


def test_shuffled_labels_are_refused():
    """A scorer that knows nothing of the label puts defects below a threshold that other defects set."""
    import numpy as np

    random = np.random.default_rng(0)
    scores, labels = random.random(200), random.permutation([1] * 100 + [0] * 100)
    threshold = scores[:150][labels[:150] == 1].min() + 0.2
    held = [(s, label) for s, label in zip(scores[150:], labels[150:], strict=True)]
    answer = ask(verdicts([s for s, label in held if label], [s for s, label in held if not label], threshold))
    assert not answer.promoted


def test_record_is_plain_json():
    import json

    answer = ask(verdicts([0.4, 0.9, 0.9], [0.1]), verdicts([0.9] * 3, [0.1]), threshold_defects=20)
    text = json.dumps(answer.to_json(), allow_nan=False)
    assert json.loads(text)["images"][0] == {
        "path": "d0", "why": "missed defect", "score": 0.4, "threshold": 0.5, "defect_type": ""
    }  # fmt: skip
