"""Forests and boosted trees fitted to judge one fold: scikit-learn's ensembles, tree by tree, without their overhead.

Each function takes an unfitted estimator of scikit-learn and gives the probabilities which that estimator
would give after `fit`, bit for bit. Nothing is kept of the trees. Axes: N images of the training part, M judged.
"""

from collections.abc import Sequence

import numpy as np
from sklearn._loss import HalfBinomialLoss
from sklearn.ensemble import AdaBoostClassifier, ExtraTreesClassifier, GradientBoostingClassifier, RandomForestClassifier
from sklearn.ensemble._gradient_boosting import _random_sample_mask
from sklearn.tree import DecisionTreeClassifier
from sklearn.tree._tree import Tree

from zeromiss.selection.bench import Bench
from zeromiss.selection.grow import LEAF, MOST, Grower, predicted_classes

EPSILON = float(np.finfo(np.float64).eps)


def forest_probabilities(
    forest: RandomForestClassifier | ExtraTreesClassifier, sizes: Sequence[int], bench: Bench
) -> dict[int, np.ndarray]:
    """Return the probability of a defect, (M,), that the forest gives at each of `sizes` trees.

    A smaller forest is the beginning of a larger one: the largest is grown, once.
    """
    seeds, random = np.random.RandomState(forest.random_state), np.random.RandomState()
    splitter = "random" if isinstance(forest, ExtraTreesClassifier) else "best"
    grower = _grower(forest, bench, random, criterion=forest.criterion, splitter=splitter)
    total_M2, found = np.zeros((len(bench.judged32_MF), 2)), {}
    for size in range(1, max(sizes) + 1):
        seed = seeds.randint(MOST)
        random.seed(seed)
        weight_N = _bootstrap(forest, len(bench.train_N1), random)
        random.seed(seed)
        total_M2 += grower.grow(bench.train_N1, weight_N).predict(bench.judged32_MF)
        if size in sizes:
            found[size] = (total_M2 / size)[:, 1]
    return found


def _grower(
    limits: RandomForestClassifier | ExtraTreesClassifier | DecisionTreeClassifier | GradientBoostingClassifier,
    bench: Bench,
    random: np.random.RandomState,
    *,
    criterion: str,
    splitter: str = "best",
) -> Grower:
    """Return what grows trees on the fold's training rows within the limits that an estimator sets."""
    return Grower(
        bench.train32_NF,
        random,
        criterion=criterion,
        max_features=limits.max_features,
        max_depth=limits.max_depth,
        min_samples_leaf=limits.min_samples_leaf,
        splitter=splitter,
    )


def _bootstrap(forest: RandomForestClassifier | ExtraTreesClassifier, images: int, random: np.random.RandomState) -> np.ndarray | None:
    """Return how often each image is in a tree's sample, (N,); None where a tree sees each image once."""
    if not forest.bootstrap:
        return None
    drawn = images if forest.max_samples is None else max(1, int(forest.max_samples * images))
    return np.bincount(random.randint(0, images, drawn), minlength=images).astype(np.float64)


def ada_probability(ada: AdaBoostClassifier, bench: Bench) -> np.ndarray:
    """Return AdaBoost's probability of a defect, (M,); raises ValueError when its first tree is worse than guessing."""
    base, seeds, random = ada.estimator, np.random.RandomState(ada.random_state), np.random.RandomState()
    grower = _grower(base, bench, random, criterion=base.criterion)
    defect_N = bench.train_N1[:, 0] == 1
    weight_N, trees, votes = np.full(len(defect_N), 1 / len(defect_N)), [], np.zeros(ada.n_estimators)
    for number in range(ada.n_estimators):
        random.seed(seeds.randint(MOST))
        weight_N = np.clip(weight_N, EPSILON, None)
        tree = grower.grow(bench.train_N1, weight_N)
        wrong_N = (predicted_classes(tree, bench.train32_NF) == 1) != defect_N
        error = np.average(wrong_N, weights=weight_N)
        if error >= 0.5:
            break
        trees.append(tree)
        votes[number] = ada.learning_rate * np.log((1.0 - error) / error) if error > 0 else 1.0
        if error <= 0 or number == ada.n_estimators - 1:
            break
        weight_N = np.exp(np.log(weight_N) + votes[number] * wrong_N)
        total = weight_N.sum()
        if not np.isfinite(total):
            break
        weight_N /= total
    if not trees:
        raise ValueError("the first tree of AdaBoost is no better than guessing")
    return _ada_vote(trees, votes, bench)


def _ada_vote(trees: Sequence[Tree], votes: np.ndarray, bench: Bench) -> np.ndarray:
    """Return the probability of a defect from the trees' weighted votes, (M,)."""
    classes_2 = np.array([[0], [1]])
    vote_M2 = sum(
        np.where((predicted_classes(tree, bench.judged32_MF) == classes_2).T, vote, -vote) for tree, vote in zip(trees, votes, strict=False)
    )
    vote_M2 /= votes.sum()
    return AdaBoostClassifier._compute_proba_from_decision(vote_M2[:, 1] - vote_M2[:, 0], 2)[:, 1]


def gradient_probability(boosting: GradientBoostingClassifier, bench: Bench) -> np.ndarray:
    """Return gradient boosting's probability of a defect, (M,)."""
    random, loss, label_N = np.random.RandomState(boosting.random_state), HalfBinomialLoss(), bench.train_N1[:, 0].copy()
    grower = _grower(boosting, bench, random, criterion="squared_error")
    images, judged = len(label_N), len(bench.judged32_MF)
    start = float(loss.link.link(np.clip(label_N.mean(), EPSILON, 1 - EPSILON)))
    raw_N, raw_M, seen_N = np.full(images, start), np.full(judged, start), np.ones(images, dtype=bool)
    for _ in range(boosting.n_estimators):
        if boosting.subsample < 1.0:
            seen_N = _random_sample_mask(images, max(1, int(boosting.subsample * images)), random).astype(bool)
        pull_N = -loss.gradient(y_true=label_N, raw_prediction=raw_N)
        tree = grower.grow(pull_N.reshape(-1, 1), seen_N.astype(np.float64))
        leaf_N = tree.apply(bench.train32_NF)
        value_V = _leaf_values(tree, np.where(seen_N, leaf_N, LEAF), label_N, pull_N)
        raw_N += boosting.learning_rate * value_V[leaf_N]
        raw_M += boosting.learning_rate * value_V[tree.apply(bench.judged32_MF)]
    return loss.predict_proba(raw_M)[:, 1]


def _leaf_values(tree: Tree, leaf_N: np.ndarray, label_N: np.ndarray, pull_N: np.ndarray) -> np.ndarray:
    """Return each node's value, (V,): in a leaf one Newton step for the log-loss of the images that lie there.

    Each leaf is summed by itself, its images in their order: another order would round otherwise.
    """
    value_V = tree.value[:, 0, 0].copy()
    order = np.argsort(leaf_N, kind="stable")
    leaves, starts = np.unique(leaf_N[order], return_index=True)
    pull, chance = pull_N[order], (label_N - pull_N)[order]
    bend = chance * (1 - chance)
    for leaf, start, end in zip(leaves, starts, [*starts[1:], len(order)], strict=True):
        if leaf != LEAF:
            slope, curve = np.add.reduce(pull[start:end]) / (end - start), np.add.reduce(bend[start:end]) / (end - start)
            value_V[leaf] = slope / curve if abs(curve) >= 1e-150 else 0.0
    return value_V
