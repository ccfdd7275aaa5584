"""How many of n ratios a threshold may lie above, decided before any score is seen.

The k-th lowest of n independent ratios has two known properties, whatever their distribution: a further ratio
falls below it with probability at most k / (n + 1), and with confidence c the share of all ratios below it is
under Clopper and Pearson's bound for k - 1 of n, the one-sided tolerance bound of an order statistic. Ties only
help, for a score at the threshold is abnormal. k depends on n and the aim alone, so nothing need be corrected for it.

Ratios of outer folds are not quite independent: where a fold's model is chosen among many, the defects that one
fold judges helped to choose in the others. The mean is untouched by that, a bound with confidence is not: in
simulation with 100 unrelated candidates Clopper and Pearson's at 95 % is exceeded in more than 8 % of the cases. So
its doubt is shared among twice the outer folds: each made a choice of its own, and two is the usual price of joining
figures that depend on each other in an unknown way. That this suffices is shown by simulation
(tests/code/test_threshold_simulation.py), not by a theorem.
"""

import math

import numpy as np
from scipy.stats import binom

from zeromiss.errors import ZeromissError

ROUNDING = 1e-9  # relative: 0.29 * 100 is 28.999999999999996
PARTS_PER_MILLION = 1e6
SHARES_A_FOLD = 2  # of the doubt of a bound on pooled outer folds


def conformal_rank(n_defects: int, target: float) -> int:
    """Return the highest k with k / (n + 1) <= target, in [0, n]: the next defect is missed with that probability at most."""
    return math.floor(target * (n_defects + 1) * (1 + ROUNDING))


def check_conformal(n_defects: int, target: float) -> None:
    """Raise ZeromissError, saying how many defects are needed, where n is too small for a rank of 1."""
    if conformal_rank(n_defects, target) < 1:
        needed = math.ceil(1.0 / target * (1 - ROUNDING)) - 1
        raise ZeromissError(
            f"missing the next defect with a probability of at most {target:g} needs {needed} defects; there are {n_defects}: "
            "add defects or ask for less"
        )


def budget_rank(n_defects: int, budget: float, *, confidence: float, shares: int) -> int:
    """Return j + 1, j being the most misses of n whose Clopper-Pearson upper bound stays within `budget`, in (0, 1).

    That bound is at most b exactly where j or fewer misses of n have a chance of at most (1 - confidence) / shares
    at a miss rate of b. 0 where not even j = 0 will do, which `check_target` refuses.
    """
    chance_J = binom.cdf(np.arange(n_defects), n_defects, budget)
    return int(np.sum(chance_J <= (1.0 - confidence) / shares * (1 + ROUNDING)))
