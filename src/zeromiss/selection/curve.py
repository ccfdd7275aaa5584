"""From a composite score to a probability of a defect: a rising curve, and the shift to another share of defects."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Probabilities `y` of a defect at scores `x`, both rising and in [0, 1]; linear between them, level beyond."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def at(self, score_N: np.ndarray) -> np.ndarray:
        """Return the probabilities at scores, (N,)."""
        return np.interp(score_N, self.x, self.y)


def shift_share(probability: float, *, known: float, line: float) -> float:
    """Return a probability of a defect where `line` of all parts have one, not `known` of them, all in (0, 1).

    Bayes' rule with other prior odds (Elkan; Saerens and others): the odds are multiplied by the line's prior odds over
    the known ones. It holds where defects and normal parts look as before and only their shares differ.
    """
    factor = (line / (1.0 - line)) / (known / (1.0 - known))
    return probability * factor / (probability * factor + 1.0 - probability)
