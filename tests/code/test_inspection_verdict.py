"""From boxes to patches, from score to verdict: worked out by hand."""

import hashlib
import json

import numpy as np
import pytest

from tests.inspection_parts import MODEL, SIZE, MeanMeasurer, grey_file, mean_inspector
from zeromiss.errors import ZeromissError
from zeromiss.inspection.verdict import Patch, decide, to_patches


@pytest.mark.parametrize(
    ("box", "patch"),
    [
        ([8, 12, 16, 20], (8, 12, 8)),  # square: as it is
        ([0, 4, 3, 12], (0, 4, 8)),  # cut on the left: the longer side
        ([28, 30, 32, 32], (28, 30, 4)),  # cut at the lower right corner
        ([5, 6, 6, 7], (5, 6, 1)),
    ],
)
def test_a_box_becomes_the_smallest_square_on_its_corner(box, patch):
    found = to_patches([box], [1.5])
    assert (found[0].x, found[0].y, found[0].size) == patch
    assert found[0].distance == pytest.approx(1.5, abs=0)
    assert found[0].x + found[0].size >= box[2] and found[0].y + found[0].size >= box[3]


def test_patches_keep_their_order_and_need_a_distance_each():
    assert [patch.distance for patch in to_patches([[0, 0, 4, 4], [4, 4, 8, 8]], [3.0, 1.0])] == [3.0, 1.0]
    with pytest.raises(ValueError, match="shorter"):
        to_patches([[0, 0, 4, 4], [4, 4, 8, 8]], [3.0])


@pytest.mark.parametrize(
    ("score", "verdict"),
    [(0.4, "abnormal"), (np.nextafter(0.4, 0), "normal"), (np.nextafter(0.4, 1), "abnormal"), (0.0, "normal")],
)
def test_a_score_at_the_threshold_is_abnormal(score, verdict):
    assert decide(float(score), 0.4) == verdict


def test_a_verdict_as_json(tmp_path):
    file = grey_file(tmp_path / "part.png", 153)  # 153 / 255 = 0.6
    found = mean_inspector().inspect(file).to_json()
    assert found["score"] == pytest.approx(0.6, abs=1e-7)
    assert json.loads(json.dumps(found)) == {
        "path": str(file),
        "verdict": "abnormal",
        "score": found["score"],
        "probability": None,
        "threshold": 0.4,
        "patches": [{"x": 8, "y": 12, "size": 8, "distance": 2.5}, {"x": 0, "y": 4, "size": 8, "distance": 0.25}],
        "model": {"name": "zeromiss-toy", "version": "7"},
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "width": 32,
        "height": 32,
        "to_file": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
    }


def test_an_array_is_judged_as_its_file_is(tmp_path):
    file = grey_file(tmp_path / "part.png", 51)
    from_file = mean_inspector().inspect(file)
    from_array = mean_inspector().inspect_image(np.full((3, SIZE, SIZE), np.float32(51) / np.float32(255)))
    assert from_array.score == pytest.approx(from_file.score, abs=0)
    assert (from_array.verdict, from_array.model, from_array.path) == ("normal", MODEL, "")
    assert from_array.patches[0] == Patch(x=8, y=12, size=8, distance=2.5)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((SIZE, SIZE, 3)), r"shape \(32, 32, 3\) cannot be judged: it must be \(3, 32, 32\)"),
        (np.full((3, SIZE, SIZE), 255.0), r"values outside \[0, 1\]"),
        (np.full((3, SIZE, SIZE), np.nan), r"values outside \[0, 1\]"),
    ],
)
def test_an_array_that_is_no_image_is_refused(image, message):
    with pytest.raises(ZeromissError, match=message):
        mean_inspector().inspect_image(image)


def test_a_score_that_is_no_number_is_refused():
    class Strange:
        def predict_proba(self, features):
            return np.array([[0.0, np.nan]])

    with pytest.raises(ZeromissError, match="a probability that is no number"):
        mean_inspector(classifier=Strange()).score({"mean": 0.1})


@pytest.mark.parametrize(("features", "message"), [({"other": 1.0}, "lack mean"), ({"mean": np.inf}, "mean is not a finite number")])
def test_measurements_that_do_not_fit_are_refused(features, message):
    with pytest.raises(ZeromissError, match=message):
        mean_inspector().score(features)


def test_a_feature_that_is_not_finite_never_becomes_normal(tmp_path):
    class Broken(MeanMeasurer):
        def measure(self, image_CHW, features=None, context=None):
            found = super().measure(image_CHW)
            found.features["mean"] = float("nan")
            return found

    with pytest.raises(ZeromissError, match="cannot be judged"):
        mean_inspector(measurer=Broken()).inspect(grey_file(tmp_path / "part.png", 0))
