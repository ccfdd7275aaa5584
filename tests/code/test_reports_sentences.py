"""Sentences of the report, to the letter."""

import pytest

from zeromiss.lines import rounded_up
from zeromiss.reports.facts import InUse
from zeromiss.reports.sentences import cost, descriptive, honest, opened, when
from zeromiss.reports.words import interval, whole

SAME = {"mean": 0.25, "low": 0.2, "high": 0.3}


def test_the_tables_defects_are_counted_by_image_and_part():
    assert descriptive({"n_defects": 250, "n_defect_parts": 250}) == (
        "Leave-one-out over 250 defects, on which the classifier was also chosen, is descriptive only."
    )
    assert "over 250 images of 120 defective parts, on" in descriptive({"n_defects": 250, "n_defect_parts": 120})


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"openings": 1, "looks": 1}, "The locked audit set had been opened once, this one included, and one model has been judged on it."),
        ({"openings": 4, "looks": 3}, "The locked audit set had been opened 4 times, this one included, and 3 models have been judged on it."),
        ({"openings": 1}, "How often the locked audit set had been opened was not recorded with this decision."),
    ],
)
def test_openings_are_counted(record, told):
    assert opened(record) == told


def test_a_worn_out_audit_set_is_told():
    assert opened({"openings": 9, "looks": 9, "worn_out": True}).endswith("It is worn out: ingest new defects, of which the audit set takes its share.")


def test_the_honest_protocol_against_the_papers():
    figures = {"repeats": 1, "folds": 5, "missed": 2, "defects": 100, "fnr": {"mean": 0.02, "low": 0.0, "high": 0.1}, "fpr": SAME}
    first, second = honest(figures, InUse(missed=0, accuracy=0.9, precision=0.9, fpr=0.25, fnr=0.0))
    assert first.startswith("In 5 outer folds (once 5) ") and first.endswith("2 of 100 defects judged were missed.")
    assert second == "Against the paper's protocol on the same images that is: FNR 2 percentage points higher, FPR the same."
    assert "FPR 5 percentage points lower" in honest(figures, InUse(missed=0, accuracy=0.9, precision=0.9, fpr=0.3, fnr=0.0))[1]


def test_the_papers_own_figures():
    """Paper 1, section 4.3.1: 24.14 % false alarms make 1.9 s of 8 s and divide misjudgements by about 4."""
    assert cost(0.2414, 8.0) == ("8 s to 1.93 s", "4.14")
    assert cost(0.0, 8.0) == ("8 s to 0.00 s", "no false alarm was seen")


@pytest.mark.parametrize(("bound", "told"), [(0.04621, "4.7"), (0.046, "4.6"), (0.0461, "4.7"), (0.0001, "0.01"), (1.0, "100")])
def test_an_upper_bound_is_never_rounded_down(bound, told):
    assert rounded_up(bound) == told


def test_small_words():
    assert interval({"mean": 0.1234, "low": 0.0, "high": 0.5}) == "12.34 % (0 to 50)"
    assert [whole(text) for text in ("nothing found", "All is well.")] == ["Nothing found.", "All is well."]
    assert when("2026-11-22T09:24:41+01:00") == "2026-11-22 08:24 UTC"
