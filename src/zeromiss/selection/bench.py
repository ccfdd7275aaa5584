"""What many fits on one fold share: rows as 32-bit floats, rows binned for the boosters, each made once. Axes: N, M images, F columns."""

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any

import numpy as np

from zeromiss.selection.fit import ReadyFold


class Bench:
    """One fold laid out for many fits; it is made where they are done, and sent nowhere."""

    def __init__(self, fold: ReadyFold) -> None:
        """Keep the fold; what else is needed is made when it is first asked for."""
        self.fold = fold
        self._made: dict[Hashable, Any] = {}

    @cached_property
    def train32_NF(self) -> np.ndarray:
        """The training rows as trees read them, float32; columns are contiguous, since trees read one at a time."""
        return np.asfortranarray(self.fold.train_NF, dtype=np.float32)

    @cached_property
    def judged32_MF(self) -> np.ndarray:
        """The judged rows, float32."""
        return np.ascontiguousarray(self.fold.judged_MF, dtype=np.float32)

    @cached_property
    def train_N1(self) -> np.ndarray:
        """The training labels, 0 normal, 1 defect, float64."""
        return self.fold.train_N.astype(np.float64).reshape(-1, 1)

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what `make` makes, or what it made for this key before."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]
