"""Paired differences between two systems over the same outer folds. Axis F: outer folds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zeromiss.selection.honest_rates import reach_over_folds

HIGHER_IS_BETTER = {"fpr_at_zero_missed": False, "image_auroc": True, "fpr": False, "fnr": False, "accuracy": True}


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One system minus another, a mean over outer folds with its interval, in [-1, 1] but for the interval's ends."""

    mean: float
    low: float
    high: float

    @property
    def is_noise(self) -> bool:
        """Whether the interval holds 0: the folds cannot tell the two apart."""
        return self.low <= 0.0 <= self.high


def paired_difference(one_F: Sequence[float], other_F: Sequence[float], train_share: float) -> Difference:
    """Return the mean difference over folds and its 95 % interval, `reach_over_folds` to both sides.

    train_share: of the images, in (0, 1). Raises ValueError for fewer than two folds, or when the two have not the
    same number.
    """
    if len(one_F) < 2 or len(one_F) != len(other_F):
        raise ValueError(f"a paired difference needs two folds or more, the same for both; there are {len(one_F)} and {len(other_F)}")
    difference_F = np.subtract(one_F, other_F)
    mean, reach = float(difference_F.mean()), reach_over_folds(difference_F, train_share)
    return Difference(mean=mean, low=mean - reach, high=mean + reach)
