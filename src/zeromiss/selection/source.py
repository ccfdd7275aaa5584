"""The metric table as the selection reads it: features, labels, parts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from zeromiss.errors import ZeromissError

FACTS = ("path", "sha256", "label", "defect_type", "part_id", "native_score")  # the columns that are no features


@dataclass(frozen=True, kw_only=True)
class Source:
    """N images: their F features (finite, float64), labels (1 = defect, 0 = normal) and parts."""

    facts: pd.DataFrame
    features: pd.DataFrame
    y_N: np.ndarray
    part_N: np.ndarray

    def take(self, indices_M: np.ndarray) -> "Source":
        """Return the images at `indices_M`, in that order."""
        facts, features = (frame.iloc[indices_M].reset_index(drop=True) for frame in (self.facts, self.features))
        return Source(facts=facts, features=features, y_N=self.y_N[indices_M], part_N=self.part_N[indices_M])


def read_source(table: pd.DataFrame, detectors: Sequence[str] | None = None) -> Source:
    """Split the metric table into facts and features, of `detectors` or of all.

    Raises ZeromissError for a missing column, no feature, an unknown label, a missing class, or a value that
    is not a finite number.
    """
    missing = [name for name in FACTS if name not in table]
    if missing:
        raise ZeromissError(f"the metric table has no column {missing[0]!r}: run the metrics stage anew")
    names = [name for name in table.columns if name not in FACTS and (detectors is None or name.split(".")[0] in detectors)]
    if not names:
        raise ZeromissError("the metric table has no features: run the metrics stage anew")
    features = table[names].astype(np.float64)
    broken = [name for name in names if not np.isfinite(features[name]).all()]
    if broken:
        raise ZeromissError(f"the metric table's column {broken[0]!r} holds a value that is no finite number: run the metrics stage anew")
    strange = sorted(set(table["label"]) - {"normal", "defect"})
    if strange:
        raise ZeromissError(f"the metric table has the label {strange[0]!r}: it must be normal or defect")
    y_N = (table["label"] == "defect").to_numpy(dtype=np.int64)
    for label, name in ((0, "normals"), (1, "defects")):
        if not np.any(y_N == label):
            raise ZeromissError(f"the metric table has no {name}: a classifier needs both; add images of {name}")
    return Source(facts=table[list(FACTS)], features=features, y_N=y_N, part_N=table["part_id"].astype(str).to_numpy(dtype=object))
