"""The seven aggregates that turn many values into numbers of one image (paper 1, section 3.2).

Axes: K series, N values of a series.
"""

import numpy as np

AGGREGATES = ("sum", "max", "min", "mean", "q1", "q2", "q3")
QUARTILES = (0.25, 0.5, 0.75)
MANY = 4096  # values from which counting beats sorting
SHIFT = 16  # bits of a float32 left out of its class: 8 of exponent and 7 of fraction stay


def aggregate(values_KN: np.ndarray) -> np.ndarray:
    """Return the (K, 7) aggregates of K series of N values, columns as in `AGGREGATES`.

    Quartiles interpolate linearly between neighbours, as numpy's default does, to the same bits.
    Summed in float64. Raises ValueError when a series is empty.
    """
    values_KN = np.asarray(values_KN)
    if values_KN.ndim != 2 or values_KN.shape[1] == 0:
        raise ValueError(f"aggregates need (K, N) values with N >= 1, got shape {values_KN.shape}")
    quartiles_3K = _quartiles(values_KN)
    values_KN = values_KN.astype(np.float64)
    total_K = values_KN.sum(axis=1)
    mean_K = total_K / values_KN.shape[1]
    return np.stack((total_K, values_KN.max(axis=1), values_KN.min(axis=1), mean_K, *quartiles_3K), axis=1)


def _quartiles(values_KN: np.ndarray) -> np.ndarray:
    """Return the (3, K) quartiles in float64."""
    place_3 = np.array(QUARTILES) * (values_KN.shape[1] - 1)
    rank_3 = np.floor(place_3).astype(np.intp)
    next_3 = np.minimum(rank_3 + 1, values_KN.shape[1] - 1)
    both_K6 = np.stack([_ranked(values_N, np.concatenate((rank_3, next_3))) for values_N in values_KN]).astype(np.float64)
    lower_3K, upper_3K, share_31 = both_K6.T[:3], both_K6.T[3:], (place_3 - rank_3)[:, None]
    gap_3K = upper_3K - lower_3K
    # From the nearer neighbour: so numpy does it, and the bits are to be the same.
    return np.where(share_31 < 0.5, lower_3K + gap_3K * share_31, upper_3K - gap_3K * (1 - share_31))


def _ranked(values_N: np.ndarray, ranks_R: np.ndarray) -> np.ndarray:
    """Return the values at `ranks_R` (0 = smallest) of one series, exactly, without sorting a long one.

    A float32 that is not negative keeps its order when its bits are read as an integer. The upper bits
    name a class; counting the classes says in which one each rank lies, and only those few are sorted.
    """
    if values_N.dtype != np.float32 or len(values_N) < MANY:
        return np.sort(values_N)[ranks_R]
    bits_N = np.ascontiguousarray(values_N).view(np.int32)
    if bits_N.min() < 0:
        return np.sort(values_N)[ranks_R]
    class_N = bits_N >> SHIFT
    below = np.cumsum(np.bincount(class_N))  # values in this class and those before it
    found_R = np.searchsorted(below, ranks_R, side="right")
    ranked_R = np.empty(len(ranks_R), values_N.dtype)
    for number in np.unique(found_R):
        inside_R = found_R == number
        before = below[number - 1] if number else 0
        ranked_R[inside_R] = np.sort(values_N[class_N == number])[ranks_R[inside_R] - before]
    return ranked_R
