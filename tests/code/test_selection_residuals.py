"""Residual vectors become log-odds inside every fold: known answers, and attempts to make them cheat."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from zeromiss.errors import ZeromissError
from zeromiss.metrics.columns import residual_blocks
from zeromiss.selection.fit import Recipe, fit_pipeline, prepare_fold
from zeromiss.selection.folds import search_folds
from zeromiss.selection.honest import judge_outer_folds
from zeromiss.selection.residuals import C, ResidualLogOdds
from zeromiss.selection.select import select
from zeromiss.selection.source import FACTS, read_source
from zeromiss.selection.store import load_classifier, save_classifier
from zeromiss.stage_params import SelectionParams

PARTS, COLUMNS = 60, 40
PARAMS = SelectionParams(families=("lr",), draws=1, folds=2, outer_folds=2, outer_repeats=1, jobs=1)


class PlainFit(ResidualLogOdds):
    """What the step must not be: it hands training rows the log-odds of a model that has seen them."""

    def fit_transform(self, X, y=None, groups=None):
        return self.fit(X, y).transform(X)


class ByImage(ResidualLogOdds):
    """What the step must not be either: cross-fitted, but images of one part lie on both sides."""

    def fit_transform(self, X, y=None, groups=None):
        return super().fit_transform(X, y)


def noise(seed: int = 0, photographs: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return residual columns, labels that have nothing to do with them, and parts; a part is photographed several times."""
    random = np.random.default_rng(seed)
    y_N = np.repeat(random.permutation(np.arange(PARTS) % 2), photographs)
    X_NF = np.repeat(random.normal(size=(PARTS, COLUMNS)), photographs, axis=0)
    return X_NF + 0.01 * random.normal(size=X_NF.shape), y_N, np.repeat(np.arange(PARTS), photographs).astype(str)


def training_auroc(kind: type[ResidualLogOdds], *, photographs: int) -> float:
    """Return the mean AUROC, over four draws, of what a classifier is trained on; the labels mean nothing, so 0.5 is right."""
    found = []
    for seed in range(4):
        X_NF, y_N, part_N = noise(seed, photographs)
        found.append(roc_auc_score(y_N, kind({"a": list(range(COLUMNS))}, c=0.1).fit_transform(X_NF, y_N, part_N)[:, 0]))
    return float(np.mean(found))


@pytest.mark.parametrize("photographs", [1, 3])
def test_training_rows_do_not_tell_their_own_labels(photographs: int) -> None:
    """Labels that mean nothing stay at chance, also where a part has several photographs; both wrong ways give themselves away."""
    assert training_auroc(ResidualLogOdds, photographs=photographs) == pytest.approx(0.5, abs=0.1)
    assert training_auroc(PlainFit, photographs=photographs) > 0.9


def test_photographs_of_a_part_gain_nothing() -> None:
    """Cross-fitting image by image would let a part's other photograph tell its label."""
    assert training_auroc(ByImage, photographs=3) > 0.8


def metric_table(seed: int, *, useful: float = 0.0, photographs: int = 1) -> pd.DataFrame:
    """Return a metric table with one map statistic, `useful` apart, and residual columns of noise."""
    X_NF, y_N, part_N = noise(seed, photographs)
    random = np.random.default_rng(seed + 100)
    facts = dict.fromkeys(FACTS, "") | {"path": np.arange(len(y_N)).astype(str), "native_score": 0.0, "part_id": part_N}
    facts["label"] = np.where(y_N == 1, "defect", "normal")
    columns = {"a.map.m.q99": random.normal(size=len(y_N)) + useful * y_N}
    return pd.DataFrame(facts | columns | {f"a.residual.{number:03d}": X_NF[:, number] for number in range(COLUMNS)})


def nested_auroc(**table: float) -> float:
    """Return the mean AUROC of nested cross-validation over three drawn tables."""
    found = []
    for seed in range(3):
        outer = judge_outer_folds(read_source(metric_table(seed, **table)), PARAMS, seed)
        found += [roc_auc_score(fold["label"] == "defect", fold["probability"]) for _, fold in outer.groupby(["repeat", "fold"])]
    return float(np.mean(found))


def test_shuffled_labels_stay_at_chance_in_nested_cross_validation() -> None:
    assert nested_auroc(photographs=2) == pytest.approx(0.5, abs=0.15)


def test_useless_residual_columns_do_not_drown_a_useful_statistic(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain fit looks perfect on the rows that train the classifier, which then listens to nothing else."""
    good = nested_auroc(useful=2.0)
    monkeypatch.setattr("zeromiss.selection.preprocess.ResidualLogOdds", PlainFit)
    assert good > 0.85
    assert nested_auroc(useful=2.0) < good - 0.07


def test_log_odds_are_those_of_scikit_learn() -> None:
    """Cross-fitted as by cross_val_predict over the same folds; the model for new rows is fitted on all."""
    random = np.random.default_rng(1)
    y_N = np.arange(80) % 2
    X_NF = np.hstack((random.normal(size=(80, 1)), random.normal(size=(80, 6)) + 0.8 * y_N[:, None]))
    step = ResidualLogOdds({"a": [1, 2, 3], "b": [4, 5, 6]}, seed=3)
    crossed_NK = step.fit_transform(X_NF, y_N)
    folds = search_folds(y_N, np.arange(80), 5, 3)
    for number, places in enumerate(([1, 2, 3], [4, 5, 6])):
        theirs = make_pipeline(StandardScaler(), LogisticRegression(C=C, class_weight="balanced"))
        expected_N = cross_val_predict(theirs, X_NF[:, places], y_N, cv=folds, method="decision_function")
        np.testing.assert_allclose(crossed_NK[:, number], expected_N, atol=1e-9)
        full_N = theirs.fit(X_NF[:, places], y_N).decision_function(X_NF[:, places])
        np.testing.assert_allclose(step.transform(X_NF)[:, number], full_N, atol=1e-9)
    assert np.array_equal(crossed_NK[:, 2], X_NF[:, 0])
    assert step.get_feature_names_out(["q", "a1", "a2", "a3", "b1", "b2", "b3"]).tolist() == ["a.residual.log_odds", "b.residual.log_odds", "q"]


def test_a_row_alone_gets_the_bits_it_has_among_others() -> None:
    X_NF, y_N, _ = noise(2)
    step = ResidualLogOdds({"a": list(range(COLUMNS))}).fit(X_NF, y_N)
    assert np.array_equal(np.vstack([step.transform(row[None]) for row in X_NF]), step.transform(X_NF))


def test_without_residual_columns_the_table_stays_as_it_is() -> None:
    X_NF, y_N, _ = noise()
    step = ResidualLogOdds()
    assert np.array_equal(step.fit_transform(X_NF, y_N), X_NF) and np.array_equal(step.transform(X_NF), X_NF)


def test_residual_columns_are_found_by_their_names() -> None:
    names = ["a.residual.000", "a.map.residual.q99", "b.residual.000", "a.residual.001", "a.residual.log_odds", "residual.000"]
    assert residual_blocks(names) == {"a": [0, 3], "b": [2]}


def test_one_part_of_a_class_cannot_be_cross_fitted() -> None:
    X_NF, _, _ = noise()
    with pytest.raises(ZeromissError, match="one class has 1 part to train on: add parts"):
        ResidualLogOdds({"a": [0, 1]}).fit_transform(X_NF, np.arange(PARTS) < 2, np.maximum(np.arange(PARTS), 1))


def test_a_fold_without_parts_is_refused() -> None:
    """Whoever forgets the parts would cross-fit image by image."""
    table = metric_table(0).drop(columns=list(FACTS))
    recipe = Recipe(correlation=0.95, smote_neighbours=None, seed=0, columns=tuple(table.columns))
    fold = (np.arange(40), np.arange(40, PARTS))
    with pytest.raises(ValueError, match="needs part_N"):
        prepare_fold(table.to_numpy(), noise(0)[1], fold, recipe)


def test_the_bundle_reads_raw_residual_columns_and_gives_the_same_bits(tmp_path: Path) -> None:
    """A round trip through skops; the columns that a classifier file asks for are the table's own."""
    table, (_, y_N, part_N) = metric_table(0, useful=2.0).drop(columns=list(FACTS)), noise(0)
    recipe = Recipe(correlation=0.95, smote_neighbours=None, seed=0, columns=tuple(table.columns))
    before = fit_pipeline("lr", {"C": 1.0}, table, y_N, recipe, part_N)
    save_classifier(tmp_path / "classifier.skops", before)
    after = load_classifier(tmp_path / "classifier.skops")
    assert np.array_equal(before.predict_proba(table), after.predict_proba(table))
    assert list(after.feature_names_in_) == list(table.columns)
    assert after[:-1].get_feature_names_out(list(table.columns)).tolist() == ["a.residual.log_odds", "a.map.m.q99"]


def test_the_selection_uses_the_residual_vector() -> None:
    """Defects that differ in one direction of forty, up or down for normal parts alike in size: the map says nothing, the vector all."""
    table = metric_table(5)
    defect_N = (table["label"] == "defect").to_numpy()
    table["a.residual.007"] = np.where(defect_N, 3.0, -3.0) + 0.1 * table["a.residual.007"]
    found = select(read_source(table), PARAMS, 0, pool="folds")
    assert found.judgements["lr"].image_auroc > 0.9
