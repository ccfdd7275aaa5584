"""One decision tree after the other, grown by scikit-learn's own code without what it does around each tree.

Cloning, checking and validating cost more than growing a tree on a few hundred rows. The builders used here
are scikit-learn's, called as its estimators call them: the trees are the same, bit for bit, and a test
compares them. They are no public interface, which is one reason why the version is fixed.
Axes: N images, F columns, C classes, V nodes.
"""

import numpy as np
from sklearn.tree._classes import CRITERIA_CLF, CRITERIA_REG, DENSE_SPLITTERS
from sklearn.tree._tree import DepthFirstTreeBuilder, Tree

MOST = np.iinfo(np.int32).max  # depth without a limit; seeds lie below
LEAF = -1  # the child of a node that has none


class Grower:
    """Grows trees that share all settings on the rows of one training part."""

    def __init__(
        self,
        rows_NF: np.ndarray,
        random: np.random.RandomState,
        *,
        criterion: str,
        max_features: str | float | None,
        max_depth: int | None,
        min_samples_leaf: int,
        splitter: str = "best",
    ) -> None:
        """`rows_NF`: float32 in [0, 1]; `random` is drawn from once a tree, when it grows.

        The criterion squared_error makes trees of regression, any other ones that tell two classes apart.
        """
        images, self.columns = rows_NF.shape
        regression = criterion == "squared_error"
        self.rows_NF = rows_NF
        self.classes = np.array([1 if regression else 2], dtype=np.intp)
        measure = CRITERIA_REG[criterion](1, images) if regression else CRITERIA_CLF[criterion](1, self.classes)
        split = DENSE_SPLITTERS[splitter](measure, column_count(max_features, self.columns), min_samples_leaf, 0.0, random, None)
        depth = MOST if max_depth is None else max_depth
        self._builder = DepthFirstTreeBuilder(split, max(2, 2 * min_samples_leaf), min_samples_leaf, 0.0, depth, 0.0)

    def grow(self, target_N1: np.ndarray, weight_N: np.ndarray | None) -> Tree:
        """Return a new tree; targets (float64) are classes 0 and 1 or values, rows of weight 0 are not seen."""
        tree = Tree(self.columns, self.classes, 1)
        self._builder.build(tree, self.rows_NF, target_N1, weight_N, None)
        return tree


def column_count(max_features: str | float | None, columns: int) -> int:
    """Return how many of the columns a split may look at, by scikit-learn's rule for its trees."""
    if max_features is None:
        return columns
    shares = {"sqrt": np.sqrt(columns), "log2": np.log2(columns)}
    return max(1, int(shares[max_features] if isinstance(max_features, str) else max_features * columns))


def predicted_classes(tree: Tree, rows_MF: np.ndarray) -> np.ndarray:
    """Return the class, 0 or 1, that the tree sees in each row, (M,)."""
    return tree.predict(rows_MF).argmax(axis=1)
