"""What a threshold at the lowest of n defect scores guarantees, and what it does not.

For a scorer fixed beforehand and n independent defect scores (exchangeable with those to come): the next
defect falls below the lowest with probability at most 1 / (n + 1), and with confidence c the true share of
defects below it is under 1 - (1 - c)^(1 / n), the one-sided tolerance bound of a sample's minimum, which is
also Clopper and Pearson's upper bound for 0 misses of n. Where the scorer was the best of K compared on the
same defects, 1 - c is divided by K.
"""

import math

from scipy.stats import beta

from zeromiss.errors import ZeromissError


def next_defect_miss_bound(n_defects: int) -> float:
    """Return the highest probability that the next defect falls below the lowest of `n_defects` known ones."""
    _check_count(n_defects)
    return 1.0 / (n_defects + 1)


def miss_rate_bound(n_defects: int, *, confidence: float = 0.95, n_candidates: int = 1) -> float:
    """Return the share of defects below the threshold that is not exceeded with `confidence`, in (0, 1).

    `n_candidates`: how many scorers were compared on the same defects (K; 1 = fixed beforehand).
    """
    _check_count(n_defects)
    return -math.expm1(math.log(_doubt(confidence, n_candidates)) / n_defects)


def clopper_pearson_upper(misses: int, n_defects: int, *, confidence: float = 0.95, n_candidates: int = 1) -> float:
    """Return Clopper and Pearson's one-sided upper bound of the miss rate after `misses` of `n_defects`, in (0, 1]."""
    _check_count(n_defects)
    if not 0 <= misses <= n_defects:
        raise ZeromissError(f"{misses} misses of {n_defects} defects is no count")
    if misses == n_defects:
        return 1.0
    return float(beta.isf(_doubt(confidence, n_candidates), misses + 1, n_defects - misses))


def required_defects(miss_rate: float, *, confidence: float = 0.95, n_candidates: int = 1) -> int:
    """Return the fewest defects, none missed, that bound the miss rate by `miss_rate`, in (0, 1), with `confidence`."""
    if not 0.0 < miss_rate < 1.0:
        raise ZeromissError(f"a target miss rate lies between 0 and 1, not at {miss_rate:g}: no finite number of defects shows 0")
    return math.ceil(math.log(_doubt(confidence, n_candidates)) / math.log1p(-miss_rate) - 1e-9)


def check_target(miss_rate: float, n_defects: int, *, confidence: float = 0.95, n_candidates: int = 1) -> None:
    """Raise ZeromissError, saying how many are needed, when `n_defects` cannot support the target miss rate."""
    needed = required_defects(miss_rate, confidence=confidence, n_candidates=n_candidates)
    if n_defects < needed:
        shared = f" shared among {n_candidates}" if n_candidates > 1 else ""
        raise ZeromissError(
            f"a miss rate below {miss_rate:g} with {100 * confidence:g} % confidence{shared} needs {needed} defects, none missed; there are {n_defects}: "
            "add defects or ask for less"
        )


def _doubt(confidence: float, n_candidates: int) -> float:
    """Return the chance of being wrong, 1 - confidence, shared among the candidates."""
    if not 0.0 < confidence < 1.0 or n_candidates < 1:
        raise ZeromissError(f"a bound needs a confidence between 0 and 1 and a candidate, not {confidence:g} and {n_candidates}")
    return (1.0 - confidence) / n_candidates


def _check_count(n_defects: int) -> None:
    """Refuse to bound anything by no defects."""
    if n_defects < 1:
        raise ZeromissError("without defects nothing can be said of missed ones: add images of defects")
