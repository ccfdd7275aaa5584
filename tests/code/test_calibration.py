"""Reliability, Brier scores, curves and the shift of prior odds: by hand, against scikit-learn, and on drawn scores."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import binomtest, ttest_1samp
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from tests.inspection_parts import MODEL, SIZE, MeanClassifier, MeanMeasurer, grey_file, mean_inspector
from zeromiss.errors import ZeromissError
from zeromiss.inspection.batch import inspect_paths
from zeromiss.inspection.bundle import BundleRecord
from zeromiss.inspection.calibration import CalibrationRecord
from zeromiss.inspection.inspector import Inspector
from zeromiss.selection.calibration import brier_difference, calibrate, fit_curve, reliability
from zeromiss.selection.curve import Curve, shift_share


def drawn(images: int, *, slope: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of defects with the probability q, scores whose log-odds are `slope` times those of q, parts of two images."""
    rng = np.random.default_rng(seed)
    logit_N = rng.normal(0.0, 2.0, images)
    y_N = (rng.uniform(size=images) < expit(logit_N)).astype(int)
    return y_N, expit(slope * logit_N), np.array([f"p{number // 2}" for number in range(images)])


def test_scores_that_are_probabilities_are_kept() -> None:
    found = calibrate(*drawn(600, slope=1.0), folds=5, seed=0)
    assert found["method"] is None and found["helps"] is False and found["x"] == found["y"] == []
    assert found["difference"]["high"] >= 0.0
    assert found["sentence"].startswith("The raw score is kept: a sigmoid curve changes its Brier score of ")
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(("images", "method"), [(600, "sigmoid"), (1200, "isotonic")])
@pytest.mark.parametrize("slope", [0.25, 4.0])
def test_scores_too_shy_or_too_sure_are_calibrated(images: int, method: str, slope: float) -> None:
    y_N, score_N, part_N = drawn(images, slope=slope)
    found = calibrate(y_N, score_N, part_N, folds=5, seed=0)
    assert (found["method"], found["helps"]) == (method, True)
    assert found["brier_raw"] == pytest.approx(brier_score_loss(y_N, score_N))
    assert found["difference"]["mean"] == pytest.approx(found["brier_calibrated"] - found["brier_raw"])
    assert found["difference"]["low"] < found["difference"]["mean"] < found["difference"]["high"] < 0.0
    truth = brier_score_loss(y_N, expit(np.log(score_N / (1 - score_N)) / slope))  # of the probabilities that drew the labels
    assert found["brier_calibrated"] == pytest.approx(truth, abs=0.015)  # five curves, of four fifths each
    assert np.all(np.diff(found["x"]) > 0) and np.all(np.diff(found["y"]) >= 0) and 0.0 < min(found["y"]) <= max(found["y"]) < 1.0
    assert f"it is the probability at the table's share of defects, {100 * y_N.mean():.3g} %, not at the line's." in found["sentence"]


def test_an_image_is_judged_by_no_curve_that_saw_its_part() -> None:
    """Scores that say nothing, labels that follow the part: seen, the part would give its images away."""
    rng = np.random.default_rng(3)
    part_N = np.repeat([f"p{number}" for number in range(300)], 4)
    score_N, y_N = np.repeat(rng.uniform(size=300), 4), np.repeat(rng.integers(0, 2, 300), 4)  # 1,200 images: steps, which learn by heart
    honest = calibrate(y_N, score_N, part_N, folds=5, seed=0)
    seen = calibrate(y_N, score_N, np.arange(1200).astype(str), folds=5, seed=0)
    assert honest["brier_calibrated"] > 0.25 > seen["brier_calibrated"]


def test_a_curve_of_few_parts_is_refused() -> None:
    with pytest.raises(ZeromissError, match=r"selection\.folds is 5, but the defects come from 2 parts"):
        calibrate(np.array([0] * 10 + [1] * 2), np.linspace(0, 1, 12), np.arange(12).astype(str), folds=5, seed=0)


def test_the_sigmoid_is_that_of_scikit_learn() -> None:
    y_N, score_N, _ = drawn(400, slope=0.4)

    class Given(LogisticRegression):
        """Hands out the scores that it is given, as margins."""

        def decision_function(self, X):
            return X[:, 0]

    margin = FrozenEstimator(Given().fit(score_N[:, None], y_N))
    theirs = CalibratedClassifierCV(margin, method="sigmoid", ensemble=False).fit(score_N[:, None], y_N)
    at = np.linspace(0.0, 1.0, 101)
    np.testing.assert_allclose(fit_curve(y_N, score_N, "sigmoid").at(at), theirs.predict_proba(at[:, None])[:, 1], atol=2e-4)


def test_a_curve_never_falls_nor_reaches_certainty() -> None:
    score_N = np.linspace(0.0, 1.0, 20)
    against = fit_curve((score_N < 0.5).astype(int), score_N, "sigmoid")
    assert set(against.y) == {0.5}  # the share of defects
    parted = fit_curve((score_N > 0.5).astype(int), score_N, "isotonic")
    assert parted.at(np.array([0.0, 1.0])).tolist() == [1 / 22, 21 / 22]


def test_the_difference_is_a_paired_t_interval_where_each_part_is_one_image() -> None:
    rng = np.random.default_rng(5)
    y_N, raw_N, other_N = rng.integers(0, 2, 80), rng.uniform(size=80), rng.uniform(size=80)
    found = brier_difference(y_N, raw_N, other_N, np.arange(80))
    gain_N = (other_N - y_N) ** 2 - (raw_N - y_N) ** 2
    interval = ttest_1samp(gain_N, 0.0).confidence_interval(0.95)
    assert [found[key] for key in ("mean", "low", "high")] == pytest.approx([gain_N.mean(), interval.low, interval.high])
    doubled = brier_difference(np.tile(y_N, 2), np.tile(raw_N, 2), np.tile(other_N, 2), np.tile(np.arange(80), 2))
    assert doubled == pytest.approx(found)  # two equal images of a part are no more evidence than one


def test_the_reliability_curve_by_hand_and_against_scikit_learn() -> None:
    y_N, score_N, _ = drawn(300, slope=0.5)
    found = reliability(y_N, score_N)
    share, mean = calibration_curve(y_N, score_N, n_bins=10, strategy="uniform")
    assert [one["share_defects"] for one in found] == pytest.approx(share)
    assert [one["mean_score"] for one in found] == pytest.approx(mean)
    assert sum(one["n"] for one in found) == 300
    for one in found:
        wilson = binomtest(round(one["share_defects"] * one["n"]), one["n"]).proportion_ci(0.95, "wilson")
        assert (one["share_low"], one["share_high"]) == (wilson.low, wilson.high)
    few = reliability(np.array([0, 1, 1]), np.array([0.1, 0.15, 1.0]))
    assert [(one["low"], one["high"], one["n"], one["share_defects"]) for one in few] == [(0.1, 0.2, 2, 0.5), (0.9, 1.0, 1, 1.0)]
    # Wilson by hand, 1 of 1: from 1 / (1 + 1.96^2) to 1
    assert (few[1]["share_low"], few[1]["share_high"]) == (pytest.approx(1 / (1 + 1.959964**2), abs=1e-6), pytest.approx(1.0))


def test_the_shift_of_prior_odds_by_hand() -> None:
    # odds 3 (0.75) at a share of one half; on a line with 1 defect in 5 the prior odds are a quarter: 3 / 4, so 3 / 7
    assert shift_share(0.75, known=0.5, line=0.2) == pytest.approx(3 / 7)
    assert shift_share(0.75, known=0.3, line=0.3) == pytest.approx(0.75)
    assert shift_share(shift_share(0.6, known=0.5, line=0.01), known=0.01, line=0.5) == pytest.approx(0.6)


def test_the_shift_holds_when_only_the_share_changes() -> None:
    """Scores from two normal distributions, drawn at half and at one tenth: the shifted curve is reliable on the second."""
    rng = np.random.default_rng(8)

    def draw(defects: int, normals: int) -> tuple[np.ndarray, np.ndarray]:
        margin_N = np.concatenate((rng.normal(1.0, 1.0, defects), rng.normal(-1.0, 1.0, normals)))
        return np.repeat([1, 0], [defects, normals]), expit(margin_N)

    curve = fit_curve(*draw(10_000, 10_000), "isotonic")
    y_N, score_N = draw(2_000, 18_000)
    shifted_N = np.array([shift_share(float(value), known=0.5, line=0.1) for value in curve.at(score_N)])
    assert shifted_N.mean() == pytest.approx(0.1, abs=0.005)
    assert brier_score_loss(y_N, shifted_N) < brier_score_loss(y_N, curve.at(score_N)) - 0.02


CURVE = CalibrationRecord(method="sigmoid", x=(0.0, 0.5, 1.0), y=(0.1, 0.2, 0.8), table_share=0.5)


def calibrated(record: CalibrationRecord | None) -> Inspector:
    """An inspector whose score is the mean brightness."""
    return Inspector(
        measurer=MeanMeasurer(), classifier=MeanClassifier(), features=("mean",), threshold=0.4, size=SIZE, model=MODEL, calibration=record
    )


def test_a_verdict_carries_the_probability_and_never_uses_it(tmp_path) -> None:
    file = grey_file(tmp_path / "part.png", 153)  # a score of 0.6: a fifth of the way from 0.2 to 0.8
    found = calibrated(CURVE).inspect(file)
    assert found.probability == pytest.approx(0.32, abs=1e-6)
    assert list(found.to_json())[2:5] == ["score", "probability", "threshold"]
    assert replace(found, probability=None) == mean_inspector().inspect(file)
    assert calibrated(CURVE.model_copy(update={"y": (0.0, 0.0, 0.0)})).inspect(file).verdict == "abnormal"
    shifted = calibrated(CURVE.model_copy(update={"line_share": 0.2})).inspect(file)
    assert shifted.probability == pytest.approx(0.32 * 0.25 / (0.32 * 0.25 + 0.68), abs=1e-6)
    assert (shifted.score, shifted.verdict) == (found.score, found.verdict)


def test_the_table_of_verdicts_has_the_probability(tmp_path) -> None:
    files = [grey_file(tmp_path / "a.png", 153), grey_file(tmp_path / "b.png", 153, size=16)]
    inspect_paths(calibrated(CURVE), files, out=tmp_path / "out", progress=False)
    table = pd.read_parquet(tmp_path / "out" / "verdicts.parquet")
    assert list(table.columns[2:5]) == ["score", "probability", "threshold"]
    assert table["probability"][0] == pytest.approx(0.32, abs=1e-6) and pd.isna(table["probability"][1])
    inspect_paths(calibrated(None), files[:1], out=tmp_path / "out", progress=False)
    assert pd.read_parquet(tmp_path / "out" / "verdicts.parquet")["probability"].isna().all()


def test_a_bundle_keeps_its_curve_or_has_none() -> None:
    record = {
        "product": "toy", "size": 64, "seed": 0, "metrics": {}, "features": ["mean"], "detectors": ["vqgan"], "versions": {}, "files": {},
        "threshold": {"value": 0.5, "rule": "zfn", "statement": "it lies there"}, "backbone": {"name": "x", "fingerprint": "y"},
    }  # fmt: skip
    assert BundleRecord.model_validate(record).calibration is None
    kept = BundleRecord.model_validate(record | {"calibration": CURVE.model_dump()})
    assert BundleRecord.model_validate_json(kept.model_dump_json()).calibration == CURVE


def test_a_curve_is_level_beyond_its_ends() -> None:
    assert Curve(x=(0.2, 0.4), y=(0.3, 0.5)).at(np.array([0.0, 0.3, 1.0])).tolist() == pytest.approx([0.3, 0.4, 0.5])
