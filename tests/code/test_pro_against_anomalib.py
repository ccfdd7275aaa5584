"""PRO against anomalib's own on the same maps: its numbers as a table, and live where it is installed.

The table holds what anomalib 2.7.0 (torch 2.14.1, CPU) gives for `drawn_maps(seed)`; with anomalib installed,
`python tests/code/test_pro_against_anomalib.py` prints it anew. anomalib sorts every pixel of every map in float32; ours
counts them in 4,096 bins as the maps come, which moves PRO by less than one in ten thousand.
"""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from zeromiss.metrics.ranking import PixelRanking

SIDE = 64
SEEDS = (0, 1, 2, 3, 4)
LIMITS = (0.05, 0.3, 1.0)
ANOMALIB = {  # by seed, one number a limit
    0: (0.2499617, 0.5171067, 0.7766299),
    1: (0.2776888, 0.5628397, 0.8066050),
    2: (0.2657902, 0.5641392, 0.8303269),
    3: (0.1435297, 0.3303216, 0.6721497),
    4: (0.3186822, 0.5376085, 0.7726277),
}
LARGEST = 1e-4  # difference allowed; the largest of these is 3.3e-5


def drawn_maps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw eight anomaly maps and their masks, (8, 64, 64): two normal, six with discs of 1 to 9 pixels radius, some touching."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:SIDE, :SIDE]
    marked = np.zeros((8, SIDE, SIDE), bool)
    for mask_HW in marked[2:]:
        for _ in range(rng.integers(1, 5)):
            (y, x), radius = rng.integers(4, SIDE - 4, 2), rng.integers(1, 10)
            mask_HW |= (row - y) ** 2 + (column - x) ** 2 <= radius**2
        y, x = rng.integers(2, SIDE - 2, 2)
        mask_HW[y, x] = mask_HW[y + 1, x + 1] = True  # touch at a corner: one region
    raised = np.stack([gaussian_filter(mask_HW.astype(float), 2.0) for mask_HW in marked])
    grain = np.stack([gaussian_filter(rng.normal(size=(SIDE, SIDE)), 1.0) for _ in marked])
    return np.exp(1.5 * raised + 2.0 * grain).astype(np.float32), marked


def ours(seed: int, limit: float) -> float:
    """PRO as the metrics stage computes it: map by map, the scale a usual value of a normal map."""
    values, marked = drawn_maps(seed)
    ranking = PixelRanking(scale=float(np.median(values[:2])))
    for map_HW, mask_HW in zip(values, marked, strict=True):
        ranking.add(map_HW, mask_HW if mask_HW.any() else None)
    return ranking.pro(limit)


def theirs(seed: int, limit: float) -> float:
    """PRO by anomalib."""
    import torch
    from anomalib.metrics.aupro import _AUPRO

    values, marked = drawn_maps(seed)
    metric = _AUPRO(fpr_limit=limit)
    metric.update(torch.from_numpy(values), torch.from_numpy(marked).int())
    return float(metric.compute())


@pytest.mark.parametrize(("seed", "limit"), [(seed, limit) for seed in SEEDS for limit in LIMITS])
def test_pro_is_that_of_anomalib(seed: int, limit: float) -> None:
    assert ours(seed, limit) == pytest.approx(ANOMALIB[seed][LIMITS.index(limit)], abs=LARGEST)


def test_pro_is_that_of_the_anomalib_installed_here() -> None:
    pytest.importorskip("anomalib")
    for seed in SEEDS:
        assert ours(seed, 0.3) == pytest.approx(theirs(seed, 0.3), abs=LARGEST)


if __name__ == "__main__":
    for number in SEEDS:
        print(f"    {number}: ({', '.join(f'{theirs(number, limit):.7f}' for limit in LIMITS)}),")
    differences = [ours(number, limit) - theirs(number, limit) for number in SEEDS for limit in LIMITS]
    print(f"largest difference {max(map(abs, differences)):.2g}")
