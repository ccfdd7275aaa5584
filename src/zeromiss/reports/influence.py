"""Which metrics the winning classifier leans on (paper 1, Fig. 14), for any family."""

from typing import Any, Protocol

import numpy as np
import pandas as pd

FLOOR = 1e-6  # probabilities are kept this far from 0 and 1, so that the loss stays finite


class Pipeline(Protocol):
    """A fitted pipeline of preprocessing and a classifier with the classes 0 and 1."""

    def __getitem__(self, part: Any) -> Any:
        """Return a step, or a pipeline of several."""

    def predict_proba(self, features: pd.DataFrame) -> np.ndarray:
        """Return (rows, 2) probabilities."""


def influence(pipeline: Pipeline, features: pd.DataFrame, labels: np.ndarray, *, repeats: int, seed: int) -> pd.Series:
    """Return the permutation importance of every column, the largest first.

    Importance = mean rise of the log loss (nats, higher = more influential) when the column alone is shuffled among
    the rows; exactly 0 for a column that preprocessing drops. features: (rows, columns); labels: (rows,), 1 = defect.
    It tells what the fitted model uses, on the rows it was fitted on, not what would help a new model; of metrics that
    say nearly the same, preprocessing has kept the first alone.
    """
    rng = np.random.default_rng(seed)
    reference = log_loss(pipeline.predict_proba(features)[:, 1], labels)
    rises = {}
    for column in features.columns:
        orders = [rng.permutation(len(features)) for _ in range(repeats)]
        if not _survives(pipeline, features, column):
            rises[column] = 0.0
            continue
        shuffled = (features.assign(**{column: features[column].to_numpy()[order]}) for order in orders)
        losses = [log_loss(pipeline.predict_proba(frame)[:, 1], labels) for frame in shuffled]
        rises[column] = float(np.mean(losses)) - reference
    return pd.Series(rises, dtype=float).sort_values(ascending=False, kind="stable")


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of -log p(true class) over rows, probabilities kept in [1e-6, 1 - 1e-6]."""
    clipped = np.clip(probabilities, FLOOR, 1.0 - FLOOR)
    return float(-np.mean(np.where(np.asarray(labels) == 1, np.log(clipped), np.log1p(-clipped))))


def _survives(pipeline: Pipeline, features: pd.DataFrame, column: str) -> bool:
    """Return whether the preprocessing tells two rows apart that differ in this column alone."""
    pair = features.iloc[[0, 0]].assign(**{column: [features[column].min(), features[column].max()]})
    lowest, highest = np.asarray(pipeline[:-1].transform(pair))
    return not np.array_equal(lowest, highest)
