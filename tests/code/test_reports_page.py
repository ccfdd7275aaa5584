"""The page says what the numbers are and shows them as computed, with nothing fetched from anywhere."""

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest

from tests.report_parts import GATE, SHORTCUT, STANDING, STATEMENT, SUMMARY, old_facts, report_facts
from tests.systems_parts import content_of
from tests.workspace_parts import NO_LABELS
from zeromiss.errors import ZeromissError
from zeromiss.inspection.summary import check_summary
from zeromiss.registry.attach import Standing
from zeromiss.reports.facts import FILE, read_facts, write_facts
from zeromiss.reports.page import flat, render_page, write_page
from zeromiss.reports.systems_words import ranged
from zeromiss.reports.pictures import embed

VOID = {"meta", "img", "br", "hr", "link", "input"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder that the pictures lie in."""
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def facts(folder):
    """The facts of a page with figures drawn once."""
    return report_facts(folder)


@pytest.fixture(scope="module")
def page(facts, folder):
    """The page."""
    return render_page(facts, folder, STANDING)


def words(page):
    """The page's text without pictures and markup."""
    return " ".join(unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL)).split())


class Reader(HTMLParser):
    """Reads a page and notes what is not closed, ids, and where links lead."""

    def __init__(self):
        super().__init__()
        self.open, self.faults, self.ids, self.links, self.sources = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if "href" in found else []
        self.sources += [found["src"]] if "src" in found else []

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append((tag, self.getpos()))


def read(page):
    """Return the page as read."""
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


def test_the_markup_is_whole_and_every_link_leads_somewhere(page):
    found = read(page)
    assert found.faults == [] and found.open == []
    assert len(set(found.ids)) == len(found.ids)
    assert {link[1:] for link in found.links} == set(found.ids)
    assert len(found.ids) == 15


def test_nothing_is_fetched_and_every_picture_has_words(page):
    found = read(page)
    assert found.sources and all(source.startswith("data:image/") for source in found.sources)
    assert all(link.startswith("#") for link in found.links)
    assert "<script" not in page and "@import" not in page and "url(" not in page
    assert "http" not in re.sub(r'"data:[^"]*"', "", page)
    images = re.findall(r"<img [^>]*>", page)
    assert len(images) == 8 + 4 * 4 + 2 + 2 + 4  # figures, panels, pairs of the shortcuts and of near-duplicates, the hardest defects
    assert re.findall(r'alt="(\w+: images/[dn].png)"', page) == ["defect: images/d.png", "normal: images/n.png"]  # which is which
    assert all(re.search(r'alt="[^"]{8,}"', image) for image in images)


def test_the_page_is_declared_for_readers_of_all_kinds(page):
    assert '<html lang="en">' in page and "<main>" in page and 'scope="col"' in page and 'name="viewport"' in page
    assert page.count("<h1>") == 1


def test_the_lead_by_hand(page):
    lead = words(page).split("Locked audit set: what holds")[0]
    assert "This page shows zeromiss-toy version 3, champion." in lead
    assert "Promoted by the gate, on the locked audit set" in lead
    assert "0 of 63 audit defects missed : true miss rate below 4.7 % with 95 % confidence" in lead  # 4.6437 % rounded up
    assert "25 % false-positive rate at the threshold in use, which misses 0 of 4 known defects" in lead
    assert "12.5 % / 37.5 % FNR and FPR of the honest protocol , 1 of 8 defects missed" in lead
    assert "8 s to 2.00 s human review of a normal part , misjudgements divided by 4.00" in lead  # 0.25 x 8 s; 1 / 0.25
    assert GATE["audit_sentence"] in lead
    assert "Leave-one-out over 4 defects, on which the classifier was also chosen, is descriptive only." in lead
    assert "Warning: a shortcut was found in the pictures. Brightness alone tells defects" in lead


def test_what_the_gate_found(page):
    text = words(page)
    assert "The locked audit set had been opened 2 times, this one included, and one model has been judged on it. Decided 2026-11-22 08:24 UTC." in text
    assert "✓ met 0 of 63 audit defects missed" in text
    assert "✗ not met 3 of 12 normal audit images raise a false alarm" in text
    assert "scratch 40 0 7.3 %" in text  # 7.22 % rounded up
    assert "a note to weigh it" in text


def test_a_refusal_shows_its_images_and_what_to_do(facts, folder):
    image = {"why": "missed defect", "path": "images/x.png", "score": 0.12, "threshold": 0.1711, "defect_type": ""}
    unjudged = image | {"why": "not judged", "path": "images/y.png", "score": None}
    gate = GATE | {"promoted": False, "images": [image, unjudged], "advice": ["look at it"], "missed": 1, "miss_rate_bound": None}
    text = words(render_page(facts, folder, replace(STANDING, gate=gate, aliases={"challenger": "3", "champion": "2"})))
    assert "Refused by the gate" in text and "1 of 63 audit defects missed 25 %" in text
    assert "This page shows zeromiss-toy version 3, challenger; version 2 is champion." in text
    assert "missed defect: images/x.png (score 0.12, threshold 0.1711)" in text and "not judged: images/y.png" in text
    assert "look at it" in text


def test_a_gate_that_was_never_asked_is_told(facts, folder):
    text = words(render_page(facts, folder, replace(STANDING, gate=None, aliases={"challenger": "3"})))
    assert "Not judged by the gate" in text
    assert "The gate has not been asked about version 3: no figure here is valid for parts it has not met." in text
    assert "audit defects missed" not in text


def test_a_model_that_is_not_registered_is_told(facts, folder):
    text = words(render_page(facts, folder, Standing(model="zeromiss-toy", aliases={"champion": "2"})))
    assert "Not registered by the gate" in text
    assert "This page shows a model that is not in the registry; version 2 is champion." in text
    assert "registered as not registered" in text


def test_a_record_made_before_openings_were_counted(facts, folder):
    gate = {key: value for key, value in GATE.items() if key not in ("looks", "openings", "worn_out", "audit_types", "audit_sentence")}
    text = words(render_page(facts, folder, replace(STANDING, gate=gate)))
    assert "Promoted: 0 of 63 audit defects missed." in text
    assert "How often the locked audit set had been opened was not recorded with this decision." in text


def test_the_table_of_families_in_order(page):
    rows = re.findall(r"<tr[^>]*><td>(ET|NB|LR|QDA).*?</tr>", page, flags=re.DOTALL)
    assert rows == ["ET", "NB", "LR", "QDA"]
    assert "ET (winner) 91.67 83.33 100 66.67 0 25 25 0" in words(page)
    assert "QDA failed: the covariance is not full rank" in words(page)
    assert "vqgan alone 0.9000 0.8000 75 no masks no masks" in words(page)


def test_the_threshold_with_its_worth(page):
    text = words(page)
    assert STATEMENT in text
    assert "chosen on the same 12 images on which they are judged here" in text
    assert "52.71 % (descriptive)" in text
    assert "scratch 3 3 0.1711 63.16 %" in text


def test_a_rule_says_what_it_guarantees_and_assumes(facts, folder):
    own = {"margin": 0.0, "guarantee": "Nothing more.", "assumption": "The light stays.", "missed_known": 0, "defects_behind": 3}
    own["escapes"] = {"defect_share": 0.01, "per_million_defective": 2e4, "per_million": 200.0, "next_parts": 1000, "next_misses": 0.2, "next_misses_mean": 0.1}
    text = words(render_page(facts.model_copy(update={"threshold": facts.threshold | own}), folder, STANDING))
    assert "Where it lies. The threshold lies at the lowest score of" in text
    assert "What the rule guarantees. Nothing more." in text and "What it assumes. The light stays." in text
    assert "What that means on the line. On a line with 1 % defective parts that would be up to 200 escapes per million parts" in text
    assert "Defects behind it 3" in text


def test_the_honest_protocol_beside_the_papers(page):
    text = words(page)
    assert "In 10 outer folds (2 times 5)" in text and "1 of 8 defects judged were missed." in text
    assert "that is: FNR 12.5 percentage points higher, FPR 12.5 percentage points higher." in text  # 0.125 - 0; 0.375 - 0.25
    assert "FNR (defects missed) 12.5 % (0 to 50) 0 %" in text
    assert "FPR (false alarms) 37.5 % (10 to 70) 25 %" in text


def test_what_it_costs_people_by_hand(page):
    text = words(page)
    assert "the honest protocol, mean 37.5 % 8 s to 3.00 s 2.67" in text
    assert "the locked audit set (12 normal images) 25 % 8 s to 2.00 s 4.00" in text


def test_the_gallery_names_panels_and_false_alarms(page):
    text = words(page)
    assert text.count("original reconstruction difference patches") == 4
    assert text.count("(a false alarm)") == 1
    assert "defect images/d0.png · score 0.1711, judged abnormal · drawn for a test" in text


def test_calibration_shortcuts_and_codebook(page):
    text = words(page)
    assert "Brier score of the composite score 0.1432" in text and "0.1318 (sigmoid)" in text
    assert "-0.0114 (-0.0190 to -0.0030)" in text
    assert "brightness defects from normals 4 / 8 0.938 0.850 to 0.990 found" in text
    assert "file size training images from the table's normals 4 / 8 0.500 0.500 to 0.610 no" in text
    assert "images/d.png · brightness 0.25" in text
    assert "48 of 64, perplexity 32.5, over 8 normal images" in text
    assert SHORTCUT[1:] in text


def test_what_the_hardest_defects_cost(page):
    text = words(page)
    assert "if the k hardest of 4 defects were not there (nested cross-validation, mean of 2 repeats)" in text
    assert "Hardest defects not there 0 1 2 3 FPR (%) 50 25 12.5 0 Standard deviation over repeats 17.68 0 0 0" in text
    assert "1. images/d1.png · scratch score 0.2 FPR to catch it: 50 % without it: 25 %" in text
    assert "2. images/d2.png · scratch score 0.4 FPR to catch it: 25 % without it and those before: 12.5 %" in text
    assert "4. images/d4.png · scratch score 0.8 FPR to catch it: 0 % " in text and "zeromiss labels toy" in text


def test_the_curves(page):
    text = words(page)
    assert "PG0 0 % 50 % (0 to 62.5) 17.68 PG2 2 % 50 % (0 to 62.5) 17.68 PG5 5 % 75 % (25 to 87.5) 0" in text
    assert "composite score 0.9375 0.8750 (0.6250 to 1.0000) 8 (25 %) vqgan 0.9000 no such pair 0 (0 %)" in text
    assert "trivial properties alone 0.9063 0.5625 (0.2500 to 0.7500) 8 (25 %)" in text
    assert "the composite score's AUROC of 0.9375 is 0.8750 over them" in text  # where the shortcut check speaks
    assert "scratch 5 4 of 5 80 % (28.36 to 99.49) 37.5 % LR" in text
    assert "Not left out: bridge (1 part, at least 5 are needed)." in text
    assert "zero missed 4 0.0 - - - all 4 marked defects are found, however small" in text
    assert "5 % false alarms 4 1.5 6.2 9.5 14.8" in text


def test_what_the_curves_cannot_say_is_told(facts, folder):
    nothing = {"types": [], "skipped": [], "sentence": "the defects are of one type, crack: no type can be left out"}
    composite = facts.summary["composite"] | {"matched": None, "unseen_types": nothing, "by_size": None}
    text = words(render_page(facts.model_copy(update={"summary": facts.summary | {"composite": composite}}), folder, STANDING))
    assert "The defects are of one type, crack: no type can be left out." in text
    assert "no defect of the table has a mask that marks it" in text and "fewer than two parts of a label" in text


def test_labels_that_people_changed_are_told_with_name_and_reason(page, facts, folder):
    text = words(page)
    assert "1 label changed (1 to normal), 1 unsure image set aside, in no split; by Ann Lee, Bo." in text
    assert "images/n7.png defect → normal Ann Lee, 2026-11-20 08:24 UTC a shadow, no crack" in text
    assert "images/d9.png defect → unsure Bo, 2026-11-21 09:00 UTC nobody can see it" in text
    untouched = facts.model_copy(update={"labels": NO_LABELS})
    assert "Labels that people changed" not in words(render_page(untouched, folder, STANDING))


def test_where_it_comes_from(page):
    text = words(page)
    for name, value in (("git commit", "c0ffee"), ("working tree", "clean"), ("raw data (DVC)", "1234.dir"), ("SHA-256 of bundle.json", "ab" * 32)):
        assert f"{name} {value}" in text
    assert "metrics.pixels 10 metrics.tiles null" in text and "python 3.11.9" in text
    assert flat({"a": {"b": {"c": 1}}, "d": None}) == {"a.b.c": "1", "d": "null"}


def test_what_was_not_computed_is_told(folder):
    text = words(render_page(old_facts(folder), folder, STANDING))
    assert "the honest protocol is off. Set selection.outer_repeats to 1 or more" in text
    assert text.count("This run was made before it was computed") == 4  # influence, calibration, shortcuts, near-duplicates
    assert "None of the 8 normal images of the table is called abnormal." in text
    assert "Warning" not in text


def test_text_from_outside_cannot_become_markup(facts, folder):
    strange = replace(STANDING, gate=GATE | {"audit_sentence": "<b onclick=x>"})
    assert "&lt;b onclick=x&gt;" in render_page(facts, folder, strange)


def test_embedding_a_picture(tmp_path):
    (tmp_path / "a.png").write_bytes(b"abc")
    assert embed(tmp_path, "a.png") == "data:image/png;base64,YWJj"


def test_a_page_whose_picture_is_gone_is_not_written(facts, folder, tmp_path):
    gone = facts.model_copy(update={"figures": {**facts.figures, "influence": "figures/gone.svg"}})
    with pytest.raises(ZeromissError, match="gone.svg is missing, though the report names it"):
        write_page(tmp_path / "toy.html", gone, folder, STANDING)
    assert list(tmp_path.iterdir()) == []


def test_facts_come_back_as_written(facts, tmp_path):
    write_facts(tmp_path, facts)
    assert read_facts(tmp_path) == facts


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"product": "toy"', '"product": 3', "product: input should be a valid string"),
        ('"mean": 0.3,', '"mean": "far",', "influence.0.mean: input should be a valid number"),
        ('"schema_version": 4', '"schema_version": 9', "has schema version 9"),
        ('"bundle"', '"bundel"', "bundle: field required"),
        ('"product": "toy",', "", "product: field required"),
        ("{", "", "is not valid JSON"),
    ],
)
def test_a_broken_file_of_facts_is_refused(facts, tmp_path, old, new, message):
    write_facts(tmp_path, facts)
    text = (tmp_path / FILE).read_text()
    assert old in text
    (tmp_path / FILE).write_text(text.replace(old, new, 1))
    with pytest.raises(ZeromissError, match=message):
        read_facts(tmp_path)


def test_the_summary_used_here_fits_the_schema():
    assert check_summary(SUMMARY).composite.paper.zfn.fpr == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("n_normal", -1, "n_normal: input should be greater"),
        ("product", None, "product: input should be a valid string"),
        ("spare", 1, "spare: extra inputs are not permitted"),
    ],
)
def test_a_summary_that_does_not_fit_names_its_key(key, value, message):
    with pytest.raises(ZeromissError, match=message):
        check_summary(SUMMARY | {key: value})


@pytest.mark.parametrize("fraction", [1.01, -0.01, float("nan")])
def test_a_share_outside_0_to_1_is_refused(fraction):
    with pytest.raises(ZeromissError, match=r"threshold\.value"):
        check_summary(SUMMARY | {"threshold": SUMMARY["threshold"] | {"value": fraction}})


def test_a_comparison_is_part_of_the_report_where_it_is_about_the_same_table(tmp_path):
    facts = report_facts(tmp_path)
    comparison = content_of(tmp_path / "folds")
    same = facts.model_copy(update={"files": facts.files | {"metric table": comparison["table"]}})
    page, other = (render_page(one, tmp_path, STANDING, comparison) for one in (same, facts))
    assert "Detectors alone and stacked" in page and "Detectors alone and stacked" not in other
    fpr = comparison["composites"]["systems"]["stack"]["figures"]["fpr_at_zero_missed"]
    assert ranged(fpr) in page and other == render_page(facts, tmp_path, STANDING)


def test_near_duplicates_and_what_they_do_to_the_figures(facts, folder, page):
    said = words(page)
    assert "1 pair of images shows the same part again (images/n1.png and images/n2.png)" in said
    assert "correlation 0.91 of what other parts do not explain, 214 features agree; shifted 3.1 %, turned -2.0 degrees" in said
    assert "A pair is called the same part from a correlation of 0.72." in said
    assert "With each group in one fold" not in said
    figures = {
        "groups": 1, "images": 3, "repeats": 2, "folds": 5, "grouped": {"image_auroc": 0.91234, "fpr_at_zero_missed": 0.5},
        "spread": {"image_auroc": 0.95, "fpr_at_zero_missed": 0.25},
    }  # fmt: skip
    summary = facts.summary | {"composite": facts.summary["composite"] | {"near_duplicates": figures}}
    found = words(render_page(facts.model_copy(update={"summary": summary}), folder, STANDING))
    assert "image AUROC 0.9123 and FPR 50 % with no miss; with the photographs of a group in several folds 0.9500 and 25 %" in found
