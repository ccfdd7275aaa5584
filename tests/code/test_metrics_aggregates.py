"""Aggregates against numpy, and the names of the table's columns."""

import numpy as np
import pytest

from zeromiss.metrics.aggregates import AGGREGATES, aggregate
from zeromiss.metrics.columns import feature_columns, image_columns, localised_columns


def test_aggregates_by_hand() -> None:
    assert AGGREGATES == ("sum", "max", "min", "mean", "q1", "q2", "q3")
    assert aggregate(np.array([[4.0, 1.0, 3.0, 2.0]])).tolist() == [[10.0, 4.0, 1.0, 2.5, 1.75, 2.5, 3.25]]


def test_aggregates_of_a_single_value() -> None:
    assert aggregate(np.array([[0.5]])).tolist() == [[0.5] * 7]


@pytest.mark.parametrize("count", [2, 7, 100, 250])
def test_aggregates_agree_with_numpy(count: int) -> None:
    values = np.random.default_rng(count).random((5, count), dtype=np.float32)
    wide = values.astype(np.float64)
    expected = [wide.sum(1), wide.max(1), wide.min(1), wide.mean(1), *np.percentile(wide, [25, 50, 75], axis=1)]
    np.testing.assert_allclose(aggregate(values), np.stack(expected, axis=1), rtol=1e-12)


@pytest.mark.parametrize("shape", [(3, 0), (4,)])
def test_nothing_to_aggregate_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="N >= 1"):
        aggregate(np.zeros(shape))


def test_number_of_columns() -> None:
    assert len(image_columns("vqgan")) == 7 + 7 + 7 + 7
    assert len(localised_columns("vqgan", masked=False)) == 7 + 14 * 7
    assert len(feature_columns("vqgan", masked=False)) == 28 + 105
    assert len(feature_columns("vqgan", masked=True)) == 28 + 2 * 105


def test_names_of_columns() -> None:
    columns = feature_columns("vqgan", masked=True)
    assert len(set(columns)) == len(columns)
    assert columns[:2] == ["vqgan.image.mse", "vqgan.image.perceptual_mse"]
    for name in (
        "vqgan.patch.ssim.sum.masked",
        "vqgan.patch.fid.mean",
        "vqgan.pixel.difference.q3.masked",
        "vqgan.image.difference.q2",
        "vqgan.image.map.mean",
        "vqgan.image.context.max",
    ):
        assert name in columns
    assert feature_columns("ganodip", masked=False)[0] == "ganodip.image.mse"


def test_plain_columns_come_before_masked_ones() -> None:
    columns = feature_columns("vqgan", masked=True)
    masked = [name.endswith(".masked") for name in columns]
    assert masked == sorted(masked)
    assert columns[:133] == feature_columns("vqgan", masked=False)


SERIES = {
    "even": lambda rng, count: rng.random((2, count), dtype=np.float32),
    "far apart": lambda rng, count: rng.lognormal(0, 4, (2, count)).astype(np.float32),
    "many alike": lambda rng, count: np.round(rng.random((2, count)), 1).astype(np.float32),
    "mostly nothing": lambda rng, count: (rng.random((2, count)) > 0.9).astype(np.float32),
    "negative": lambda rng, count: rng.normal(size=(2, count)).astype(np.float32),
    "float64": lambda rng, count: rng.random((2, count)),
}


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 250, 4095, 4096, 4097, 20_003])
@pytest.mark.parametrize("series", SERIES)
def test_quartiles_of_any_series_are_numpys_to_the_bit(series: str, count: int) -> None:
    values = SERIES[series](np.random.default_rng(count), count)
    expected = np.quantile(values.astype(np.float64), (0.25, 0.5, 0.75), axis=1).T
    assert (aggregate(values)[:, 4:] == expected).all()
