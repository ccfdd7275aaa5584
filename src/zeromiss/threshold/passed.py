"""PG0, PG2, PG5: the share of good parts that pass when at most 0, 2 or 5 % of the defects are missed; higher is better.

The threshold lies as high as the allowed misses let it, on the scores it is judged by: a figure for comparing models, no
forecast. Axes: R repeats, N images, D defects, M normal images, B draws.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from zeromiss.errors import ZeromissError
from zeromiss.selection.honest_rates import CONFIDENCE, Interval
from zeromiss.selection.matched_auroc import part_weights
from zeromiss.selection.out_of_fold import OutOfFold

MISSED = (0.0, 0.02, 0.05)  # shares of the defects that may be missed
CHUNK, CHUNKS = 100, 10  # draws of parts at a time, and how often


@dataclass(frozen=True, kw_only=True)
class Passed:
    """The share of good parts that pass at one share of missed defects, its 95 % interval, and each repeat's."""

    missed: float
    passed: Interval
    passed_R: tuple[float, ...]


def passed_at(score_RD: np.ndarray, score_RM: np.ndarray, missed: float, weight_BD: np.ndarray, weight_BM: np.ndarray) -> np.ndarray:
    """Return the share of normal images that pass, (R, B): those below the threshold; scores higher = more abnormal.

    The threshold is the highest defect score with at most `missed`, a share in [0, 1), of the defects' weight below it. Weights say how
    often each image counts, all 1 for the images as they are; a draw needs a defect and a normal image.
    """
    found = []
    for score_D, score_M in zip(score_RD, score_RM, strict=True):
        order_D, order_M = np.argsort(score_D, kind="stable"), np.argsort(score_M, kind="stable")
        below_BD = np.cumsum(weight_BD[:, order_D], axis=1)
        allowed_B = np.floor(missed * below_BD[:, -1] + 1e-9)
        threshold_B = score_D[order_D][(below_BD > allowed_B[:, None]).argmax(axis=1)]
        below_BM = np.concatenate((np.zeros((len(weight_BM), 1)), np.cumsum(weight_BM[:, order_M], axis=1)), axis=1)
        place_B = np.searchsorted(score_M[order_M], threshold_B, side="left")
        found.append(below_BM[np.arange(len(place_B)), place_B] / below_BM[:, -1])
    return np.stack(found)


def good_parts_passed(y_N: np.ndarray, score_RN: np.ndarray, part_N: np.ndarray, shares: Sequence[float] = MISSED) -> list[Passed]:
    """Return the share of good parts that pass for each share of missed defects; images count, and are drawn by part.

    y_N: 1 = defect, 0 = normal; score_RN: (N,) or (R, N). The interval: percentiles of the mean over repeats over draws
    of parts with replacement (`part_weights`). Its lower end is 0 where the parts with defects are so few that all of them may
    lie above the true threshold (`too_few`): always where none may be missed, since a draw never holds a harder defect than
    the hardest known. Raises ZeromissError where normal images or defects are missing.
    """
    y_N, score_RN = np.asarray(y_N), np.atleast_2d(np.asarray(score_RN, dtype=np.float64))
    defect_N = y_N == 1
    if defect_N.all() or not defect_N.any():
        raise ZeromissError("the share of good parts passed needs normal images and defects: add images of the kind that is missing")
    parts = len(np.unique(np.asarray(part_N)[defect_N].astype(str)))
    sides = score_RN[:, defect_N], score_RN[:, ~defect_N]
    drawn: list[list[np.ndarray]] = [[] for _ in shares]
    for chunk in range(CHUNKS):
        weight_BN = part_weights(y_N, part_N, CHUNK, chunk)
        weight_BN = weight_BN[weight_BN[:, ~defect_N].any(axis=1)]  # all normal images may be of few parts, none of which is drawn
        for values, missed in zip(drawn, shares, strict=True):
            values.append(passed_at(*sides, missed, weight_BN[:, defect_N], weight_BN[:, ~defect_N]).mean(axis=0))
    once = np.ones((1, defect_N.sum())), np.ones((1, (~defect_N).sum()))
    tail, found = (1.0 - CONFIDENCE) / 2.0, []
    for values, missed in zip(drawn, shares, strict=True):
        passed_R = passed_at(*sides, missed, *once)[:, 0]
        low, high = np.quantile(np.concatenate(values), (tail, 1.0 - tail))
        interval = Interval(mean=float(passed_R.mean()), low=0.0 if too_few(parts, missed) else float(low), high=float(high))
        found.append(Passed(missed=missed, passed=interval, passed_R=tuple(map(float, passed_R))))
    return found


def too_few(parts: int, missed: float) -> bool:
    """Return whether n independent defects all lie above the true threshold with a probability over 2.5 %: (1 - missed)^n."""
    return bool((1.0 - missed) ** parts > (1.0 - CONFIDENCE) / 2.0)


def name_of(missed: float) -> str:
    """Return the figure's name: PG2 for 2 % missed."""
    return f"PG{100.0 * missed:g}"


def passed_facts(scores: OutOfFold) -> dict[str, Any]:
    """Return the figures by name as JSON files hold them: missed, mean, low, high, std over repeats (null for one)."""
    found = good_parts_passed(scores.y_N, scores.probability_RN, scores.facts["part_id"].to_numpy())
    return {
        name_of(one.missed): {"missed": one.missed}
        | asdict(one.passed)
        | {"std": float(np.std(one.passed_R, ddof=1)) if len(one.passed_R) > 1 else None}
        for one in found
    }
