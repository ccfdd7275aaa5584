"""Influence against hand-worked losses, choices of examples by rank, figures that hold their numbers and are the same twice."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from tests.report_parts import draw_figures
from zeromiss.inspection.verdict import Patch
from zeromiss.reports.composition import composition
from zeromiss.reports.examples import GAP, SIDE, columns, hardest_defects, random_normals, worst_alarms, worst_window
from zeromiss.reports.figures import code_use, influence_bars, reliability_curve, roc_curve, score_distributions, training_curves
from zeromiss.reports.influence import influence
from zeromiss.selection.preprocess import build_preprocessing

POOLED = pd.DataFrame(
    {
        "path": ["n3", "n1", "n2", "d2", "d1", "d3"],
        "label": ["normal"] * 3 + ["defect"] * 3,
        "defect_type": "",
        "probability": [0.5, 0.1, 0.3, 0.4, 0.4, 0.9],
    }
)


@pytest.fixture
def fitted():
    """Labels that follow column `told`; `copy` is dropped as its copy, `flat` as constant, `noise` is kept."""
    rng = np.random.default_rng(0)
    told = rng.normal(size=200)
    features = pd.DataFrame({"noise": rng.normal(size=200), "flat": 1.0, "told": told, "copy": 2 * told + 1})
    labels = (told > 0).astype(int)
    pipeline = Pipeline([*build_preprocessing(0.95).steps, ("classifier", LogisticRegression())]).fit(features, labels)
    return pipeline, features, labels


def test_the_metric_that_decides_leads_and_dropped_ones_are_zero(fitted):
    ranked = influence(*fitted, repeats=3, seed=0)
    assert ranked.index[0] == "told"
    assert ranked.loc["told", "mean"] > 0.3
    assert ranked.loc[["copy", "flat"]].to_numpy().tolist() == [[0.0, 0.0]] * 2
    assert abs(ranked.loc["noise", "mean"]) < 0.05


def test_shuffling_kept_columns_is_shuffling_the_table(fitted):
    """The same kept columns alone, shuffled by scikit-learn before all preprocessing, with its own log loss."""
    pipeline, features, labels = fitted
    alone = features[["noise", "told"]]
    refitted = Pipeline([*build_preprocessing(0.95).steps, ("classifier", pipeline[-1])])
    refitted[:-1].fit(alone, labels)
    raw = permutation_importance(refitted, alone, labels, scoring="neg_log_loss", n_repeats=4, random_state=1)
    ranked = influence(pipeline, features, labels, repeats=4, seed=1).loc[["noise", "told"]]
    np.testing.assert_allclose(ranked["mean"], raw.importances_mean, atol=1e-12)
    np.testing.assert_allclose(ranked["std"], raw.importances_std, atol=1e-12)


class Itself(ClassifierMixin, BaseEstimator):
    """The probability is the one feature."""

    classes_ = np.array([0, 1])

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        p = np.asarray(X)[:, 0]
        return np.stack((1 - p, p), axis=1)


def test_the_rise_of_two_rows_is_all_or_nothing():
    """Shuffled, two rows either stay or swap: the loss rises by 0 or by log 0.9 - log 0.1; kept from 0 and 1 by 1e-6."""
    rows, labels = pd.DataFrame({"p": [0.1, 0.9]}), np.array([0, 1])
    found = influence(Pipeline([("same", "passthrough"), ("classifier", Itself())]), rows, labels, repeats=40, seed=4).loc["p"]
    rise = np.log(0.9) - np.log(0.1)
    swapped = found["mean"] / rise
    assert 0.2 < swapped < 0.8 and swapped * 40 == pytest.approx(round(swapped * 40))
    assert found["std"] == pytest.approx(rise * np.sqrt(swapped * (1 - swapped)))
    sure = influence(Pipeline([("same", "passthrough"), ("classifier", Itself())]), rows.round(), labels, repeats=40, seed=4).loc["p"]
    assert sure["mean"] == pytest.approx(swapped * (np.log(1 - 1e-6) - np.log(1e-6)))


def test_influence_is_the_same_twice(fitted):
    pd.testing.assert_frame_equal(influence(*fitted, repeats=2, seed=3), influence(*fitted, repeats=2, seed=3))


def test_the_hardest_defects_are_the_lowest_and_first_by_name():
    found = hardest_defects(POOLED, 2)
    assert [(choice.path, choice.score) for choice in found] == [("d1", 0.4), ("d2", 0.4)]
    assert [choice.why for choice in found] == [
        "the lowest score of all defects: the threshold is set by it",
        "defect 2 of 3, from the lowest score",
    ]
    assert [choice.path for choice in hardest_defects(POOLED, 9)] == ["d1", "d2", "d3"]
    assert hardest_defects(POOLED[POOLED["label"] == "normal"], 4) == []


@pytest.mark.parametrize(("threshold", "count", "paths"), [(0.3, 4, ["n3", "n2"]), (0.3, 1, ["n3"]), (0.51, 4, []), (0.0, 4, ["n3", "n2", "n1"])])
def test_false_alarms_are_normals_at_or_above_the_threshold_the_highest_first(threshold, count, paths):
    assert [choice.path for choice in worst_alarms(POOLED, threshold, count)] == paths


def test_a_false_alarm_says_how_many_there_are():
    assert [choice.why for choice in worst_alarms(POOLED, 0.3, 1)] == ["false alarm 1 of 2, from the highest score"]


def test_normals_are_drawn_by_the_seed_and_not_shown_twice():
    drawn = {tuple(choice.path for choice in random_normals(POOLED, 1, seed=seed, skip={"n3"})) for seed in range(30)}
    assert drawn == {("n1",), ("n2",)}
    assert random_normals(POOLED, 2, seed=5, skip=set()) == random_normals(POOLED, 2, seed=5, skip=set())
    assert [choice.path for choice in random_normals(POOLED, 9, seed=0, skip=set())] == ["n1", "n2", "n3"]


def examination(*patches, side=60, width=60):
    """A black image, reconstructed white, whose difference is its left half."""
    import torch

    image, difference = torch.zeros(3, side, width), np.zeros((side, width), dtype=np.float32)
    difference[:, : width // 2] = 1.0
    measurement = SimpleNamespace(image_hat_CHW=torch.ones(3, side, width), difference_HW=difference)
    return SimpleNamespace(verdict=SimpleNamespace(width=width, height=side, patches=patches), image_CHW=image, measurement=measurement)


@pytest.mark.parametrize(
    ("x", "y", "size", "window"),
    [(30, 20, 4, (26, 16, 12)), (0, 0, 4, (0, 0, 12)), (56, 58, 4, (48, 48, 12)), (20, 20, 8, (12, 12, 24)), (0, 0, 40, (0, 0, 60))],
)
def test_the_worst_region_lies_around_the_most_distant_patch_and_inside(x, y, size, window):
    found = worst_window(examination(Patch(x=x, y=y, size=size, distance=2.0), Patch(x=1, y=1, size=4, distance=1.0)))
    assert (found.x, found.y, found.side) == window


@pytest.mark.parametrize(("x", "window"), [(100, (90, 20, 24)), (0, (0, 20, 24))])
def test_the_region_of_an_image_that_is_no_square_stays_inside(x, window):
    """A sixth of the shorter side, 60, is less than three times the patch, 24."""
    found = worst_window(examination(Patch(x=x, y=28, size=8, distance=2.0), width=114))
    assert (found.x, found.y, found.side) == window


def test_a_wide_image_and_a_tall_one_are_shown_in_their_own_shape():
    patch = Patch(x=4, y=4, size=4, distance=1.0)
    wide, tall = (columns(examination(patch, side=side, width=width), boxes=1)["original"] for side, width in ((60, 120), (120, 60)))
    assert wide.shape == (SIDE // 2 + GAP + SIDE, SIDE, 3) and tall.shape == (SIDE + GAP + SIDE, SIDE, 3)
    assert tall[:SIDE, : SIDE // 4].min() == 255 and tall[SIDE - 5, SIDE // 2].max() == 0  # white beside a narrow picture


def test_each_panel_stands_above_its_worst_region():
    original, redrawn, difference, patches = columns(examination(Patch(x=34, y=28, size=4, distance=1.0)), boxes=5).values()
    assert all(picture.shape == (2 * SIDE + GAP, SIDE, 3) for picture in (original, redrawn, difference, patches))
    assert (original[SIDE : SIDE + GAP] == 255).all()
    zoom = SIDE + GAP
    assert original[zoom:].max() == 0 and redrawn[zoom:].min() == 255
    # the region is columns 30 to 42: right of the half that differs, so dark all over; the whole panel is bright on the left
    assert difference[zoom:, 20:].max() < 40 < difference[10, 10].max()
    # the patch lies 4 of 12 pixels into the region: its frame is drawn around a third of it
    place = round(4 * SIDE / 12)
    assert patches[zoom + round(0.5 * SIDE), place - 2].tolist() == [255, 32, 32]
    assert patches[zoom + round(0.5 * SIDE), place + 8].tolist() == [0, 0, 0]


def test_a_white_frame_marks_the_region_in_the_whole_panel():
    original = columns(examination(Patch(x=28, y=28, size=4, distance=1.0)), boxes=5)["original"]
    left = round(24 * SIDE / 60)
    assert original[SIDE // 2, left + 1].tolist() == [255] * 3
    assert original[SIDE // 2, left + 20].tolist() == [0] * 3


def test_the_histogram_holds_every_image_and_the_threshold():
    axes = score_distributions(np.array([0.05, 0.06, 0.5]), np.array([0.7, 0.99]), 0.7).axes[0]
    heights = [patch.get_height() for patch in axes.patches]
    assert len(heights) == 60
    assert (sum(heights[:30]), sum(heights[30:])) == (3, 2)
    assert axes.lines[-1].get_xdata()[0] == pytest.approx(0.7)
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["normal (3)", "defect (2)", "threshold 0.7"]


def test_the_point_of_full_sensitivity_by_hand():
    """The lowest defect is 0.4; of the normals 0.1, 0.4 and 0.7 two are not below it."""
    labels, scores = np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.4, 0.7, 0.4, 0.9])
    axes = roc_curve(labels, scores, 0.4).axes[0]
    point = [line for line in axes.lines if line.get_marker() == "D"]
    assert [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in point] == [(pytest.approx(2 / 3), 1.0)]
    assert [line for line in axes.lines if line.get_marker() == "s"] == []
    assert "no known defect missed: FPR 66.7 %" in [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_threshold_elsewhere_has_a_mark_of_its_own():
    labels, scores = np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.4, 0.7, 0.4, 0.9])
    marked = [line for line in roc_curve(labels, scores, 0.5).axes[0].lines if line.get_marker() == "s"]
    assert (float(marked[0].get_xdata()[0]), float(marked[0].get_ydata()[0])) == (pytest.approx(1 / 3), 0.5)


def test_the_longest_bar_is_on_top_with_its_spread():
    axes = influence_bars(pd.DataFrame({"mean": [0.3, 0.1], "std": [0.05, 0.02]}, index=["first", "second"])).axes[0]
    bars = {bar.get_y() + bar.get_height() / 2: bar.get_width() for bar in axes.patches}
    assert bars == {1.0: 0.3, 0.0: 0.1}
    assert {text.get_text(): text.xy[1] for text in axes.texts} == {"first": 1, "second": 0}
    whiskers = axes.collections[0].get_segments()
    np.testing.assert_allclose(sorted(segment[:, 0].tolist() for segment in whiskers), [[0.08, 0.12], [0.25, 0.35]])


def test_codes_are_drawn_from_the_most_used():
    axes = code_use(np.array([1, 0, 6, 3])).axes[0]
    heights = [float(y) for x, y in axes.collections[0].get_paths()[0].vertices if y > 0]
    assert sorted(set(heights), reverse=True) == [0.6, 0.3, 0.1]
    assert axes.lines[0].get_ydata()[0] == 0.25


def test_reliability_shows_each_bin_with_its_interval():
    bins = [
        {"n": 0, "mean_score": 0.1, "share_defects": 0.0, "share_low": 0.0, "share_high": 0.0},
        {"n": 10, "mean_score": 0.5, "share_defects": 0.4, "share_low": 0.2, "share_high": 0.7},
    ]
    axes = reliability_curve(bins).axes[0]
    observed = axes.lines[1]
    assert (observed.get_xdata().tolist(), observed.get_ydata().tolist()) == ([0.5], [0.4])
    np.testing.assert_allclose(axes.collections[0].get_segments()[0], [[0.5, 0.2], [0.5, 0.7]])
    assert len(reliability_curve(bins, ([0.0, 1.0], [0.1, 0.8])).axes[0].lines) == len(axes.lines) + 1


def test_curves_draw_each_column():
    history = pd.DataFrame({"step": [1.0, 2.0], "loss": [4.0, 3.0], "pixel": [2.0, 1.0]})
    shown = [axes for axes in training_curves(history, ["loss", "pixel"]).axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == ["loss", "pixel"]
    np.testing.assert_array_equal(shown[1].lines[0].get_ydata(), [2.0, 1.0])


def test_the_same_figures_have_the_same_bytes(tmp_path):
    first, second = (draw_figures(tmp_path / name) for name in ("a", "b"))
    assert first == second and len(first) == 8
    for file in first.values():
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_the_data_set_is_counted_by_hand():
    manifest = pd.DataFrame(
        {
            "split": ["train", "train", "table", "table", "table", "audit"],
            "label": ["normal", "normal", "normal", "defect", "defect", "defect"],
            "part_id": ["p1", "p1", "p2", "p3", "p4", "p5"],
        }
    )
    rows = composition(manifest)
    assert [(row["normal"], row["defect"], row["parts"]) for row in rows] == [(2, 0, 1), (0, 0, 0), (1, 2, 3), (0, 1, 1), (3, 3, 5)]
