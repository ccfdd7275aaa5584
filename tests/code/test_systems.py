"""The comparison's tables, figures, page and layouts, of made-up figures that are easy to check by hand."""

import re

import cv2
import numpy as np
import pandas as pd
import pytest

from tests.systems_parts import content_of, drawn_table
from zeromiss.commands import parser
from zeromiss.errors import ZeromissError
from zeromiss.reports.figures import save_figure
from zeromiss.reports.pictures import save_jpeg
from zeromiss.reports.systems import choose_images, detector_entry, read_content, with_spread
from zeromiss.reports.systems_figures import (
    embedded_points, full_scale, golden_bars, honest_intervals, line_of, map_picture, outlined, roc_of_all,
)  # fmt: skip
from zeromiss.reports.systems_layouts import LAYOUTS, published, render_layout
from zeromiss.reports.systems_page import render_page, write_page
from zeromiss.reports.systems_text import render
from zeromiss.reports.systems_words import ranged, signed, speed, system_title, with_std


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    return content_of(tmp_path_factory.mktemp("folds"))


@pytest.fixture
def drawn(content, tmp_path):
    """The content with pictures in a folder, as the stage draws them."""
    (tmp_path / "figures").mkdir()
    natives = drawn_table()[1]
    y_N = (natives["label"] == "defect").to_numpy(int)
    figures = {
        "roc": roc_of_all(y_N, {name: natives[name].to_numpy() for name in content["detectors"]}),
        "honest": honest_intervals(content["composites"]["systems"], {name: name for name in content["composites"]["systems"]}),
        "tsne": embedded_points({"codes": np.random.default_rng(0).normal(size=(len(y_N), 2))}, y_N),
    }
    for name, figure in figures.items():
        save_figure(tmp_path / f"figures/{name}.svg", figure)
    save_jpeg(tmp_path / "figures/m.jpg", np.zeros((8, 8, 3), np.uint8))
    shown = {"path": "images/3.png", "label": "defect", "why": "hard", "panels": {"original": "figures/m.jpg", "vqgan": "figures/m.jpg"}}
    named = {name: f"figures/{name}.svg" for name in figures} | {"golden": None}
    return content | {"figures": named, "golden": None, "images": [shown], "images_by": "vqgan", "map_normals": 8}


def test_a_detectors_row_by_hand():
    natives = pd.DataFrame({"label": ["normal", "normal", "defect"], "padim": [1.0, 2.0, 3.0]})
    found = detector_entry(
        "padim",
        native={"pixel_auroc": 0.9, "pro": None, "seconds_per_image": 0.25, "image_auroc": 1.0},
        training={"seconds": 12, "parameters": 5},
        natives=natives,
        scores=pd.DataFrame({"sse": [3.0, 1.0, 2.0]}),
        tensors_mib=0.5,
    )
    assert (found["image_auroc"], found["fpr_at_zero_missed"], found["zfn_accuracy"]) == (1.0, 0.0, 1.0)
    assert (found["pixel_auroc"], found["pro"], found["images_per_second"], found["peak_mib"], found["fit_images"]) == (0.9, None, 4.0, None, None)
    assert found["scores"]["sse"]["image_auroc"] == 0.5 and found["scores"]["sse"]["std_accuracy"] == pytest.approx(2 / 3)


def test_the_spread_over_seeds_by_hand():
    first = {"image_auroc": 0.9, "pro": None} | dict.fromkeys(
        ("average_precision", "pixel_auroc", "std_accuracy", "zfn_accuracy", "fpr_at_zero_missed"), 0.5
    )
    found = with_spread([first, first | {"image_auroc": 0.7}, first | {"image_auroc": 0.8}])
    assert found["seeds"] == 3 and found["spread"]["image_auroc"] == pytest.approx({"mean": 0.8, "std": 0.1})
    assert "pro" not in found["spread"] and found["spread"]["pixel_auroc"]["std"] == 0.0
    assert with_std(found, "image_auroc") == "80.0±10.0" and with_std(found, "pro") == "-"
    assert with_spread([first])["spread"] == {} and with_std(with_spread([first]), "image_auroc") == "90.0"


def test_the_same_images_by_the_same_seed():
    natives = drawn_table()[1]
    found = choose_images(natives, "padim", 10, 3)
    assert found == choose_images(natives.sample(frac=1.0, random_state=1), "padim", 10, 3) and len({path for path, _ in found}) == 10
    lowest = natives[natives["label"] == "defect"].sort_values("padim")["path"].iloc[:4]
    assert [path for path, _ in found[:4]] == list(lowest) and found[0][1] == "defect 1 of 20, from padim's lowest score"
    labels = natives.set_index("path").loc[[path for path, _ in found], "label"]
    assert list(labels) == ["defect"] * 7 + ["normal"] * 3
    assert len(choose_images(natives[natives["path"].isin(["images/0.png", *lowest])], "padim", 10, 3)) == 5  # as many as there are


def test_maps_share_a_scale_and_show_what_lies_above_it():
    normal = np.zeros((100, 100), np.float32)
    normal[0, :10] = 2.0  # a thousandth of the pixels: its 0.999 quantile lies at them
    assert 0.0 < full_scale([np.zeros((9, 9)), normal]) <= 2.0 and full_scale([np.zeros((9, 9))]) == 1.0
    map_HW = np.array([[0.0, 0.5], [1.0, 7.0]], np.float32)
    picture = map_picture(map_HW, 1.0, side=2)
    assert picture.shape == (2, 2, 3) and (picture[1, 0] == picture[1, 1]).all() and picture[0, 0].sum() < picture[0, 1].sum() < picture[1, 0].sum()


def test_a_defects_mask_is_outlined():
    image_CHW, mask_HW = np.full((3, 64, 64), 0.5, np.float32), np.zeros((64, 64), bool)
    mask_HW[20:40, 20:40] = True
    plain, marked = outlined(image_CHW, None, side=64), outlined(image_CHW, mask_HW, side=64)
    assert (plain == 128).all() and (marked[20, 20:40] == 255).all() and (marked[5, 5] == 128).all() and (marked[30, 30] == 128).all()
    assert cv2.countNonZero((marked[..., 0] == 0).astype(np.uint8)) > 50  # a dark rim


def test_no_two_curves_look_alike():
    assert len({tuple(line_of(place).values()) for place in range(16)}) == 16


def test_the_terminal_in_100_columns(content):
    text = render(content)
    assert max(len(line) for line in text.splitlines()) <= 100
    assert text.startswith("toy: 3 detectors on the same 30 normal and 20 defect images of 64 pixels")
    assert "In the table, optimistic (%)" in text and "Honest protocol (%)" in text
    padim = content["detectors"]["padim"]["spread"]["image_auroc"]
    assert f"{100 * padim['mean']:.1f}±7.1" in text  # 0.1 between two: 0.0707
    stack = content["composites"]["systems"]["stack"]["figures"]["fpr_at_zero_missed"]
    assert f"{100 * stack['mean']:.1f} [{100 * stack['low']:.1f}, {100 * stack['high']:.1f}]" in text
    assert "No second detector fits into 2 times the 50 ms an image of the cheapest detector, padim." in text
    assert "Stack of all: paired differences" in text


def test_words():
    fast = {"limit": 2.0, "fast_stack": {"base": "padim", "members": ["padim", "cpcae"]}, "first_stack": {"base": "vqgan", "members": ["vqgan"]}}
    told = {"fast": fast, "detectors": {"padim": {"seconds_per_image": 0.0501}, "vqgan": {"seconds_per_image": 0.2}}}
    assert [system_title(name, told) for name in ("native.a", "columns.a", "stack", "fast_stack")] == [
        "a alone", "columns of a", "stack of all", "stack in 2 x padim",
    ]  # fmt: skip
    assert speed(told) == [
        "within 2 times the 50 ms an image of the cheapest detector, padim, fit also cpcae",
        "no second detector fits into 2 times the 200 ms an image of the first detector, vqgan",
    ]
    assert ranged({"mean": 0.5, "low": 0.25, "high": 1.0}) == "50.0 [25.0, 100.0]"
    assert signed({"mean": -0.25, "low": -0.5, "high": 0.0, "verdict": "noise"}) == "-25.0 ± 25.0 noise"


def test_the_page_holds_all_it_shows(drawn, tmp_path):
    write_page(tmp_path / "compare.html", drawn, tmp_path)
    page = (tmp_path / "compare.html").read_text()
    assert page == render_page(drawn, tmp_path)
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page) == [] and page.count("data:image/") == 5
    assert "optimistic" in page and "Noise: the interval holds 0" in page and "stack of all" in page
    for entry in drawn["composites"]["systems"].values():
        assert ranged(entry["figures"]["image_auroc"]) in page
    (tmp_path / "figures/m.jpg").unlink()
    with pytest.raises(ZeromissError, match="figures/m.jpg is missing"):
        render_page(drawn, tmp_path)


def test_golden_samples_are_drawn_beside_ganodip(drawn, tmp_path):
    save_figure(tmp_path / "figures/golden.svg", golden_bars([0.5, 0.75], 0.25))
    golden = {"fpr": [0.5, 0.75], "group_size": 36, "side": 64}
    detectors = drawn["detectors"] | {"ganodip": drawn["detectors"]["padim"] | {"fpr_at_zero_missed": 0.25}}
    page = render_page(drawn | {"golden": golden, "figures": drawn["figures"] | {"golden": "figures/golden.svg"}, "detectors": detectors}, tmp_path)
    assert "each of 2 groups of 36 training" in page and "own 25.0 %" in page


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_keep_ours_and_published_apart(content, layout):
    text = render_layout(layout, [content])
    assert max(len(line) for line in text.splitlines()) <= 100
    ours, theirs = text.split("Published: ", 1)
    assert ours.startswith("Ours: ") and "toy" in ours and "toy" not in theirs and theirs.startswith("paper ")


def test_published_figures_stand_where_the_papers_have_them(content):
    typed = published()
    assert {"data": "Hazelnut", "classifier": "LGBM", "std": 98.95, "zfn": 98.25} in typed["paper1"]["rows"]
    assert [len(typed[name]["rows"]) for name in ("paper1", "poster", "cpcae_zipper", "cpcae", "simplenet")] == [9, 14, 10, 15, 18]
    screw = next(row for row in typed["poster"]["rows"] if (row["data"], row["score"]) == ("Screw", "SSE"))
    assert screw["systems"]["PatchCore"]["acc"] == [90.68, 0.0] and screw["systems"]["CycleGAN-AD-64"]["auc"] == [51.31, 5.06]
    bottle = next(row for row in typed["cpcae"]["rows"] if (row["method"], row["metric"]) == ("CPCAE", "AP"))
    assert bottle["values"] == [99.9, 92.54, 96.71, 97.9, 94.88, 97.23, 100.0, 91.68, 96.35]
    assert next(row for row in typed["simplenet"]["rows"] if row["data"] == "Average")["values"][-1] == [99.6, 98.1]
    assert "Hazelnut CycleGAN-AD-256 FID 98.00 ± 2.14 99.14 ± 0.70 99.89 ± 0.12" in " ".join(render_layout("poster", [content]).split())


def test_further_scores_and_several_products_in_the_layouts(content):
    text = render_layout("cpcae", [content, content | {"product": "other"}])
    assert "  sse                 AUC" in text and "toy" in text and "other" in text
    sse = content["detectors"]["vqgan"]["scores"]["sse"]
    assert f"vqgan             sse{100 * sse['zfn_accuracy']:>27.1f}{100 * sse['std_accuracy']:>16.1f}" in render_layout("poster", [content])


def test_the_command_knows_the_layouts():
    for layout in LAYOUTS:
        assert parser().parse_args(["compare", "toy", "--layout", layout]).layout == layout
    with pytest.raises(SystemExit):
        parser().parse_args(["compare", "toy", "--layout", "poster", "--json"])


def test_a_comparison_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ZeromissError, match="compare.json is missing"):
        read_content(tmp_path)
