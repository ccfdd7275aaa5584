"""The price of the hardest defects: how many good parts would raise an alarm if the k hardest defects were not there.

A threshold that misses no defect lies at the lowest score of one, so a few defects that look like good parts decide how
many good parts raise an alarm. The figures say where a person's look at the labels is worth most. They are no forecast: the classifier
is not trained again, and a defect that is real must still be found. Axes: R repeats, N images, D defects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zeromiss.errors import ZeromissError
from zeromiss.selection.out_of_fold import OutOfFold

FILE, SCHEMA_VERSION = "hardest.json", 1
REMOVED = (0, 1, 2, 3, 5, 8, 12, 25)  # hardest defects left out
SHOWN = 25  # hardest defects that are named


@dataclass(frozen=True, kw_only=True)
class Price:
    """The false-positive rate without the `removed` hardest defects: its mean over repeats, and each repeat's."""

    removed: int
    fpr: float
    fpr_R: tuple[float, ...]

    @property
    def std(self) -> float | None:
        """Standard deviation over repeats; None for a single one."""
        return _spread(np.array(self.fpr_R))


def cost_of_each(y_N: np.ndarray, score_RN: np.ndarray) -> np.ndarray:
    """Return what catching each defect costs, (R, D): the share of normals, in [0, 1], that score as high as it or higher.

    y_N: 1 = defect, 0 = normal, at least one of each; score_RN: higher = more abnormal, D in the order of y_N. Raises
    ZeromissError where one of the two is missing.
    """
    y_N, score_RN = np.asarray(y_N), np.atleast_2d(np.asarray(score_RN, dtype=np.float64))
    if not (y_N == 1).any() or not (y_N == 0).any():
        raise ZeromissError("the price of the hardest defects needs normal images and defects: add images of the kind that is missing")
    costs = []
    for score_N in score_RN:
        normal_M = np.sort(score_N[y_N == 0])
        costs.append((len(normal_M) - np.searchsorted(normal_M, score_N[y_N == 1], side="left")) / len(normal_M))
    return np.stack(costs)


def hardest_first(cost_RD: np.ndarray, score_RD: np.ndarray) -> np.ndarray:
    """Return the indices of the defects, (D,): the highest mean cost first, then the lowest mean score, then the order given."""
    return np.lexsort((score_RD.mean(axis=0), -cost_RD.mean(axis=0)))


def price_of_hardest(y_N: np.ndarray, score_RN: np.ndarray, ks: Sequence[int] = REMOVED) -> list[Price]:
    """Return the false-positive rate if the k hardest defects were not there, for each k that leaves a defect.

    The threshold of a repeat is the lowest score of the defects that remain; at it or above an image is abnormal.
    score_RN: (N,) or (R, N), higher = more abnormal. Which defects are the hardest is the same for all repeats, see
    `hardest_first`. Raises ZeromissError as `cost_of_each` does.
    """
    y_N, score_RN = np.asarray(y_N), np.atleast_2d(np.asarray(score_RN, dtype=np.float64))
    cost_RD = cost_of_each(y_N, score_RN)
    ordered_RD = cost_RD[:, hardest_first(cost_RD, score_RN[:, y_N == 1])]
    without_RD = np.maximum.accumulate(ordered_RD[:, ::-1], axis=1)[:, ::-1]  # the dearest of the defects from here on
    return [
        Price(removed=k, fpr=float(without_RD[:, k].mean()), fpr_R=tuple(map(float, without_RD[:, k])))
        for k in ks
        if k < without_RD.shape[1]
    ]


def hardest_facts(scores: OutOfFold) -> dict[str, Any]:
    """Return the content of hardest.json: protocol, counts, `prices` by k (a text), `by_repeat` the same, and the SHOWN hardest `defects`.

    A defect's `fpr` is what catching it costs (see `cost_of_each`), `fpr_without` the rate if it and all harder ones were not
    there. Spreads (`std`) are standard deviations over repeats, null for a single one.
    """
    y_N = scores.y_N
    defects = scores.facts[y_N == 1].reset_index(drop=True)
    cost_RD, prices = cost_of_each(y_N, scores.probability_RN), price_of_hardest(y_N, scores.probability_RN)
    probability_RD = scores.probability_RN[:, y_N == 1]
    order = hardest_first(cost_RD, probability_RD)[:SHOWN]
    without = {price.removed: price.fpr for price in price_of_hardest(y_N, scores.probability_RN, range(len(order) + 1))}
    return {
        "protocol": scores.protocol,
        "repeats": len(cost_RD),
        "n_defects": int((y_N == 1).sum()),
        "n_normals": int((y_N == 0).sum()),
        "prices": {str(price.removed): {"fpr": price.fpr, "std": price.std} for price in prices},
        "by_repeat": [{str(price.removed): price.fpr_R[repeat] for price in prices} for repeat in range(len(cost_RD))],
        "defects": [
            {
                "rank": rank,
                **{name: str(defects.loc[d, name]) for name in ("path", "part_id", "defect_type")},
                "score": float(probability_RD[:, d].mean()),
                "score_std": _spread(probability_RD[:, d]),
                "fpr": float(cost_RD[:, d].mean()),
                "fpr_std": _spread(cost_RD[:, d]),
                "fpr_without": without.get(rank),
            }
            for rank, d in enumerate(order, start=1)
        ],
    }


def _spread(value_R: np.ndarray) -> float | None:
    """Return the standard deviation over repeats, None for a single one."""
    return float(np.std(value_R, ddof=1)) if len(value_R) > 1 else None
