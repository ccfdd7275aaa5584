"""Statistics of anomaly maps against numpy, scipy and scikit-image."""

import numpy as np
import pytest
from scipy import stats
from skimage.measure import label
from zeromiss.errors import ZeromissError
from zeromiss.metrics.map_statistics import QUANTILES, STATISTICS, map_statistics, normal_level


def named(map_hw, level=np.inf):
    """Return the statistics by name."""
    return dict(zip(STATISTICS, map_statistics(map_hw, level), strict=True))


def drawn(*shape, seed=0):
    """Return a map of skewed values."""
    return np.random.default_rng(seed).gamma(2.0, size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(32, 32), (17, 40), (4, 4), (256, 128)])
def test_distribution_agrees_with_numpy_and_scipy(shape):
    map_hw = drawn(*shape)
    found, values = named(map_hw), map_hw.astype(np.float64).ravel()
    for name, share in QUANTILES.items():
        assert found[name] == pytest.approx(np.quantile(values, share), rel=1e-12)
    assert found["skewness"] == pytest.approx(stats.skew(values), rel=1e-9)
    assert found["kurtosis"] == pytest.approx(stats.kurtosis(values, fisher=False), rel=1e-9)
    assert (found["mean"], found["std"], found["max"]) == (pytest.approx(values.mean()), pytest.approx(values.std()), values.max())
    assert found["top10"] == pytest.approx(np.sort(values)[-10:].mean())


def test_grid_has_the_largest_value_of_each_part_sorted():
    map_hw = np.zeros((8, 8))
    map_hw[0, 0], map_hw[1, 1], map_hw[7, 7], map_hw[2, 5] = 5.0, 4.0, 9.0, 7.0  # the first two share a part of 2 x 2
    found = named(map_hw)
    assert [found[f"grid{rank:02d}"] for rank in range(5)] == [9.0, 7.0, 5.0, 0.0, 0.0]


def test_a_map_smaller_than_the_grid_repeats_its_smallest_part():
    found = named(np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert [found[f"grid{rank:02d}"] for rank in range(16)] == [4.0, 3.0, 2.0] + [1.0] * 13


def test_blobs_agree_with_scikit_image():
    map_hw = drawn(40, 60, seed=3)
    level = float(np.quantile(map_hw, 0.93))
    found = named(map_hw, level)
    assert found["blob_count"] == label(map_hw > level, connectivity=2).max() > 10
    assert found["blob_area"] == pytest.approx((map_hw > level).mean())


def test_blobs_that_touch_at_a_corner_are_one():
    map_hw = np.zeros((6, 6))
    map_hw[1, 1] = map_hw[2, 2] = map_hw[5, 0] = 1.0
    found = named(map_hw, 0.5)
    assert found["blob_count"] == 2 and found["blob_area"] == pytest.approx(3 / 36)


def test_a_flat_map_has_no_skewness_and_no_blob():
    found = named(np.full((5, 5), 0.3), 0.3)
    assert [found[name] for name in ("std", "skewness", "kurtosis", "blob_count", "blob_area")] == [0.0] * 5
    assert found["q99"] == found["max"] == 0.3


def test_a_value_that_is_not_finite_is_refused():
    with pytest.raises(ZeromissError, match="not finite"):
        map_statistics(np.array([[1.0, np.nan]]), 1.0)


def test_normal_level_is_the_quantile_over_all_maps():
    maps = [drawn(20, 20, seed=seed) for seed in range(4)]
    assert normal_level(maps) == pytest.approx(np.quantile(np.stack(maps).astype(np.float64), 0.999))
    with pytest.raises(ZeromissError, match="manifest.mask above 0"):
        normal_level([])
