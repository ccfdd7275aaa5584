"""A straight line through measured costs, and how costs grow."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls


@dataclass(frozen=True, kw_only=True)
class Line:
    """cost = fixed + each * size, by least squares with both at least 0."""

    fixed: float
    each: float
    r2: float  # share of the costs' variance that the line explains, at most 1
    exponent: float  # of cost ~ size ** exponent: 1 when twice the size costs twice as much, less with a fixed part

    @property
    def words(self) -> str:
        """Return fit and exponent for a note."""
        return f"{self.fixed:.3g} s + {self.each:.3g} s each, R2 {self.r2:.3f}, exponent {self.exponent:.2f}"


def fit_line(sizes: Sequence[float], costs: Sequence[float]) -> Line:
    """Return the line through costs (> 0) at three sizes (> 0) or more."""
    size_N, cost_N = np.asarray(sizes, dtype=float), np.asarray(costs, dtype=float)
    (each, fixed), _ = nnls(np.column_stack((size_N, np.ones_like(size_N))), cost_N)  # neither can be negative
    rest = np.square(cost_N - (fixed + each * size_N)).sum()
    spread = np.square(cost_N - cost_N.mean()).sum()
    exponent = np.polyfit(np.log(size_N), np.log(cost_N), 1)[0]
    return Line(fixed=float(fixed), each=float(each), r2=float(1 - rest / spread) if spread else 1.0, exponent=float(exponent))
