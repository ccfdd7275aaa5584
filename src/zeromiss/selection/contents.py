"""What a fitted classifier that was read from a file may hold: exact classes, trees whose indices stay inside, numbers that judge.

A file of trusted types alone may still hold a dummy that calls everything normal, or a tree whose child lies outside its
memory, which kills the process. Nothing that fails here is ever asked for a verdict.
"""

import json
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

_OWN, _SKLEARN = "zeromiss.selection.", "sklearn."
STEP_CLASSES = {
    "residual": {f"{_OWN}residuals.ResidualLogOdds"},
    "constant": {f"{_OWN}preprocess.DropConstant"},
    "tails": {f"{_OWN}preprocess.DrawTailsIn"},
    "correlated": {f"{_OWN}preprocess.DropCorrelated", f"{_OWN}preprocess.KeepBest"},
    "scale": {f"{_OWN}preprocess.UnitScale"},
}
_TREE, _RANDOM = f"{_SKLEARN}tree._tree.Tree", "numpy.random.mtrand.RandomState"
_TREE_CLASSIFIER, _TREE_REGRESSOR = f"{_SKLEARN}tree._classes.DecisionTreeClassifier", f"{_SKLEARN}tree._classes.DecisionTreeRegressor"
_EXTRA_TREE = f"{_SKLEARN}tree._classes.ExtraTreeClassifier"
FAMILY_CLASSES = {  # the classifier's own class, then those of the objects inside it
    "dt": (_TREE_CLASSIFIER, _TREE),
    "rf": (f"{_SKLEARN}ensemble._forest.RandomForestClassifier", _TREE_CLASSIFIER, _TREE),
    "et": (f"{_SKLEARN}ensemble._forest.ExtraTreesClassifier", _EXTRA_TREE, _TREE),
    "ada": (f"{_SKLEARN}ensemble._weight_boosting.AdaBoostClassifier", _TREE_CLASSIFIER, _TREE),
    "lightgbm": ("lightgbm.sklearn.LGBMClassifier", "lightgbm.basic.Booster", f"{_SKLEARN}preprocessing._label.LabelEncoder"),
    "gbc": (
        f"{_SKLEARN}ensemble._gb.GradientBoostingClassifier", _TREE_REGRESSOR, _TREE, _RANDOM, f"{_SKLEARN}dummy.DummyClassifier",
        f"{_SKLEARN}_loss.loss.HalfBinomialLoss", f"{_SKLEARN}_loss._loss.CyHalfBinomialLoss", f"{_SKLEARN}_loss.link.LogitLink",
        f"{_SKLEARN}_loss.link.Interval",
    ),
    "xgboost": ("xgboost.sklearn.XGBClassifier", "xgboost.core.Booster"),
    "lr": (f"{_SKLEARN}linear_model._logistic.LogisticRegression",),
    "knn": (f"{_SKLEARN}neighbors._classification.KNeighborsClassifier",),
    "nb": (f"{_SKLEARN}naive_bayes.GaussianNB",),
    "lda": (f"{_SKLEARN}discriminant_analysis.LinearDiscriminantAnalysis",),
    "qda": (f"{_SKLEARN}discriminant_analysis.QuadraticDiscriminantAnalysis",),
    "wmw": (f"{_OWN}wmw.WMWClassifier",),
    "nnlr": (f"{_OWN}nonnegative.NonNegativeLogistic",),
}  # fmt: skip
_BY_CLASS = {classes[0]: (family, frozenset(classes)) for family, classes in FAMILY_CLASSES.items()}
_VOTE_CLASS = f"{_OWN}vote.SoftVote"
_PLAIN = (type(None), bool, int, float, str, bytes, np.generic, type)


class UnsoundError(ValueError):
    """A classifier's content is not what its family writes: what, in a clause."""


def check_contents(pipeline: Pipeline) -> None:
    """Raise UnsoundError unless each step is of its class, every tree is sound, and a row of zeros gets two probabilities."""
    if type(pipeline) is not Pipeline or pipeline.memory is not None:
        raise UnsoundError(f"is a {_name(pipeline)} with a memory, not a plain pipeline")
    _refuse_hidden_methods(pipeline)
    for step, part in pipeline.steps[:-1]:
        if _name(part) not in STEP_CLASSES[step]:
            raise UnsoundError(f"has {_name(part)} as the step {step}")
        _check_objects(part, frozenset(STEP_CLASSES[step]))
    _check_classifier(pipeline.steps[-1][1])
    _probe(pipeline)


def _check_classifier(classifier: Any) -> None:
    """Check a classifier of one family, or each of a vote's."""
    if _name(classifier) == _VOTE_CLASS:
        _refuse_hidden_methods(classifier)
        for part in (*classifier.estimators_, *classifier.estimators):
            if _name(part) == _VOTE_CLASS:
                raise UnsoundError("has a vote inside a vote")
        _check_classes(classifier)
        for part in classifier.estimators_:
            _check_classifier(part)
        return
    if _name(classifier) not in _BY_CLASS:
        raise UnsoundError(f"has {_name(classifier)} as its classifier, which is of no family")
    family, allowed = _BY_CLASS[_name(classifier)]
    _check_classes(classifier)
    for part in _check_objects(classifier, allowed):
        if _name(part) == _TREE:
            _check_tree(part)
    if family == "lightgbm":
        _check_lightgbm(classifier._Booster, classifier._n_features)
    elif family == "xgboost":
        _check_xgboost(classifier.get_booster())
    elif family in ("dt", "rf", "et", "ada", "gbc"):
        _check_forest(classifier, family)


def _check_classes(classifier: Any) -> None:
    """Raise UnsoundError unless the classes are 0 (normal) and 1 (defect), in this order."""
    classes = np.asarray(classifier.classes_)
    if classes.shape != (2,) or classes.tolist() != [0, 1]:
        raise UnsoundError(f"knows the classes {classes.tolist()}, not 0 (normal) and 1 (defect)")


def _check_objects(root: Any, allowed: frozenset[str]) -> list[Any]:
    """Return all objects in `root`, itself included, that are no plain values; raise UnsoundError for one of another class."""
    found = list(_objects(root))
    for one in found:
        if _name(one) not in allowed:
            raise UnsoundError(f"holds {_name(one)} where its family has none")
        _refuse_hidden_methods(one)
    return found


def _objects(root: Any) -> Iterator[Any]:
    """Yield each object that can be reached from `root` and is neither a plain value nor a container, once."""
    waiting, seen = [root], set()
    while waiting:
        one = waiting.pop()
        if isinstance(one, _PLAIN) or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            waiting += list(one)
        elif isinstance(one, np.ndarray):
            waiting += one.ravel().tolist() if one.dtype == object else []
        else:
            yield one
            if _name(one).startswith((_SKLEARN, _OWN, "lightgbm.sklearn", "xgboost.sklearn")):
                waiting += list(getattr(one, "__dict__", {}).values())


def _refuse_hidden_methods(one: Any) -> None:
    """Raise UnsoundError where an attribute of an object takes the place of a method of its class."""
    for name in getattr(one, "__dict__", {}):
        if callable(getattr(type(one), name, None)) or name == "__class__":
            raise UnsoundError(f"holds a {type(one).__name__} whose {name} is not its class's own")


def _check_forest(classifier: Any, family: str) -> None:
    """Raise UnsoundError unless every tree judges the columns that the whole does, with outputs of the right kind."""
    trees = [classifier] if family == "dt" else list(np.ravel(np.asarray(classifier.estimators_, dtype=object)))
    outputs = 1 if family == "gbc" else 2
    kind = {"dt": _TREE_CLASSIFIER, "rf": _TREE_CLASSIFIER, "et": _EXTRA_TREE, "ada": _TREE_CLASSIFIER, "gbc": _TREE_REGRESSOR}[family]
    if not trees:
        raise UnsoundError("has no tree")
    for tree in trees:
        if _name(tree) != kind:
            raise UnsoundError(f"has {_name(tree)} among its trees")
        if family != "gbc":
            _check_classes(tree)
        whole = tree.tree_
        if (whole.n_features, whole.n_outputs, whole.max_n_classes) != (classifier.n_features_in_, 1, outputs) or tree.n_features_in_ != whole.n_features:
            raise UnsoundError(f"has a tree of {whole.n_features} columns and {whole.max_n_classes} values, it judges {classifier.n_features_in_}")
    if family == "gbc" and _name(classifier.init_) == f"{_SKLEARN}dummy.DummyClassifier" and classifier.init_.strategy != "prior":
        raise UnsoundError("begins with a guess that is not the classes' share")


def _check_tree(tree: Any) -> None:
    """Raise UnsoundError unless a scikit-learn tree's nodes lie in its memory, each reached once, and its columns exist."""
    if not 1 <= tree.node_count <= tree.capacity:
        raise UnsoundError(f"has a tree that claims {tree.node_count} nodes and holds {tree.capacity}")
    left_N, right_N, feature_N = tree.children_left, tree.children_right, tree.feature
    _check_nodes(left_N, right_N, feature_N, tree.n_features)
    inside_N = left_N >= 0
    if not np.isfinite(tree.value).all() or not np.isfinite(tree.threshold[inside_N]).all():
        raise UnsoundError("has a tree with values that are no numbers")


def _check_nodes(left_N: np.ndarray, right_N: np.ndarray, feature_N: np.ndarray, features: int) -> None:
    """Raise UnsoundError unless children lie inside, no node has two parents, and columns exist.

    A leaf has -1 on both sides. The root is nobody's child and no node has two parents, so a walk from the root meets no node twice.
    """
    left_N, right_N, feature_N = (np.asarray(values, dtype=np.int64) for values in (left_N, right_N, feature_N))
    inside_N = left_N != -1
    if not len(left_N) == len(right_N) == len(feature_N) or (inside_N != (right_N != -1)).any():
        raise UnsoundError("has a tree with a node of one child")
    children = np.concatenate([left_N[inside_N], right_N[inside_N]])
    if children.size and (children.min() < 1 or children.max() >= len(left_N)):
        raise UnsoundError(f"has a tree whose child lies outside its {len(left_N)} nodes")
    if len(np.unique(children)) != len(children):
        raise UnsoundError("has a tree in which a node has two parents")
    if inside_N.any() and (feature_N[inside_N].min() < 0 or feature_N[inside_N].max() >= features):
        raise UnsoundError(f"has a tree that asks for a column outside its {features}")


def _check_lightgbm(booster: Any, features: int) -> None:
    """Raise UnsoundError unless LightGBM's trees are numerical and their nodes lie inside."""
    text = booster.model_to_string(num_iteration=-1)
    head, *trees = text.split("\nTree=")
    facts = _lines(head)
    if facts.get("num_class") != "1" or facts.get("num_tree_per_iteration") != "1" or not facts.get("objective", "").startswith("binary"):
        raise UnsoundError("is no LightGBM model of two classes")
    if int(facts["max_feature_idx"]) + 1 != features:
        raise UnsoundError(f"is a LightGBM model of {int(facts['max_feature_idx']) + 1} columns, it judges {features}")
    for tree in trees:
        facts = _lines(tree.split("\n\n")[0])
        leaves = int(facts["num_leaves"])
        if leaves < 1 or facts.get("num_cat", "0") != "0" or facts.get("is_linear", "0") != "0":
            raise UnsoundError("has a LightGBM tree of categories or lines, which no model of this program has")
        listed = (np.array(facts.get(name, "").split(), dtype=np.int64) for name in ("left_child", "right_child", "split_feature", "decision_type"))
        left, right, column, kind = listed
        if leaves > 1:
            if not len(left) == len(right) == len(column) == len(kind) == leaves - 1 or (kind & 1).any():
                raise UnsoundError("has a LightGBM tree whose lists of nodes differ in length")
            inner = leaves - 1  # a negative child -1 - k is leaf k: laid behind the inner nodes, all nodes are numbered alike
            places = [np.where(side >= 0, side, inner - 1 - side) for side in (left, right)]
            bad = [(side >= inner) | (side < -leaves) for side in (left, right)]
            if bad[0].any() or bad[1].any():
                raise UnsoundError(f"has a LightGBM tree whose child lies outside its {leaves} leaves")
            padding = np.full(leaves, -1)
            _check_nodes(*(np.concatenate([place, padding]) for place in places), np.concatenate([column, padding]), features)


def _lines(text: str) -> dict[str, str]:
    """Return the lines `key=value` of a LightGBM model."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _check_xgboost(booster: Any) -> None:
    """Raise UnsoundError unless XGBoost's trees are numerical and their nodes lie inside."""
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    model = learner["gradient_booster"]
    if model["name"] != "gbtree" or learner["objective"]["name"] != "binary:logistic":
        raise UnsoundError("is no XGBoost model of trees for two classes")
    features = int(learner["learner_model_param"]["num_feature"])
    for tree in model["model"]["trees"]:
        if any(tree["split_type"]) or tree["categories_nodes"]:
            raise UnsoundError("has an XGBoost tree of categories, which no model of this program has")
        _check_nodes(tree["left_children"], tree["right_children"], tree["split_indices"], features)


def _probe(pipeline: Pipeline) -> None:
    """Raise UnsoundError unless a row of zeros gets two probabilities that add up to 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a bare array names no columns
        found_12 = np.asarray(pipeline.predict_proba(np.zeros((1, pipeline.n_features_in_))), dtype=np.float64)
    if found_12.shape != (1, 2) or not np.isfinite(found_12).all() or found_12.min() < 0.0 or abs(found_12.sum() - 1.0) > 1e-6:
        raise UnsoundError("gives a row of zeros no two probabilities that add up to 1")


def _name(one: Any) -> str:
    """Return the full name of an object's class."""
    return f"{type(one).__module__}.{type(one).__qualname__}"
