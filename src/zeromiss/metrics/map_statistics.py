"""Statistics of an anomaly map: how its values are distributed, and where its peaks lie.

A map may be of pixels or of cells; higher = more abnormal. Axes: h, w its rows and columns, N its values.
"""

import cv2
import numpy as np

from zeromiss.errors import ZeromissError

QUANTILES = {"q50": 0.5, "q75": 0.75, "q90": 0.9, "q95": 0.95, "q99": 0.99, "q995": 0.995}
TOP = 10  # values whose mean is `top10`
GRID = 4  # parts a side that are asked for their largest value
STATISTICS = (
    *QUANTILES, "max", "mean", "top10", "std", "skewness", "kurtosis", *(f"grid{rank:02d}" for rank in range(GRID**2)), "blob_count", "blob_area",
)  # fmt: skip
LEVEL = 0.999  # quantile of a normal image's values above which a value belongs to a blob


def map_statistics(map_hw: np.ndarray, level: float) -> np.ndarray:
    """Return the statistics of a map in the order of `STATISTICS`, float64.

    Quantiles interpolate linearly. `std` divides by N; `skewness` and `kurtosis` are the third and fourth standardised
    moments (3 for a normal distribution; both 0 where all values are equal). `grid00` to `grid15` are the largest values of
    a 4 x 4 grid of nearly equal parts, sorted, the largest first; a map with fewer rows or columns is cut into as many parts
    as there are, and its smallest part's value fills the rest. Blobs are 8-connected regions above `level`: their number,
    and the share of the map that they cover, in [0, 1]. Raises ZeromissError for a value that is not finite.
    """
    values_hw = np.asarray(map_hw, dtype=np.float64)
    if not np.isfinite(values_hw).all():
        raise ZeromissError("an anomaly map holds a value that is not finite: train the detector again")
    sorted_N = np.sort(values_hw, axis=None)
    above_hw = (values_hw > level).astype(np.uint8)
    blobs = cv2.connectedComponents(above_hw, connectivity=8)[0] - 1
    mean = sorted_N.mean()
    distribution = [sorted_N[-1], mean, sorted_N[-TOP:].mean(), *_moments(sorted_N - mean)]
    return np.array([*_quantiles(sorted_N), *distribution, *_grid_maxima(values_hw), blobs, above_hw.mean()])


def normal_level(maps_hw: list[np.ndarray]) -> float:
    """Return the value that all but 0.1 % of the values of normal images' maps do not exceed.

    Raises ZeromissError without a map.
    """
    if not maps_hw:
        raise ZeromissError("the level of normal maps needs one normal image at least that nothing was learned of: set manifest.mask above 0")
    return float(np.quantile(np.concatenate([np.asarray(map_hw, dtype=np.float64).ravel() for map_hw in maps_hw]), LEVEL))


def _quantiles(sorted_N: np.ndarray) -> np.ndarray:
    """Return the quantiles of sorted values, interpolated linearly."""
    place = np.array(list(QUANTILES.values())) * (len(sorted_N) - 1)
    lower = place.astype(int)
    upper = np.minimum(lower + 1, len(sorted_N) - 1)
    return sorted_N[lower] + (sorted_N[upper] - sorted_N[lower]) * (place - lower)


def _moments(away_N: np.ndarray) -> tuple[float, float, float]:
    """Return standard deviation, skewness and kurtosis of values whose mean is 0."""
    squared_N = away_N * away_N
    variance = squared_N.mean()
    if variance <= 1e-24:
        return 0.0, 0.0, 0.0
    return variance**0.5, (squared_N * away_N).mean() / variance**1.5, (squared_N * squared_N).mean() / variance**2


def _grid_maxima(values_hw: np.ndarray) -> np.ndarray:
    """Return the largest value of each part of the grid, sorted, the largest first, (GRID * GRID,)."""
    rows, columns = (np.unique(np.arange(GRID) * side // GRID) for side in values_hw.shape)
    maxima = np.sort(np.maximum.reduceat(np.maximum.reduceat(values_hw, rows, axis=0), columns, axis=1), axis=None)[::-1]
    return np.concatenate([maxima, np.full(GRID**2 - len(maxima), maxima[-1])])
