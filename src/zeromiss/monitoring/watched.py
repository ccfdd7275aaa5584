"""The model that is watched, with what it was chosen on: the normal images of its own metric table."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A version in charge. normals: (N images, F metrics), the columns that its classifier reads."""

    version: str
    normals: pd.DataFrame
    expected_fpr: float  # that outer folds forecast, else that of the table, in [0, 1]
    expected_from: str  # in words
