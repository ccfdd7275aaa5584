"""Scores of the defects that set the threshold and do nothing else (split `threshold`), by classifiers that were chosen without them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin

from zeromiss.errors import ZeromissError
from zeromiss.selection.probability import defect_probability

FILE = "threshold_set.parquet"
FACTS = ["path", "part_id", "defect_type"]


class ThresholdSet:
    """The measured defects, and what classifiers say of them."""

    def __init__(self, table: pd.DataFrame, columns: Sequence[str]) -> None:
        """Keep the columns that the classifiers read. Raises ZeromissError where one is missing or holds a value that is no finite number."""
        missing = [name for name in (*FACTS, *columns) if name not in table]
        if missing:
            raise ZeromissError(f"the table of the defects that set the threshold has no column {missing[0]!r}: run the metrics stage anew")
        self._facts, self._features = table[FACTS].reset_index(drop=True), table[list(columns)].astype(np.float64)
        broken = [name for name in columns if not np.isfinite(self._features[name]).all()]
        if broken:
            raise ZeromissError(f"a defect that sets the threshold has no finite number in column {broken[0]!r}: run the metrics stage anew")
        self._scored: list[pd.DataFrame] = []

    def score(self, classifier: ClassifierMixin, *, repeat: int | None = None, fold: int | None = None) -> None:
        """Let a classifier score the defects: that of an outer fold, or without a fold the product's own."""
        probability_D = defect_probability(classifier, self._features)
        self._scored.append(self._facts.assign(repeat=repeat, fold=fold, probability=probability_D))

    def rows(self) -> pd.DataFrame:
        """Return one row a defect and classifier: path, part_id, defect_type, repeat and fold (missing: the product's own), probability in [0, 1]."""
        return pd.concat([one.astype({"repeat": "Int64", "fold": "Int64"}) for one in self._scored], ignore_index=True)
