"""The classifier's file: bit-equal after a round trip, and nothing else is read."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline

from zeromiss.errors import ZeromissError
from zeromiss.selection.draws import draw_parameters
from zeromiss.selection.families import FAMILY
from zeromiss.selection.fit import Recipe, fit_pipeline
from zeromiss.selection.preprocess import build_preprocessing
from zeromiss.selection.store import load_classifier, save_classifier
from zeromiss.stage_params import FAMILIES

RECIPE = Recipe(correlation=0.95, smote_neighbours=None, seed=0)


class Stranger(GaussianNB):
    """A classifier that no family is made of."""


def _table() -> tuple[pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(0)
    y_N = np.repeat([0, 1], 20)
    return pd.DataFrame(random.normal(size=(40, 5)) + y_N[:, None], columns=[f"vqgan.image.c{n}" for n in range(5)]), y_N


@pytest.mark.parametrize("family", FAMILIES)
def test_a_round_trip_is_bit_equal(family: str, tmp_path: Path) -> None:
    """Every family, two draws: the same probabilities to the last bit, also on rows never seen."""
    table, y_N = _table()
    unseen = table * 1.7 - 0.3
    for params in draw_parameters(FAMILY[family].space(6), 2, 0):
        before = fit_pipeline(family, params, table, y_N, RECIPE)
        save_classifier(tmp_path / "classifier.skops", before)
        after = load_classifier(tmp_path / "classifier.skops")
        assert np.array_equal(before.predict_proba(table), after.predict_proba(table))
        assert np.array_equal(before.predict_proba(unseen), after.predict_proba(unseen))
        assert list(after.feature_names_in_) == list(table.columns)


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    """It is never opened as one."""
    path = tmp_path / "classifier.skops"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ZeromissError, match="is no skops file"):
        load_classifier(path)


def test_an_untrusted_type_is_refused_when_read(tmp_path: Path) -> None:
    """The sentence names it."""
    table, y_N = _table()
    pipeline = Pipeline([*build_preprocessing(0.95).steps, ("classifier", Stranger())]).fit(table, y_N)
    path = tmp_path / "classifier.skops"
    skops.io.dump(pipeline, path)
    with pytest.raises(ZeromissError, match="Stranger, which no family of classifiers needs"):
        load_classifier(path)


def test_an_untrusted_type_is_refused_when_written(tmp_path: Path) -> None:
    """And nothing is left behind."""
    table, y_N = _table()
    pipeline = Pipeline([*build_preprocessing(0.95).steps, ("classifier", Stranger())]).fit(table, y_N)
    with pytest.raises(ZeromissError, match="Stranger"):
        save_classifier(tmp_path / "classifier.skops", pipeline)
    assert list(tmp_path.iterdir()) == []


def test_types_of_two_families_together_are_refused(tmp_path: Path) -> None:
    """Each family's few types are trusted for it alone."""
    both = {
        "a": fit_pipeline("dt", {}, *_table(), RECIPE),
        "b": fit_pipeline("lightgbm", {"n_estimators": 2}, *_table(), RECIPE),
    }
    path = tmp_path / "classifier.skops"
    skops.io.dump(both, path)
    with pytest.raises(ZeromissError, match="which no family of classifiers needs"):
        load_classifier(path)


def test_another_kind_of_object_is_refused(tmp_path: Path) -> None:
    """Trusted types in a shape that is no pipeline of ours."""
    path = tmp_path / "classifier.skops"
    skops.io.dump(CalibratedClassifierCV(GaussianNB()), path)
    with pytest.raises(ZeromissError, match="holds no pipeline of residual, constant, tails, correlated, scale, classifier"):
        load_classifier(path)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    """Half a file is no classifier."""
    path = tmp_path / "classifier.skops"
    save_classifier(path, fit_pipeline("nb", {}, *_table(), RECIPE))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ZeromissError, match="is no skops file"):
        load_classifier(path)


def test_a_missing_file_says_which_stage_writes_it(tmp_path: Path) -> None:
    """One sentence, with the remedy."""
    with pytest.raises(ZeromissError, match="cannot be read .*run the selection stage"):
        load_classifier(tmp_path / "classifier.skops")
