"""Paired differences between a variant and the full system over the same outer folds. Axis F: outer folds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from zeromiss.selection.honest_rates import reach_over_folds

HIGHER_IS_BETTER = {"fpr_at_zero_missed": False, "image_auroc": True, "fpr": False, "fnr": False, "accuracy": True}
Verdict = Literal["noise", "better", "worse", "retrain"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Variant minus full system, a mean over outer folds with its interval, in [-1, 1] but for the interval's ends."""

    mean: float
    low: float
    high: float

    @property
    def is_noise(self) -> bool:
        """Whether the interval holds 0: the folds cannot tell the variant from the full system."""
        return self.low <= 0.0 <= self.high


def paired_difference(variant_F: Sequence[float], full_F: Sequence[float], train_share: float) -> Difference:
    """Return the mean difference over folds and its 95 % interval, `reach_over_folds` to both sides.

    train_share: of the images, in (0, 1). Raises ValueError for fewer than two folds, or when the two have not the
    same number.
    """
    if len(variant_F) < 2 or len(variant_F) != len(full_F):
        raise ValueError(f"a paired difference needs two folds or more, the same for both; there are {len(variant_F)} and {len(full_F)}")
    difference_F = np.subtract(variant_F, full_F)
    mean, reach = float(difference_F.mean()), reach_over_folds(difference_F, train_share)
    return Difference(mean=mean, low=mean - reach, high=mean + reach)


def judge(figure: str, difference: Difference, luck: Difference | None) -> Verdict:
    """Return what a difference of `figure` says: noise where its interval holds 0, else better or worse.

    luck: what training the same network again from another seed made of the figure; a trained variant that moves
    it no further shows the training's luck, not its own change, and is called `retrain`. None: nothing known.
    """
    if difference.is_noise:
        return "noise"
    if luck is not None and abs(difference.mean) <= abs(luck.mean):
        return "retrain"
    return "better" if (difference.mean > 0) == HIGHER_IS_BETTER[figure] else "worse"
