"""The calibration that goes with a bundle, as its JSON holds it."""

import numpy as np
from pydantic import Field

from zeromiss.sections import Section
from zeromiss.selection.curve import Curve, shift_share


class CalibrationRecord(Section):
    """The curve from score to probability of a defect; only bundles whose scores it has made more reliable have one."""

    method: str
    x: tuple[float, ...] = Field(min_length=1)  # scores, rising
    y: tuple[float, ...] = Field(min_length=1)  # probabilities of a defect at them, in [0, 1]
    table_share: float = Field(gt=0.0, lt=1.0)  # of defects, in the table that the curve was fitted to
    line_share: float | None = Field(default=None, gt=0.0, lt=1.0)  # of defects, on the line; None: as in the table

    def probability(self, score: float) -> float:
        """Return the probability of a defect, in [0, 1], at the line's share of defects."""
        found = float(Curve(x=self.x, y=self.y).at(np.array([score]))[0])
        return found if self.line_share is None else shift_share(found, known=self.table_share, line=self.line_share)
