"""Influence against hand-worked losses, choices of examples by rank, figures that are the same twice."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss as reference_loss
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from zeromiss.reports.composition import composition
from zeromiss.reports.examples import hardest_defect, spread, strip
from zeromiss.reports.figures import influence_bars, save_figure, score_distributions, training_curves
from zeromiss.reports.influence import influence, log_loss
from zeromiss.selection.preprocess import build_preprocessing

POOLED = pd.DataFrame(
    {
        "path": ["n3", "n1", "n2", "d2", "d1", "d3"],
        "label": ["normal"] * 3 + ["defect"] * 3,
        "probability": [0.5, 0.1, 0.3, 0.4, 0.4, 0.9],
    }
)


def test_log_loss_by_hand_and_by_scikit_learn():
    probabilities, labels = np.array([0.9, 0.2, 0.4]), np.array([1, 0, 1])
    by_hand = -(np.log(0.9) + np.log(0.8) + np.log(0.4)) / 3
    assert log_loss(probabilities, labels) == pytest.approx(by_hand)
    assert log_loss(probabilities, labels) == pytest.approx(reference_loss(labels, probabilities))
    assert log_loss(np.array([0.0]), np.array([1])) == pytest.approx(-np.log(1e-6))


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
    assert ranked["told"] > 0.3
    assert ranked["copy"] == ranked["flat"] == 0.0
    assert abs(ranked["noise"]) < 0.05


def test_the_rise_is_that_of_the_shuffled_column():
    features = pd.DataFrame({"p": [0.1, 0.9]})

    class Itself:
        """The probability is the feature."""

        def __getitem__(self, part):
            return FunctionTransformer()

        def predict_proba(self, frame):
            return np.stack((1 - frame["p"], frame["p"]), axis=1)

    labels = np.array([0, 1])
    rng = np.random.default_rng(4)
    swapped = sum(rng.permutation(2)[0] for _ in range(6)) / 6  # share of the six shuffles that swap both rows
    rise = influence(Itself(), features, labels, repeats=6, seed=4)["p"]
    assert rise == pytest.approx(swapped * (np.log(0.9) - np.log(0.1)))


def test_influence_is_the_same_twice(fitted):
    pd.testing.assert_series_equal(influence(*fitted, repeats=2, seed=3), influence(*fitted, repeats=2, seed=3))


def test_the_hardest_defect_is_the_lowest_and_first_by_name():
    found = hardest_defect(POOLED)
    assert (found.path, found.score) == ("d1", 0.4)
    assert "sets the threshold" in found.why


@pytest.mark.parametrize(("count", "paths"), [(1, ["n1"]), (2, ["n1", "n3"]), (3, ["n1", "n2", "n3"]), (9, ["n1", "n2", "n3"])])
def test_examples_are_spread_over_the_ranks(count, paths):
    assert [choice.path for choice in spread(POOLED, "normal", count)] == paths


def test_examples_say_where_they_stand():
    assert [choice.why for choice in spread(POOLED, "normal", 3)] == [
        "the lowest score of 3 normal images",
        "score 2 of 3, from the lowest",
        "the highest score of 3 normal images",
    ]


def test_the_lowest_can_be_left_out_and_keep_their_rank():
    found = spread(POOLED, "defect", 5, skip=1)
    assert [choice.path for choice in found] == ["d2", "d3"]
    assert [choice.why for choice in found] == ["score 2 of 3, from the lowest", "the highest score of 3 defect images"]
    assert spread(POOLED, "defect", 5, skip=3) == []


def test_no_example_of_a_label_that_is_not_there():
    assert spread(POOLED[POOLED["label"] == "normal"], "defect", 4) == []


def test_a_strip_has_its_panels_in_order():
    panels = tuple(np.full((10, 10, 3), value, dtype=np.uint8) for value in (1, 2, 3, 4))
    picture = strip(panels)
    assert picture.shape == (10, 4 * 10 + 3 * 6, 3)
    np.testing.assert_array_equal(picture[5, [5, 21, 37, 53], 0], [1, 2, 3, 4])
    np.testing.assert_array_equal(picture[5, [10, 15, 26, 47], 0], [255] * 4)


def test_the_histogram_holds_every_image_and_the_threshold():
    axes = score_distributions(np.array([0.05, 0.06, 0.5]), np.array([0.7, 0.99]), 0.7).axes[0]
    heights = [patch.get_height() for patch in axes.patches]
    assert len(heights) == 60
    assert (sum(heights[:30]), sum(heights[30:])) == (3, 2)
    assert axes.lines[-1].get_xdata()[0] == pytest.approx(0.7)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["normal (3)", "defect (2)", "threshold 0.7"]


def test_the_longest_bar_is_on_top():
    axes = influence_bars(pd.Series({"first": 0.3, "second": 0.1})).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["second", "first"]
    assert [bar.get_width() for bar in axes.patches] == [0.1, 0.3]


def test_curves_draw_each_column():
    history = pd.DataFrame({"step": [1.0, 2.0], "loss": [4.0, 3.0], "pixel": [2.0, 1.0]})
    shown = [axes for axes in training_curves(history, ["loss", "pixel"]).axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == ["loss", "pixel"]
    np.testing.assert_array_equal(shown[1].lines[0].get_ydata(), [2.0, 1.0])


def test_the_same_figure_has_the_same_bytes(tmp_path):
    for name in ("a.svg", "b.svg"):
        save_figure(tmp_path / name, influence_bars(pd.Series({"metric": 0.3})))
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


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
