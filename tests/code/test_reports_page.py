"""The page says what the numbers are and shows them as computed."""

import re

import pytest

from tests.report_parts import STATEMENT, SUMMARY, report_data
from zeromiss.errors import ZeromissError
from zeromiss.inspection.summary import check_summary
from zeromiss.reports.page import embed, render_page, write_page


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The data of a page with figures drawn once."""
    return report_data(tmp_path_factory.mktemp("figures"))


@pytest.fixture(scope="module")
def page(data):
    """The page."""
    return render_page(data)


def words(page):
    """The page's text without pictures and markup."""
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL).split())


def test_the_cards_by_hand(page):
    text = words(page)
    assert "2.00 s human review per part" in text  # 0.25 x 8 s
    assert "25 % of 8 normal parts called abnormal" in text
    assert "83.33 % accuracy with no defect missed" in text


def test_the_table_of_families_in_order(page):
    rows = re.findall(r"<tr[^>]*><td>(ET|NB|LR|QDA).*?</tr>", page, flags=re.DOTALL)
    assert rows == ["ET", "NB", "LR", "QDA"]
    assert "ET (winner) 91.67 83.33 100 66.67 0 25 25 0" in words(page)
    assert "QDA failed: the covariance is not full rank" in words(page)


def test_it_says_what_the_figures_are_worth(page):
    text = words(page)
    assert STATEMENT in text
    assert "chosen on the same images on which they are judged here" in text
    assert "The valid figure is the one the gate takes at promotion, on the locked audit set" in text
    assert "52.71 % (descriptive)" in text


def test_each_defect_type_has_its_own_bound(page):
    assert "scratch 3 3 0.1711 63.16 %" in words(page)


def test_figures_without_masks_are_told(page):
    assert "vqgan alone 0.9000 0.8000 75 no masks no masks" in words(page)


def test_a_false_alarm_is_called_one(page):
    assert words(page).count("(a false alarm)") == 1


def test_nothing_is_fetched_and_every_picture_has_words(page):
    assert re.findall(r"(?:src|href)=\"(?!data:)", page) == []
    assert "<script" not in page and "@import" not in page
    images = re.findall(r"<img [^>]*>", page)
    assert len(images) == 3 + 4
    assert all(re.search(r'alt="[^"]{8,}"', image) for image in images)


def test_the_page_is_declared_for_readers_of_all_kinds(page):
    assert '<html lang="en">' in page and "<main>" in page and 'scope="col"' in page
    assert page.count("<h1>") == 1


def test_text_from_outside_cannot_become_markup(data, tmp_path):
    from dataclasses import replace

    strange = replace(data, statement="<b onclick=x>")
    assert "&lt;b onclick=x&gt;" in render_page(strange)


def test_embedding_a_picture(tmp_path):
    (tmp_path / "a.png").write_bytes(b"abc")
    assert embed(tmp_path / "a.png") == "data:image/png;base64,YWJj"


def test_a_page_that_cannot_be_drawn_is_not_written(data, tmp_path):
    from dataclasses import replace

    with pytest.raises(FileNotFoundError):
        write_page(tmp_path / "index.html", replace(data, figures={**data.figures, "influence": tmp_path / "gone.svg"}))
    assert list(tmp_path.iterdir()) == []


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
