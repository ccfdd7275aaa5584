"""Strata of like trivial properties: what a score tells within one of them is not told by lamp, focus or file.

A regularised logistic regression tells the table's defects from its normal images by their trivial properties alone,
cross-fitted by part; the quantiles of its log-odds are the strata. Pairs of a defect and a normal image of one stratum
look alike to it, so a score that ranks such pairs right has seen something else. Axes: N images, F properties.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

STRATA = 10
FOLDS = 5
C = 1.0  # of the regression: inverse strength of its L2 penalty on standardised properties


@dataclass(frozen=True, kw_only=True)
class Strata:
    """Each image's stratum, 0 to STRATA - 1, more like a defect the higher, and how well the properties tell defects together."""

    stratum_N: np.ndarray
    log_odds_N: np.ndarray  # of a defect, by the properties alone, out of fold
    auc: float  # of the out-of-fold log-odds, in [0, 1]; 0.5 = the properties tell nothing


def strata_of(values: pd.DataFrame, y_N: np.ndarray, part_N: np.ndarray) -> Strata | None:
    """Return the strata of N images by their trivial properties; None with fewer than two parts of either label.

    values: (N, F), NaN where an image lacks a property; y_N: 1 = defect, 0 = normal. A part's images lie in one fold.
    """
    parts = min(len(np.unique(part_N[y_N == label])) for label in (0, 1))
    if parts < 2:
        return None
    logit_N = np.full(len(y_N), np.nan)
    for training, judged in StratifiedGroupKFold(min(FOLDS, parts), shuffle=True, random_state=0).split(values, y_N, part_N):
        if len(np.unique(y_N[training])) < 2:
            return None
        logit_N[judged] = _model().fit(values.iloc[training], y_N[training]).decision_function(values.iloc[judged])
    edges = np.quantile(logit_N, np.linspace(0.0, 1.0, STRATA + 1)[1:-1])
    stratum_N = np.searchsorted(edges, logit_N, side="right")
    return Strata(stratum_N=stratum_N, log_odds_N=logit_N, auc=float(roc_auc_score(y_N, logit_N)))


def _model() -> object:
    """Return the regression on standardised properties; a missing one is taken as the median, and that it is missing is one more."""
    imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    return make_pipeline(imputer, StandardScaler(), LogisticRegression(C=C, max_iter=1000))
