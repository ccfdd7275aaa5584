"""The end of a run, to the letter."""

import pytest

from tests.report_parts import FAMILIES, GATE, HARDEST, HONEST, SHORTCUTS, SIZES, STATEMENT, SUMMARY
from zeromiss.reports.families import best_figures, family_rows, percent
from zeromiss.reports.terminal import WIDTH, families_table, render

TABLE = """\
                Accuracy (%)     Precision (%)        FPR (%)           FNR (%)
Classifier         STD     ZFN       STD     ZFN       STD     ZFN       STD     ZFN
------------------------------------------------------------------------------------
* ET             91.67   83.33       100   66.67         0      25        25       0
  NB             66.67   33.33         0   33.33         0     100       100       0
  LR                60   33.33        60   33.33        25     100        25       0
  QDA         failed: the covariance is not full rank
* the winner: highest accuracy under zero false negatives (ZFN); STD is at the threshold 0.5"""
REFUSED = {
    "model": "zeromiss-toy version 3",
    "promoted": False,
    "statement": "1 of 9 audit defects was missed.",
    "images": [
        {"path": "images/x.png", "why": "missed defect", "score": 0.12, "threshold": 0.1711, "defect_type": ""},
        {"path": "images/y.png", "why": "not judged", "score": None, "threshold": 0.1711, "defect_type": ""},
    ],
    "advice": ["look at the image named above"],
}
INSPECTED = {"images": 40, "abnormal": 12, "normal": 27, "errors": 1, "model": "zeromiss-toy version 3 (challenger)", "folder": "out"}


def text(**changes):
    """The whole text with some arguments changed."""
    arguments = {
        "summary": SUMMARY,
        "families": FAMILIES,
        "statement": STATEMENT,
        "shortcuts": None,
        "promotion": REFUSED,
        "inspected": INSPECTED,
        "report": "data/08_report/toy.html",
        "tracking": "mlflow ui",
    }
    return render(**(arguments | changes))


def test_the_table_of_families_exactly():
    assert families_table(FAMILIES) == TABLE


def test_the_whole_text_exactly():
    bar = "=" * 100
    assert text() == (
        f"{bar}\n"
        "toy: the network learned from 40 normal images; the table below rests on 8 normal and 4 defect\n"
        "images.\n"
        "\n"
        f"{TABLE}\n"
        "\n"
        "Image AUROC: composite score 0.9688; vqgan alone 0.9000, its FPR with no miss 75 %.\n"
        "\n"
        "Threshold: 0.1711 (rule zfn, from 4 defects, 120 candidates compared). Bounds, descriptive, by 4\n"
        "defective parts: miss rate 52.71 % at 95 % confidence; next defect missed with probability 20 %.\n"
        "None of the 4 known defects scores below 0.1711; this describes these 4 and promises nothing of\n"
        "others.\n"
        "\n"
        "Good parts passed when 0, 2, 5 % of the defects are missed (nested cross-validation, mean of 2\n"
        "  repeats): PG0 50 % (0 to 62.5), PG2 50 % (0 to 62.5), PG5 75 % (25 to 87.5).\n"
        "Image AUROC over all pairs -> over pairs alike by their trivial properties: composite score 0.9375\n"
        "  -> 0.8750 (0.6250 to 1.0000); vqgan 0.9000 -> no such pair; trivial properties alone 0.9063 ->\n"
        "  0.5625 (0.2500 to 0.7500).\n"
        "Defects of a type that the selection never saw: scratch, 4 of 5 found (28.36 to 99.49 %).\n"
        "Detection by size, zero missed: All 4 marked defects are found, however small.\n"
        "Detection by size, 5 % false alarms: a50 6.2 px, a90 9.5 px, a90/95 14.8 px.\n"
        "\n"
        "False alarms if the k hardest of 4 defects were not there (nested cross-validation, mean of 2\n"
        "repeats):\n"
        "  k                0       1       2       3\n"
        "  FPR (%)         50      25    12.5       0\n"
        "  SD           17.68       0       0       0\n"
        "See whether their labels are right: zeromiss labels toy\n"
        "\n"
        "Promotion: zeromiss-toy version 3 was refused and stays challenger. 1 of 9 audit defects was missed.\n"
        "  missed defect: images/x.png (score 0.12, threshold 0.1711)\n"
        "  not judged: images/y.png (no score)\n"
        "  - look at the image named above\n"
        "\n"
        "Inspection: zeromiss-toy version 3 (challenger) judged 40 new images: 12 abnormal, 27 normal, 1 that\n"
        "could not be judged.\n"
        "  out\n"
        "\n"
        "Report:  data/08_report/toy.html\n"
        "Tracking page:  mlflow ui\n"
        f"{bar}\n"
    )


def test_no_line_is_wider_than_100_columns():
    long = "a reason of many words that goes on and on " * 8
    families = {**FAMILIES, "families": {**FAMILIES["families"], "qda": {"error": long, "std": None, "zfn": None}}}
    found = text(families=families, statement=long, promotion=REFUSED | {"statement": long, "advice": [long]})
    assert max(len(line) for line in found.splitlines()) == WIDTH


def test_a_promotion():
    promoted = {"model": "zeromiss-toy version 4", "promoted": True, "statement": "No audit defect was missed."}
    found = text(promotion=promoted)
    assert "Promotion: zeromiss-toy version 4 is champion now. No audit defect was missed.\n" in found


def test_the_audit_set_has_the_word_where_its_sentence_is_there():
    assert f"zeromiss-toy version 3 is champion now. {GATE['audit_sentence']}" in " ".join(text(promotion=GATE).split())
    refused = " ".join(text(promotion=REFUSED | {"audit_sentence": "1 of the 9 defects in the locked audit set is missed."}).split())
    assert "1 of 9 audit defects was missed. 1 of the 9 defects in the locked audit set is missed." in refused


def test_the_honest_protocol_in_one_sentence():
    summary = SUMMARY | {"composite": SUMMARY["composite"] | {"honest": HONEST}}
    assert (
        "Honest protocol, 2 x 5 outer folds: FNR 12.5 % (0 to 50), FPR 37.5 % (10 to 70); 1 of 8 defects missed."
        in " ".join(text(summary=summary).split())
    )
    assert "Honest" not in text(summary=SUMMARY | {"composite": SUMMARY["composite"] | {"honest": None}})


def test_the_price_says_where_it_has_no_outer_folds_to_rest_on():
    one = HARDEST | {"protocol": "leave-one-out", "repeats": 1, "prices": {"0": {"fpr": 0.5, "std": None}}}
    found = text(summary=SUMMARY | {"composite": SUMMARY["composite"] | {"hardest": one}})
    assert "(leave-one-out scores of the classifier in use, which was chosen on them: there are no outer folds):" in " ".join(found.split())
    assert "  FPR (%)         50\nSee whether" in found


def test_what_no_curve_says_is_told_in_a_sentence():
    nothing = {"types": [], "skipped": [], "sentence": "the defects are of one type, crack: no type can be left out"}
    flat = SIZES["5 % false alarms"] | {"a90_95": None, "sentence": "the data bound a90 by no size"}
    changed = {"matched": None, "unseen_types": nothing, "by_size": {"n_defects": 4, "curves": {"zero missed": flat}}}
    summary = SUMMARY | {"composite": SUMMARY["composite"] | changed, "detectors": {}, "properties": None}
    found = " ".join(text(summary=summary).split())
    assert "Unseen defect types: The defects are of one type, crack: no type can be left out." in found
    assert "Detection by size, zero missed: a50 6.2 px, a90 9.5 px, no a90/95, since the data bound a90 by no size." in found
    assert "trivial properties" not in found
    unmarked = SUMMARY | {"composite": SUMMARY["composite"] | {"by_size": None}}
    assert "Detection by size" not in text(summary=unmarked)


def test_a_shortcut_is_a_warning_and_none_is_silence():
    assert "WARNING, shortcut: Brightness alone tells defects from normal images" in text(shortcuts=SHORTCUTS)
    assert "shortcut" not in text(shortcuts=SHORTCUTS | {"findings": []})


def test_without_a_page_none_is_named():
    assert "Report:" not in text(report=None)


def test_many_deciding_images_are_counted():
    found = text(promotion=REFUSED | {"images": REFUSED["images"] * 10})
    assert found.count("missed defect: ") == 4
    assert "  and 12 more\n" in found


def test_what_was_not_done_is_not_told():
    found = text(promotion=None, inspected=None)
    assert "Promotion" not in found
    assert "Inspection" not in found


@pytest.mark.parametrize(
    ("fraction", "written"), [(0.8793, "87.93"), (1.0, "100"), (0.0, "0"), (0.069, "6.9"), (0.5, "50"), (2 / 3, "66.67")]
)
def test_per_cent_as_the_paper_writes_it(fraction, written):
    assert percent(fraction) == written


def test_rows_are_sorted_by_zfn_accuracy_then_std_and_failures_come_last():
    rows = family_rows(FAMILIES)
    assert [row.family for row in rows] == ["et", "nb", "lr", "qda"]
    assert [row.winner for row in rows] == [True, False, False, False]


def test_the_best_of_each_column():
    best = best_figures(family_rows(FAMILIES))
    assert best["accuracy", "std"] == pytest.approx(11 / 12)
    assert best["precision", "zfn"] == pytest.approx(4 / 6)
    assert best["fpr", "zfn"] == pytest.approx(0.25)
    assert best["fnr", "std"] == pytest.approx(0.25)
