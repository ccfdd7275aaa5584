"""The patch distances of one image and their aggregates against a loop over scipy, scikit-image and numpy.

The loop is what a careful user would write: a box is cut once, every distance is one call of the library that has it,
values stay in memory. scikit-image's SSIM takes windows of odd sides alone: there the loop takes the largest odd
window that fits, and equality is checked on boxes cut to odd squares.
"""

import numpy as np
import torch
from scipy import stats
from scipy.spatial import distance
from skimage.metrics import structural_similarity

from benchmarks.localisation import boxes_of, drawn_pair
from benchmarks.measure import Figure, paired, speedup
from zeromiss.memory import keep_freed_memory
from zeromiss.metrics.aggregates import aggregate
from zeromiss.metrics.distances import DISTANCES, patch_distances
from zeromiss.stage_params import MetricsParams

SIDE = 256
ROUNDS = 7
REPEATS = 20  # of ours in a round
LEAST = 50
CLOSE = 1e-5


def run() -> list[Figure]:
    """Return how many times as fast ours is, and the largest deviation."""
    params = MetricsParams()
    x, x_hat = drawn_pair(SIDE)
    boxes = boxes_of(torch.from_numpy(x), torch.from_numpy(x_hat), params).numpy()
    sizes = boxes[:, 2:] - boxes[:, :2]
    boxes = boxes[(sizes >= 3).all(axis=1)]  # the smallest window of SSIM
    boxes = boxes[np.random.default_rng(0).choice(len(boxes), params.patches, replace=False)]
    torch.set_num_threads(1)  # both sides: numpy alone
    keep_freed_memory()  # as the product does before it measures
    times = paired(lambda: [ours(x, x_hat, boxes) for _ in range(REPEATS)], lambda: theirs(x, x_hat, boxes), rounds=ROUNDS)
    times = type(times)(ours=tuple(seconds / REPEATS for seconds in times.ours), theirs=times.theirs)
    what = f"the {len(DISTANCES)} patch distances of {len(boxes)} patches and their aggregates"
    peer = "a loop over scipy.spatial.distance, scipy.stats, scikit-image, numpy"
    note = f"boxes of a drawn {SIDE} x {SIDE} image, sides 3 to 16"
    deviation, name = _deviation(x, x_hat, boxes)
    return [
        speedup(times, what=what, against=peer, least=LEAST, note=note),
        Figure(
            what="largest deviation of a distance or aggregate, relative to max(1, its size)",
            against=peer,
            target=f"<= {CLOSE:g}",
            value=deviation,
            met=deviation <= CLOSE,
            note=f"in {name}; SSIM compared on the boxes cut to odd squares, whose window scikit-image can take",
        ),
    ]


def ours(x: np.ndarray, x_hat: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the aggregates (13, 7) as the product makes them."""
    return aggregate(np.stack(list(patch_distances(x, x_hat, boxes).values())))


def theirs(x: np.ndarray, x_hat: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the aggregates (13, 7) by a loop over boxes and libraries."""
    rows = [_reference(x[:, y0:y1, x0:x1], x_hat[:, y0:y1, x0:x1]) for x0, y0, x1, y1 in boxes.tolist()]
    return np.array([_aggregates(np.array([row[name] for row in rows])) for name in DISTANCES])


def _reference(x: np.ndarray, x_hat: np.ndarray) -> dict[str, float]:
    """Return every distance of one patch, (C, h, w) each."""
    u, v = x.ravel().astype(np.float64), x_hat.ravel().astype(np.float64)
    p, q = (np.histogram(values, bins=32, range=(0, 1))[0] for values in (u, v))
    window = min(x.shape[1:]) - 1 + min(x.shape[1:]) % 2
    return {
        "frechet": (u.mean() - v.mean()) ** 2 + (u.std() - v.std()) ** 2,
        "ssim": 1 - structural_similarity(x.astype(np.float64), x_hat.astype(np.float64), win_size=window, data_range=1.0, channel_axis=0),
        "braycurtis": distance.braycurtis(u, v),
        "canberra": distance.canberra(u, v),
        "euclidean": distance.euclidean(u, v),
        "cosine": distance.cosine(u, v),
        "wasserstein": stats.wasserstein_distance(u, v),
        "hamming": distance.hamming(np.rint(u * 255), np.rint(v * 255)),
        "minkowski": distance.minkowski(u, v, p=3),
        "chebyshev": distance.chebyshev(u, v),
        "cityblock": distance.cityblock(u, v),
        "correlation": distance.correlation(u, v),
        "jensenshannon": distance.jensenshannon(p, q),
    }


def _aggregates(values: np.ndarray) -> list[float]:
    """Return the seven aggregates of one series."""
    return [values.sum(), values.max(), values.min(), values.mean(), *np.quantile(values, (0.25, 0.5, 0.75))]


def _deviation(x: np.ndarray, x_hat: np.ndarray, boxes: np.ndarray) -> tuple[float, str]:
    """Return the largest deviation of any distance or aggregate, and which it is."""
    smallest = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, keepdims=True)
    odd = np.concatenate((boxes[:, :2], boxes[:, :2] + smallest - 1 + smallest % 2), axis=1)
    worst = {}
    for name in DISTANCES:
        taken = odd if name == "ssim" else boxes
        found = patch_distances(x, x_hat, taken)[name]
        expected = np.array([_reference(x[:, b:d, a:c], x_hat[:, b:d, a:c])[name] for a, b, c, d in taken.tolist()])
        pairs = ((found, expected), (aggregate(found[None])[0], np.array(_aggregates(expected))))
        worst[name] = max(float((np.abs(one - other) / np.maximum(1, np.abs(other))).max()) for one, other in pairs)
    name = max(worst, key=worst.__getitem__)
    return worst[name], name
