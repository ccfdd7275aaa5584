"""Which metrics the winning classifier leans on (paper 1, Fig. 14), for any family."""

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.inspection import permutation_importance
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline

from zeromiss.selection.probability import defect_probability

FLOOR = 1e-6  # probabilities are kept this far from 0 and 1, so that the loss stays finite


def influence(pipeline: Pipeline, features: pd.DataFrame, labels: np.ndarray, *, repeats: int, seed: int) -> pd.DataFrame:
    """Return the permutation importance of every column, the most influential first: columns mean and std.

    Importance = rise of the log loss (nats, higher = more influential) when the column alone is shuffled among
    the rows, its mean and standard deviation over `repeats` shuffles; exactly 0 for a column that preprocessing drops.
    features: (rows, columns); labels: (rows,), 1 = defect. It tells what the fitted model uses, on the rows it was
    fitted on, not what would help a new model; of metrics that say nearly the same, preprocessing kept the first alone.

    A detector's residual columns stand as the one column of log-odds that they become. Behind it preprocessing works
    column by column once fitted, so that shuffling what comes out of it is shuffling what goes in: only the columns it keeps
    are shuffled, about half of all, and the preprocessing runs once.
    """
    names = list(features.columns)
    kept = pipeline[:-1].get_feature_names_out(names)
    found = permutation_importance(
        pipeline[-1], pipeline[:-1].transform(features), labels, scoring=_score, n_repeats=repeats, random_state=seed, n_jobs=1
    )
    table = pd.DataFrame(0.0, index=pipeline[:1].get_feature_names_out(names), columns=["mean", "std"])
    table.loc[kept, "mean"], table.loc[kept, "std"] = found.importances_mean, found.importances_std
    return table.sort_values("mean", ascending=False, kind="stable")


def _score(classifier: ClassifierMixin, features: np.ndarray, labels: np.ndarray) -> float:
    """Return the negative log loss, probabilities kept in [1e-6, 1 - 1e-6]."""
    probability = np.clip(defect_probability(classifier, features), FLOOR, 1.0 - FLOOR)
    return -float(log_loss(labels, probability, labels=[0, 1]))
