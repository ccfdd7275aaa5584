"""From what the networks gave of an image to the numbers of its row: everything of it that is NumPy.

Used where torch ran the networks (`measure`, `measure_map`) and where something else did (`zeromiss.edge`), which has no torch.
Axes: C channels, H, W pixels, P pixels, N candidate boxes, Q boxes kept (x0, y0, x1, y1, half open).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from zeromiss.metrics.aggregates import aggregate
from zeromiss.metrics.distances import patch_distances
from zeromiss.metrics.image_level import mse, orb_difference
from zeromiss.metrics.localise import boxes_around, keep_largest, top_pixels
from zeromiss.metrics.map_statistics import map_statistics
from zeromiss.stage_params import MetricsParams


def candidates(weighted_HW: np.ndarray, params: MetricsParams) -> tuple[np.ndarray, np.ndarray]:
    """Return the p largest values of a difference or map (1, P) and the boxes (N, 4) around them."""
    pixels_P2 = top_pixels(weighted_HW, params.pixels)
    boxes_N4 = boxes_around(pixels_P2, weighted_HW.shape, scales=params.scales, alpha=params.alpha)
    return weighted_HW[pixels_P2[:, 0], pixels_P2[:, 1]][None], boxes_N4


def image_values(
    x_CHW: np.ndarray, x_hat_CHW: np.ndarray, *, perceptual_mse: float, own: Sequence[float], whole: Sequence[np.ndarray], lean: bool = False
) -> np.ndarray:
    """Return the image level's values, in the order of `image_columns`.

    `own`: what the detector's reconstruction comes with; `whole`: difference, map and context, (H, W) each. `lean`
    takes a third of the memory, and the last bit of the mse may differ.
    """
    orb, no_keypoints = orb_difference(x_CHW, x_hat_CHW)
    error = _lean_mse(x_CHW, x_hat_CHW) if lean else mse(x_CHW, x_hat_CHW)
    single = (error, perceptual_mse, *own, orb, float(no_keypoints))
    # One after the other: the aggregates of a large image need room for several copies of it.
    return np.concatenate((single, *(aggregate(values_HW.reshape(1, -1))[0] for values_HW in whole)))


def localised_values(x_CHW: np.ndarray, x_hat_CHW: np.ndarray, pixels_1P: np.ndarray, boxes_Q4: np.ndarray, fid_Q: np.ndarray) -> np.ndarray:
    """Return the pixel and patch levels' values, in the order of `localised_columns`."""
    named = patch_distances(x_CHW, x_hat_CHW, boxes_Q4)
    patches_KQ = np.stack((fid_Q.astype(np.float64), *named.values()))
    return np.concatenate((aggregate(pixels_1P)[0], aggregate(patches_KQ).ravel()))


def map_values(map_HW: np.ndarray, scores: Sequence[float], params: MetricsParams) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the values in the order of `map_columns`, the boxes (Q, 4) and the mean of the map in each, (Q,) float64.

    Boxes lie around the map's largest pixels as they do around a reconstruction's largest differences.
    """
    pixels_1P, boxes_N4 = candidates(map_HW, params)
    numbers = np.concatenate((scores, *(aggregate(values_1N)[0] for values_1N in (map_HW.reshape(1, -1), pixels_1P))))
    return numbers, *keep_largest(boxes_N4, mean_inside(map_HW, boxes_N4), params.patches)


def map_boxes(map_HW: np.ndarray, params: MetricsParams) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes (Q, 4) of largest mean among those around a map's largest pixels, and these means, (Q,) float64."""
    _, boxes_N4 = candidates(map_HW, params)
    return keep_largest(boxes_N4, mean_inside(map_HW, boxes_N4), params.patches)


def variation_values(maps: Mapping[str, np.ndarray], residual_K: np.ndarray, levels: Mapping[str, float]) -> np.ndarray:
    """Return the values in the order of `variation_columns`: statistics of each map that `levels` names, then the residual vector."""
    return np.concatenate((*(map_statistics(maps[name], level) for name, level in levels.items()), residual_K.astype(np.float64)))


def mean_inside(map_HW: np.ndarray, boxes_N4: np.ndarray) -> np.ndarray:
    """Return the mean of the map's pixels inside each box, (N,), float64."""
    total_HW = np.pad(map_HW.astype(np.float64), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    x0_N, y0_N, x1_N, y1_N = boxes_N4.T
    inside_N = total_HW[y1_N, x1_N] - total_HW[y0_N, x1_N] - total_HW[y1_N, x0_N] + total_HW[y0_N, x0_N]
    return inside_N / ((x1_N - x0_N) * (y1_N - y0_N))


def _lean_mse(x_CHW: np.ndarray, x_hat_CHW: np.ndarray) -> float:
    """Return `mse` from one channel after the other."""
    return float(np.mean([mse(x_HW, x_hat_HW) for x_HW, x_hat_HW in zip(x_CHW, x_hat_CHW, strict=True)]))
