"""The seven aggregates that turn many values into numbers of one image (paper 1, section 3.2)."""

import numpy as np

AGGREGATES = ("sum", "max", "min", "mean", "q1", "q2", "q3")


def aggregate(values_KN: np.ndarray) -> np.ndarray:
    """Return the (K, 7) aggregates of K series of N values, columns as in `AGGREGATES`.

    Quartiles interpolate linearly between neighbours, as numpy's default does. Summed in float64.
    Raises ValueError when a series is empty.
    """
    values_KN = np.asarray(values_KN, dtype=np.float64)
    if values_KN.ndim != 2 or values_KN.shape[1] == 0:
        raise ValueError(f"aggregates need (K, N) values with N >= 1, got shape {values_KN.shape}")
    total_K = values_KN.sum(axis=1)
    quartiles_3K = np.quantile(values_KN, (0.25, 0.5, 0.75), axis=1)
    mean_K = total_K / values_KN.shape[1]
    return np.stack((total_K, values_KN.max(axis=1), values_KN.min(axis=1), mean_K, *quartiles_3K), axis=1)
