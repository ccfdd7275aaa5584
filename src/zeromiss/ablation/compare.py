"""What a paired difference between a variant and the full system says."""

from typing import Literal

from zeromiss.selection.paired import HIGHER_IS_BETTER, Difference

Verdict = Literal["noise", "better", "worse", "retrain"]


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
