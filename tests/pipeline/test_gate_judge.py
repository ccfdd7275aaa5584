"""The promotion gate against answers worked out by hand."""

import math

import pytest
from scipy.stats import beta, fisher_exact, mannwhitneyu

from zeromiss.errors import ZeromissError
from zeromiss.registry.criteria import false_positive_rate, good_parts
from zeromiss.registry.gate import judge, refusal_chance
from zeromiss.registry.hardest import Hardest, hardest_tag, read_hardest
from zeromiss.registry.release_criteria import Release
from zeromiss.registry.verdict import AuditVerdict
from zeromiss.registry.wear import error_parts
from zeromiss.registry.wording import below


def verdicts(defects, normals, threshold=0.5):
    """Return audit verdicts with these scores; None stands for a file that could not be judged."""
    named = [("defect", f"d{i}", score) for i, score in enumerate(defects)]
    named += [("normal", f"n{i}", score) for i, score in enumerate(normals)]
    return [
        AuditVerdict(path=path, label=label, score=score, threshold=threshold, error="" if score is not None else "truncated")
        for label, path, score in named
    ]


def ask(challenger, champion=None, **options):
    """Ask the gate, content with any ranking above the middle and with one good part that passes: few images are easier to follow."""
    defaults = {"confidence": 0.95, "min_audit_defects": 3, "chance": 0.5, "audit_uses": 10, "release": Release(min_passed=0.0)}
    return judge(challenger, champion, **defaults | options)


def judged_before(verdicts_of, *models):
    """Return that these models were judged on all these images."""
    return {verdict.path: frozenset(models) for verdict in verdicts_of}


def criterion(answer, name):
    return next(one for one in answer.criteria if one.name == name)


@pytest.mark.parametrize(("defects", "bound"), [(1, 0.95), (63, 0.0464), (299, 0.00997)])
def test_bounds_of_the_method_page(defects, bound):
    assert ask(verdicts([0.9] * defects, [0.1])).miss_rate_bound == pytest.approx(bound, rel=2e-3)


@pytest.mark.parametrize(("missed", "looks"), [(0, 1), (1, 1), (2, 3), (5, 1)])
def test_the_bound_is_clopper_pearsons_at_the_share_of_the_error(missed, looks):
    asked = verdicts([0.1] * missed + [0.9] * (50 - missed), [0.05])
    answer = ask(asked, seen=judged_before(asked, *"abcdefgh"[: looks - 1]))
    exact = beta.ppf(1 - 0.05 / {1: 1, 3: 24}[looks], missed + 1, 50 - missed)
    assert answer.miss_rate_bound == pytest.approx(exact, rel=1e-9)
    assert (answer.missed, answer.bound_missed, answer.bound_parts, answer.looks) == (missed, missed, 50, looks)


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
        "promoted: 0 of 3 audit defects missed, so with 95 % confidence the true miss rate is below 63.2 % "
        "(valid: nothing was tuned on these images)"
    )


def test_a_score_at_the_threshold_is_no_miss_and_one_just_below_is():
    assert ask(verdicts([0.5, 0.6, 0.7], [0.1])).promoted
    assert not ask(verdicts([math.nextafter(0.5, 0), 0.6, 0.7], [0.1])).promoted


def test_first_model_that_misses_is_refused_with_the_images():
    answer = ask(verdicts([0.4, 0.9, 0.2, 0.8], [0.1]))
    assert not answer.promoted
    assert answer.missed == 2
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
    ],
)
def test_at_level_1_false_alarms_must_not_exceed_the_champions(ours, theirs, passed):
    answer = ask(verdicts([0.9] * 3, ours), verdicts([0.9] * 3, theirs), release=Release(alarm_level=1.0, min_passed=0.0))
    assert answer.promoted is passed
    one = criterion(answer, "false_alarms")
    assert (one.value, one.limit) == (sum(s >= 0.5 for s in ours) / 2, sum(s >= 0.5 for s in theirs) / 2)


def test_images_of_new_false_alarms_are_those_the_champion_passed():
    answer = ask(verdicts([0.9] * 3, [0.6, 0.7, 0.1]), verdicts([0.9] * 3, [0.1, 0.8, 0.1]), release=Release(alarm_level=1.0, min_passed=0.0))
    assert [(one.path, one.why, one.score) for one in answer.images] == [("n0", "new false alarm", 0.6)]
    assert answer.statement == (
        "refused: 2 of 3 normal audit images raise a false alarm, the champion raises 1 on the same; 1 part is new among them and 0 gone "
        "(one-sided sign test: p = 0.5, refused up to 1)"
    )


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
    assert "1 of 4 audit images could not be judged" in answer.statement
    assert [(one.why, one.score) for one in answer.images] == [("not judged", None)]
    assert "1 of 4 audit images could not be judged" in answer.statement


def test_an_unjudged_defect_gives_no_bound_and_an_unjudged_normal_does():
    answer = ask(verdicts([None, 0.9, 0.9], [0.1]))
    assert answer.miss_rate_bound is None
    assert answer.audit_sentence.endswith("is missed, but 1 could not be judged, so that no bound on the true miss rate holds.")
    assert ask(verdicts([0.9, 0.9, 0.9], [None, 0.1])).miss_rate_bound == pytest.approx(1 - 0.05 ** (1 / 3))


def test_what_the_champion_could_not_judge_counts_as_its_false_alarm():
    answer = ask(verdicts([0.9] * 3, [0.6, 0.1]), verdicts([0.9] * 3, [None, 0.1]))
    assert answer.promoted
    assert answer.champion_false_positive_rate == 0.5


def test_without_normals_there_is_nothing_to_rank_above_to_pass_or_to_compare():
    answer = ask(verdicts([0.9] * 3, []), verdicts([0.9] * 3, []))
    assert [one.name for one in answer.criteria if not one.passed] == ["better_than_chance", "enough_normals_pass", "false_alarms"]
    assert "no normal images to compare with the champion on" in answer.statement
    assert "the audit set holds no normal images to pass" in answer.statement


HARDEST = Hardest(paths=("a.png", "b.png"), fpr=0.634, fpr_without=0.405)


def passing(parts, champion=None, *, min_passed=0.2, hardest=None):
    """Return the answer about a model that passes `parts` = (passing, all) good parts and misses nothing; the champion passes what it says."""
    ours, theirs = (None if one is None else verdicts([0.9] * 20, [0.1] * one[0] + [0.6] * (one[1] - one[0])) for one in (parts, champion))
    return ask(ours, theirs, release=Release(min_passed=min_passed, hardest=hardest))


def test_a_model_that_passes_no_normal_part_is_refused():
    answer = ask(verdicts([0.9] * 7, [0.5] * 7), chance=0.001)
    assert [one.name for one in answer.criteria if not one.passed] == ["enough_normals_pass"]
    assert answer.statement == (
        "refused: all 7 good parts in the audit set raise a false alarm, so the model saves nobody a look; "
        "zeromiss labels PRODUCT shows the defects to look at first"
    )
    assert answer.advice[0].startswith("look at the known defects with the lowest scores, which set the threshold")
    assert "take better pictures" in answer.advice[1] and answer.advice[2].startswith("add normal images")
    assert ask(verdicts([0.9] * 7, [0.5] * 5 + [0.4] * 2), chance=0.001).promoted  # 28.6 %


@pytest.mark.parametrize(("parts", "min_passed", "promoted"), [((1, 5), 0.2, True), ((1, 6), 0.2, False), ((1, 60), 0.0, True), ((0, 60), 0.0, False), ((9, 10), 0.95, False)])
def test_before_there_is_a_champion_the_plain_share_counts(parts, min_passed, promoted):
    answer = passing(parts, min_passed=min_passed)
    one = criterion(answer, "enough_normals_pass")
    assert (answer.promoted, one.passed, one.value, one.limit) == (promoted, promoted, parts[0] / parts[1], min_passed)


@pytest.mark.parametrize(("parts", "promoted"), [((18, 59), True), ((17, 59), False), ((2, 2), True), ((1, 1), False)])
def test_beside_a_champion_the_lower_bound_counts(parts, promoted):
    """Clopper and Pearson's lower bound, by the quantile of a beta distribution: 2 of 2 give 22.4 %, 1 of 1 5 %."""
    answer, one = passing(parts, parts), criterion(passing(parts, parts), "enough_normals_pass")
    assert one.value == pytest.approx(beta.ppf(0.05, parts[0], parts[1] - parts[0] + 1))
    assert answer.promoted is promoted is (one.value >= 0.2)


def test_a_refusal_says_how_many_pass_what_is_asked_and_which_defects_cost_the_alarms():
    assert passing((6, 59), hardest=HARDEST).statement == (
        "refused: 6 of 59 good parts in the audit set pass (10.2 %), promotion.min_passed asks for 20 %; the hardest known defects cost the "
        "alarms: without a.png, b.png the false-positive rate would be 40.5 % instead of 63.4 %; zeromiss labels PRODUCT shows the defects to look at first"
    )
    found = criterion(passing((14, 59), (14, 59)), "enough_normals_pass").sentence
    assert "14 of 59 good parts in the audit set pass (23.7 %; with 95 % confidence at least 15.0 %), promotion.min_passed" in found
    assert criterion(passing((30, 59)), "enough_normals_pass").sentence.endswith("pass (50.8 %), promotion.min_passed asks for 20 %")


def test_a_good_part_passes_when_all_of_its_images_do():
    rows = [("n0", "a", 0.1), ("n1", "a", 0.6), ("n2", "b", 0.1), ("n3", "b", 0.1), ("n4", "c", None), ("n5", "d", 0.1)]
    rows = [AuditVerdict(path=path, label="normal", score=score, threshold=0.5, part_id=part, error="" if score else "truncated") for path, part, score in rows]
    defect = AuditVerdict(path="d0", label="defect", score=0.9, threshold=0.5, part_id="d")  # n5 shows a part that has a defect elsewhere
    assert good_parts([*rows, defect]) == (1, 3)


@pytest.mark.parametrize(("left", "named"), [(8, 5), (5, 4), (1, 0)])
def test_a_versions_tag_names_the_hardest_defects(left, named):
    """Five of them, or as many as leave one: `fpr_without` of the last is null where none is left."""
    defects = [{"path": f"d{rank}.png", "fpr_without": 0.6 - 0.1 * rank if rank < left else None} for rank in range(1, left + 1)]
    found = read_hardest(hardest_tag({"composite": {"hardest": {"prices": {"0": {"fpr": 0.6}}, "defects": defects}}}))
    if not named:
        assert found is None
        return
    assert found.paths == tuple(f"d{rank}.png" for rank in range(1, named + 1))
    assert (found.fpr, found.fpr_without) == (0.6, pytest.approx(0.6 - 0.1 * named))


def test_scores_that_could_be_chance_are_refused():
    scores = [i / 40 for i in range(40)]  # no ties; every other one a defect, the lowest normal
    answer = ask(verdicts(scores[1::2], scores[::2], threshold=0.02), chance=0.001)
    assert [one.name for one in answer.criteria if not one.passed] == ["better_than_chance"]
    expected = mannwhitneyu(scores[1::2], scores[::2], alternative="greater").pvalue
    assert criterion(answer, "better_than_chance").value == pytest.approx(expected)
    assert answer.statement == (
        "refused: the scores do not rank audit defects above normal parts any better than chance does "
        f"(area under the curve 0.53, p = {expected:.2g}, allowed 0.001)"
    )
    assert answer.advice[0].startswith("look whether the labels are right")


@pytest.mark.parametrize(
    ("defects", "normals", "passed"),
    [(7, 7, True), (6, 7, True), (6, 6, False), (3, 18, True), (3, 17, True), (3, 16, False)],  # 1/C(14,7) = 1/3432, 1/C(13,6) = 1/1716, 1/924
)
def test_an_audit_set_too_small_to_tell_from_chance_says_how_many_are_needed(defects, normals, passed):
    answer = ask(verdicts([0.9] * defects, [0.1] * normals), chance=0.001)
    assert answer.promoted is passed
    if not passed:
        assert answer.statement == (
            f"refused: {defects} defects and {normals} normal parts in the audit set are too few to tell any model from chance "
            "(p at most 0.001): 7 of each are needed"
        )
        assert answer.advice == ("give the audit set more images: ingest more, or raise manifest.audit in params.yaml",)


def test_tied_scores_are_ranked_by_permutation():
    """Four of five defects and one of eleven normals at one score, all others at another: Fisher's exact test."""
    exact = fisher_exact([[4, 1], [1, 10]], alternative="greater").pvalue
    answer = ask(verdicts([0.9] * 4 + [0.4], [0.9] + [0.4] * 10, threshold=0.4))
    assert criterion(answer, "better_than_chance").value == pytest.approx(exact)
    approximate = mannwhitneyu([0.9] * 4 + [0.4], [0.9] + [0.4] * 10, alternative="greater", method="asymptotic").pvalue
    assert approximate < exact / 3  # which is why


def test_images_of_one_part_count_once():
    rows = [("d0", "defect", 0.9, "a"), ("d1", "defect", 0.8, "a"), ("d2", "defect", 0.7, "b"), ("d3", "defect", 0.9, "c")]
    rows += [("n0", "normal", 0.95, "a"), ("n1", "normal", 0.1, "e"), ("n2", "normal", 0.6, "e"), ("n3", "normal", 0.2, "f")]
    judged = [AuditVerdict(path=path, label=label, score=score, threshold=0.5, part_id=part) for path, label, score, part in rows]
    answer = ask(judged)
    assert (answer.n_defects, answer.n_defect_parts, answer.n_normals) == (4, 3, 4)
    assert answer.miss_rate_bound == pytest.approx(1 - 0.05 ** (1 / 3))
    assert criterion(answer, "better_than_chance").value == pytest.approx(1 / 10)  # a, b, c above e and f: 1 of C(5, 2)
    assert answer.false_positive_rate == 0.5  # n0 and n2: a person looks at every image
    assert answer.audit_sentence.startswith("None of the 4 defects (3 parts) in the locked audit set is missed")
    assert not ask(judged, min_audit_defects=4).promoted


def test_a_part_is_missed_when_one_of_its_images_is():
    judged = [AuditVerdict(path=f"d{i}", label="defect", score=0.9 if i else 0.1, threshold=0.5, part_id=str(i // 2)) for i in range(20)]
    answer = ask(judged)
    assert (answer.missed, answer.bound_missed, answer.bound_parts) == (1, 1, 10)
    assert answer.miss_rate_bound == pytest.approx(beta.ppf(0.95, 2, 9))


def test_arithmetic_of_the_threshold_is_told():
    answer = ask(verdicts([0.9] * 63, [0.1]), threshold_defects=250)
    assert answer.chance_of_refusal == pytest.approx(0.20128, abs=1e-5)
    assert any("a/(n + a) = 63/(250 + 63) = 20.1%" in note for note in answer.notes)
    refused = ask(verdicts([0.1] + [0.9] * 62, [0.1]), threshold_defects=250)
    assert any("a good model is refused with probability 20%" in text for text in refused.advice)


def test_no_chance_of_refusal_is_told_of_a_threshold_that_lies_elsewhere():
    answer = ask(verdicts([0.1] + [0.9] * 62, [0.05]), threshold_defects=None)
    assert answer.chance_of_refusal is None
    assert answer.notes == ()
    assert not any("a good model is refused" in text for text in answer.advice)


def test_the_errors_of_all_statements_from_the_second_on_sum_to_the_allowed_error():
    """Each look of a history takes its part of the error; there are 2^(k - 1) histories before look k."""
    assert [error_parts(look) for look in (1, 2, 3, 4)] == [1, 4, 24, 96]
    spent = [2 ** (look - 1) / error_parts(look) for look in range(2, 400)]
    assert sum(spent) == pytest.approx(1 - 1 / 399)


def test_every_model_judged_on_the_set_weakens_the_bound():
    asked = verdicts([0.9] * 50, [0.1])
    answer = ask(asked, seen=judged_before(asked, "a", "b"), openings=7)
    assert answer.miss_rate_bound == pytest.approx(1 - (0.05 / 24) ** (1 / 50))
    assert (answer.looks, answer.openings, answer.error_parts, answer.worn_out) == (3, 7, 24, False)
    assert answer.statement == (
        "promoted: 0 of 50 audit defects missed, so with 95 % confidence, corrected for 3 models, the true miss rate is below 11.7 % "
        "(valid: nothing was tuned on these images)"
    )
    assert answer.audit_sentence == (
        "None of the 50 defects in the locked audit set is missed: with 95 % confidence the true miss rate is below 11.7 %, "
        "corrected for the 3 different models judged on these so far."
    )


def test_after_enough_models_the_set_is_worn_out():
    asked = verdicts([0.9] * 50, [0.1])
    last = ask(asked, seen=judged_before(asked, "a", "b"), audit_uses=3)
    assert last.promoted
    answer = ask(asked, seen=judged_before(asked, "a", "b", "c"), audit_uses=3)
    assert (answer.promoted, answer.worn_out, answer.miss_rate_bound, answer.looks) == (False, True, None, 4)
    assert answer.statement == (
        "refused: the audit set is worn out: 4 different models were judged on it and promotion.audit_uses allows 3, "
        "so no valid bound can be stated"
    )
    assert answer.audit_sentence == (
        "None of the 50 defects in the locked audit set is missed, but the set is worn out: 4 different models were judged on it, "
        "so that no bound on the true miss rate holds."
    )
    assert answer.advice == (
        "ingest new defects, a share of which joins the audit set: with at least 3 there that fewer than 3 models "
        "were judged on, the gate states a bound from those again",
    )


def test_one_new_image_does_not_make_a_new_set_and_enough_new_ones_do():
    asked = verdicts([0.9] * 60, [0.1])
    used = judged_before(asked[:50], *"abc") | judged_before(asked[60:], *"abc")
    one_new = ask(asked[:51] + asked[60:], seen=used, audit_uses=3)
    assert (one_new.worn_out, one_new.looks) == (True, 4)
    ten_new = ask(asked, seen=used, audit_uses=3)
    assert (ten_new.promoted, ten_new.bound_parts, ten_new.error_parts, ten_new.looks) == (True, 10, 1, 4)
    assert ten_new.miss_rate_bound == pytest.approx(1 - 0.05 ** (1 / 10))
    assert ten_new.audit_sentence == (
        "None of the 60 defects in the locked audit set is missed: with 95 % confidence the true miss rate is below 25.9 %, "
        "counted on the 10 defects that were shown to the fewest models."
    )


def test_the_bound_counts_the_defects_that_make_it_lowest():
    asked = verdicts([0.9] * 60, [0.1])
    used = judged_before(asked[:50], "a")
    answer = ask(asked, seen=used)  # 60 at the second look: 7.0 %; 10 fresh ones: 25.9 %
    assert (answer.bound_parts, answer.error_parts) == (60, 4)
    assert answer.miss_rate_bound == pytest.approx(1 - 0.0125 ** (1 / 60))


def test_models_judged_on_different_halves_are_both_counted():
    asked = verdicts([0.9] * 20, [0.1])
    used = judged_before(asked[:10], "a") | judged_before(asked[10:20], "b")
    assert (ask(asked, seen=used).looks, ask(asked, seen=used).error_parts) == (3, 24)


def test_the_sentence_of_the_audit_set():
    answer = ask(verdicts([0.9] * 63, [0.1]))
    assert answer.audit_sentence == (
        "None of the 63 defects in the locked audit set is missed: with 95 % confidence the true miss rate is below 4.7 %."
    )
    missed = ask(verdicts([0.1] * 2 + [0.9] * 61, [0.05]))
    assert missed.audit_sentence == (
        "2 of the 63 defects in the locked audit set are missed: with 95 % confidence the true miss rate is below 9.7 %."
    )  # Clopper-Pearson: 9.667 %
    assert ask([]).audit_sentence == "The locked audit set holds no defects, so that nothing can be said of the true miss rate."
    assert ask(verdicts([0.1] * 3, [0.05])).audit_sentence.endswith("with 95 % confidence the true miss rate is not bounded.")


@pytest.mark.parametrize(
    ("bound", "text"),
    [(0.0464, "below 4.7 %"), (0.046, "below 4.6 %"), (0.6316, "below 63.2 %"), (0.00997, "below 1 %"), (0.00102, "below 0.11 %"), (0.000304, "below 0.031 %")],
)
def test_a_bound_is_rounded_up(bound, text):
    assert below(bound) == text


def test_every_type_of_defect_has_its_own_count_and_bound():
    rows = [("crack", 0.9)] * 10 + [("bridge", 0.9)] * 3 + [("bridge", 0.1)] + [("", 0.9)]
    judged = [
        AuditVerdict(path=f"d{i}", label="defect", score=score, threshold=0.5, defect_type=kind) for i, (kind, score) in enumerate(rows)
    ]
    bridge, crack = ask([*judged, *verdicts([], [0.05])]).audit_types
    assert (bridge.defect_type, bridge.n_defects, bridge.missed) == ("bridge", 4, 1)
    assert bridge.miss_rate_bound == pytest.approx(beta.ppf(0.95, 2, 3))
    assert (crack.defect_type, crack.n_defects, crack.missed) == ("crack", 10, 0)
    assert crack.miss_rate_bound == pytest.approx(1 - 0.05 ** (1 / 10))


def test_a_type_whose_defects_bear_no_bound_has_none():
    old = [AuditVerdict(path=f"o{i}", label="defect", score=0.9, threshold=0.5, defect_type="old") for i in range(5)]
    new = [AuditVerdict(path=f"f{i}", label="defect", score=0.9, threshold=0.5, defect_type="fresh") for i in range(5)]
    answer = ask([*old, *new, *verdicts([], [0.1])], seen=judged_before(old, *"abc"), audit_uses=3)
    assert [(one.defect_type, one.miss_rate_bound is None) for one in answer.audit_types] == [("fresh", False), ("old", True)]


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


@pytest.mark.parametrize("options", [{"confidence": 0.0}, {"confidence": 1.0}, {"chance": 0.0}, {"chance": 1.0}])
def test_parameters_out_of_range_are_refused(options):
    with pytest.raises(ZeromissError, match="must lie between 0 and 1"):
        ask(verdicts([0.9] * 3, []), **options)


@pytest.mark.parametrize(("score", "error"), [(None, ""), (0.5, "truncated")])
def test_a_verdict_has_a_score_or_an_error(score, error):
    with pytest.raises(ZeromissError, match="either a score or an error"):
        AuditVerdict(path="a", label="normal", score=score, threshold=0.5, error=error)


def test_an_unknown_label_is_refused():
    with pytest.raises(ZeromissError, match="label 'good' is not normal or defect"):
        AuditVerdict(path="a", label="good", score=0.1, threshold=0.5)


def test_record_is_plain_json():
    import json

    answer = ask(verdicts([0.4, 0.9, 0.9], [0.1]), verdicts([0.9] * 3, [0.1]), threshold_defects=20)
    text = json.dumps(answer.to_json(), allow_nan=False)
    assert json.loads(text)["images"][0] == {
        "path": "d0", "why": "missed defect", "score": 0.4, "threshold": 0.5, "defect_type": ""
    }  # fmt: skip
