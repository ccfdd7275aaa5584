"""Which draws of a family need no further fold: those that cannot win any more, and those left far behind.

A draw's scores, in [0, 1] and one a fold judged so far, weigh alike. Decisions are taken when all draws
still running have been judged on the same folds: they depend on scores and order alone, not on time.
"""

import math
from collections.abc import Sequence

import numpy as np

CANNOT_WIN = "cannot win"  # even with the highest score on every fold to come; proven, so the best draw stays the same
RACED = "raced"  # behind on the folds so far; likely, not proven
LEADERS = 4  # draws of a family that are judged on every fold as soon as the first one is known
FEWEST = 12  # draws that racing leaves, however few there are


def leaders(first_D: Sequence[float]) -> list[int]:
    """Return the places of the draws that lead after their first fold, the first of equals."""
    return _ranking(first_D)[:LEADERS]


def cannot_win(scores: Sequence[float], place: int, best: float, best_place: int, folds: int) -> bool:
    """Whether the draw at `place` stays below the best mean score known, whatever the folds to come say.

    Of equal means the first draw wins. The mean is summed as it will be in the end, so rounding proves nothing
    wrong: with ones in place of the folds to come no partial sum gets smaller.
    """
    most = float(np.mean([*scores, *[1.0] * (folds - len(scores))]))
    return most < best or (most == best and place > best_place)


def left_behind(means_D: Sequence[float], racing: float) -> set[int]:
    """Return the places of the draws beyond the best `racing` share by mean score so far; of equals the first stays.

    At least FEWEST stay, so small searches are not raced at all; a share of 1 leaves nobody behind.
    """
    return set(_ranking(means_D)[max(FEWEST, math.ceil(racing * len(means_D))) :])


def _ranking(values: Sequence[float]) -> list[int]:
    """Return places from the highest value to the lowest, equal ones in their order."""
    return sorted(range(len(values)), key=lambda place: -values[place])
