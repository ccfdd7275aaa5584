"""What a classifier's file may hold: each hostile content is refused in a sentence, before it is asked for a verdict."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from lightgbm import Booster as LightgbmBooster
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.tree._tree import Tree
from xgboost import Booster as XgboostBooster

from zeromiss.errors import ZeromissError
from zeromiss.selection import store
from zeromiss.selection.fit import Recipe, fit_pipeline
from zeromiss.selection.store import load_classifier

RECIPE = Recipe(correlation=0.95, smote_neighbours=None, seed=0)
FAR = 1 << 40


def table():
    random, y_N = np.random.default_rng(0), np.repeat([0, 1], 30)
    return pd.DataFrame(random.normal(size=(60, 4)) + y_N[:, None], columns=[f"vqgan.image.c{n}" for n in range(4)]), y_N


def fitted(family, **params):
    return fit_pipeline(family, params, *table(), RECIPE)


def refusal(pipeline, tmp_path):
    """Write a file as an attacker does, read it, and return the sentence without its path."""
    path = Path(tmp_path) / "classifier.skops"
    skops.io.dump(pipeline, path)
    with pytest.raises(ZeromissError) as told:
        load_classifier(path)
    return str(told.value).removeprefix(f"{path} ")


def changed_tree(tree, **columns):
    """Return a tree with a column of its nodes replaced at the root."""
    state = tree.__getstate__()
    nodes = state["nodes"].copy()
    for name, value in columns.items():
        nodes[name][0] = value
    copy = Tree(tree.n_features, np.array([2], dtype=np.intp), 1)
    copy.__setstate__(state | {"nodes": nodes})
    return copy


def test_a_dummy_that_calls_everything_normal_is_refused(tmp_path):
    pipeline = fitted("nb")
    pipeline.steps[-1] = ("classifier", DummyClassifier(strategy="constant", constant=0).fit(*table()))
    assert "DummyClassifier as its classifier, which is of no family" in refusal(pipeline, tmp_path)


def test_a_step_of_another_class_is_refused(tmp_path):
    pipeline = fitted("nb")
    pipeline.steps[-2] = ("scale", StandardScaler().fit(np.zeros((3, 4))))
    assert "StandardScaler as the step scale" in refusal(pipeline, tmp_path)


def test_a_pipeline_inside_the_pipeline_is_refused(tmp_path):
    pipeline = fitted("nb")
    pipeline.steps[-1] = ("classifier", Pipeline([("classifier", pipeline.steps[-1][1])]))
    assert "of no family" in refusal(pipeline, tmp_path)


def test_turned_classes_are_refused(tmp_path):
    pipeline = fitted("nb")
    pipeline.steps[-1][1].classes_ = np.array([1, 0])
    assert refusal(pipeline, tmp_path).startswith("knows the classes [1, 0], not 0 (normal) and 1 (defect)")


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"left_child": FAR}, "has a tree whose child lies outside its"),
        ({"right_child": -7}, "has a tree whose child lies outside its"),
        ({"left_child": 0}, "has a tree whose child lies outside its"),
        ({"right_child": 1, "left_child": 1}, "has a tree in which a node has two parents"),
        ({"left_child": -1}, "has a tree with a node of one child"),
        ({"feature": FAR}, "has a tree that asks for a column outside its 4"),
        ({"threshold": np.nan}, "has a tree with values that are no numbers"),
    ],
)
@pytest.mark.parametrize("family", ["dt", "rf"])
def test_a_tree_that_leaves_its_memory_is_refused(family, columns, told, tmp_path):
    pipeline = fitted(family, **({"n_estimators": 3} if family == "rf" else {}))
    classifier = pipeline.steps[-1][1]
    holder = classifier if family == "dt" else next(tree for tree in classifier.estimators_ if tree.tree_.node_count > 1)
    holder.tree_ = changed_tree(holder.tree_, **columns)
    assert refusal(pipeline, tmp_path).startswith(told)


def test_a_lightgbm_tree_that_leaves_its_memory_is_refused(tmp_path):
    pipeline = fitted("lightgbm", n_estimators=2, min_child_samples=2)
    text = pipeline.steps[-1][1]._Booster.model_to_string()
    line = next(line for line in text.splitlines() if line.startswith("left_child=") and len(line) > len("left_child="))
    first, *rest = line.removeprefix("left_child=").split()
    hostile = text.replace(line, "left_child=" + " ".join(["123456", *rest]), 1).replace("tree_sizes", "unread_sizes")
    pipeline.steps[-1][1]._Booster = LightgbmBooster(model_str=hostile)
    assert "has a LightGBM tree whose child lies outside its" in refusal(pipeline, tmp_path)


def test_an_xgboost_tree_that_leaves_its_memory_is_refused(tmp_path):
    pipeline = fitted("xgboost", n_estimators=2)
    content = json.loads(bytes(pipeline.steps[-1][1].get_booster().save_raw("json")))
    content["learner"]["gradient_booster"]["model"]["trees"][0]["split_indices"][0] = 999_999
    booster = XgboostBooster()
    booster.load_model(bytearray(json.dumps(content).encode()))
    pipeline.steps[-1][1]._Booster = booster
    assert "has a tree that asks for a column outside its 4" in refusal(pipeline, tmp_path)


def test_an_attribute_that_takes_the_place_of_a_method_is_refused(tmp_path):
    pipeline = fitted("nb")
    pipeline.steps[-1][1].predict_proba = np.cos
    assert "whose predict_proba is not its class's own" in refusal(pipeline, tmp_path)


def test_another_object_inside_a_classifier_is_refused(tmp_path):
    pipeline = fitted("nb")
    pipeline.steps[-1][1].priors = DecisionTreeClassifier()
    assert "DecisionTreeClassifier where its family has none" in refusal(pipeline, tmp_path)


def test_numbers_of_another_shape_are_refused(tmp_path):
    pipeline = fitted("lr")
    pipeline.steps[-1][1].coef_ = np.zeros((1, 3))
    assert refusal(pipeline, tmp_path).startswith("cannot judge (ValueError: ")
    pipeline = fitted("nb")
    pipeline.steps[-1][1].var_ = np.full((2, 4), np.nan)
    assert "no two probabilities that add up to 1" in refusal(pipeline, tmp_path)


def test_a_schema_nested_too_deep_and_a_zip_bomb_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "classifier.skops"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("schema.json", "[" * 200_000)
    with pytest.raises(ZeromissError, match="is no skops file"):
        load_classifier(path)
    skops.io.dump(fitted("nb"), path)
    monkeypatch.setattr(store, "LARGEST", 10_000)
    with pytest.raises(ZeromissError, match="unpacks to 0 MiB, more than the 0 of any classifier"):
        load_classifier(path)
