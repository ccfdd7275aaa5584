"""Whitening and Gaussians of places against numpy, scipy and scikit-learn."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import OAS
from zeromiss.backbones.normal_variation import (
    DROP, MIN_IMAGES, RIDGE, Moments, PlaceGaussians, PlaceMoments, Whitening, place_dims, worst_mean, worst_vector,
)  # fmt: skip
from zeromiss.errors import ZeromissError


def drawn(*shape, seed=0):
    """Return correlated vectors far from zero."""
    random = np.random.default_rng(seed)
    mix = random.normal(size=(shape[-1], shape[-1])) * np.geomspace(1.0, 0.05, shape[-1])
    return 40.0 + random.normal(size=shape) @ mix


def moments_of(values_NC, batch):
    """Return the moments of vectors included batch by batch."""
    moments = Moments()
    for part in np.array_split(values_NC, len(values_NC) // batch):
        moments.include(torch.from_numpy(part))
    return moments


def places_of(values_NhwK, dims):
    """Return the moments of each place."""
    moments = PlaceMoments(dims)
    for image_hwK in values_NhwK:
        moments.include(torch.from_numpy(image_hwK))
    return moments


@pytest.mark.parametrize("batch", [1, 7, 200])
def test_moments_are_those_of_numpy_however_they_come(batch):
    values_NC = drawn(200, 5)
    moments = moments_of(values_NC, batch)
    np.testing.assert_allclose(moments.mean_C, values_NC.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.covariance(), np.cov(values_NC.T), rtol=1e-10)


def test_whitening_is_numpy_s_eigendecomposition_by_hand():
    values_NC = drawn(500, 6)
    whitening = Whitening.fit(moments_of(values_NC, 50))
    value, vector = np.linalg.eigh(np.cov(values_NC.T))
    order = [index for index in np.argsort(-value) if value[index] > DROP * value.max()]
    value, vector = value[order], vector[:, order]
    expected_NK = (values_NC - values_NC.mean(0)) @ (vector / np.sqrt(value + RIDGE * value[0]))
    found_NK = whitening(torch.from_numpy(values_NC).float()).numpy()
    np.testing.assert_allclose(np.abs(found_NK), np.abs(expected_NK), rtol=2e-3, atol=2e-3)  # a sign a dimension is free
    np.testing.assert_allclose(np.cov(found_NK.T), np.diag(value / (value + RIDGE * value[0])), atol=2e-3)


def test_whitening_leaves_out_directions_that_hardly_vary():
    values_NC = np.random.default_rng(0).normal(size=(2000, 4)) * np.sqrt([1.0, 0.5, 2 * DROP, DROP / 2])
    assert Whitening.fit(moments_of(values_NC, 500)).dims == 3


def test_vectors_that_do_not_vary_are_refused():
    with pytest.raises(ZeromissError, match="do not vary at all"):
        Whitening.fit(moments_of(np.ones((10, 3)), 5))
    with pytest.raises(ZeromissError, match="two vectors at least, there are 1"):
        moments_of(np.ones((1, 3)), 1).covariance()


@pytest.mark.parametrize("shrinkage", [0.1, 0.7, None])
def test_distance_of_a_place_is_scipy_s_mahalanobis(shrinkage):
    values_NhwK = drawn(40, 3, 4, 6)
    places = PlaceGaussians.fit(places_of(values_NhwK, 5), shrinkage=shrinkage)
    query_hwK = drawn(3, 4, 6, seed=9)
    found_hw = places.distances(places.away(torch.from_numpy(query_hwK).float())).numpy()
    for row, column in ((0, 0), (1, 3), (2, 2)):
        leading_NJ = values_NhwK[:, row, column, :5]
        covariance = np.cov(leading_NJ.T, bias=True)
        if shrinkage is None:
            shrunk = OAS().fit(leading_NJ).covariance_
        else:
            shrunk = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / 5 * np.eye(5)
        expected = mahalanobis(query_hwK[row, column, :5], leading_NJ.mean(0), np.linalg.inv(shrunk))
        assert found_hw[row, column] == pytest.approx(expected, rel=1e-3)


def test_a_place_that_never_varies_has_a_finite_distance():
    places = PlaceGaussians.fit(places_of(np.zeros((MIN_IMAGES, 1, 1, 2)), 2), shrinkage=0.1)
    distance = places.distances(places.away(torch.ones(1, 1, 2)))
    assert torch.isfinite(distance).all() and float(distance) > 1000


def test_too_few_images_for_places_are_refused():
    with pytest.raises(ZeromissError, match=f"{MIN_IMAGES} normal images at least, there are 3"):
        PlaceGaussians.fit(places_of(np.zeros((3, 1, 1, 2)), 2), shrinkage=0.1)


def test_dimensions_of_places_stay_within_the_memory():
    assert place_dims(32 * 32, 152, mib=12.0) == 78 and place_dims(32 * 32, 64, mib=12.0) == 64
    assert place_dims(96 * 96, 64, mib=12.0) == 26
    assert place_dims(10**8, 64, mib=1.0) == 1


def test_what_is_stored_gives_the_same_bits():
    whitening = Whitening.fit(moments_of(drawn(100, 4), 10))
    places = PlaceGaussians.fit(places_of(drawn(30, 2, 2, 4), 3), shrinkage=0.1)
    again, placed = Whitening.of(whitening.tensors()), PlaceGaussians.of(places.tensors())
    query = torch.from_numpy(drawn(2, 2, 4, seed=5)).float()
    assert torch.equal(again(query), whitening(query)) and torch.equal(placed.distances(placed.away(query)), places.distances(places.away(query)))


def test_worst_cells_give_score_and_vector():
    map_hw = torch.arange(12.0).view(3, 4)
    assert float(worst_mean(map_hw[None])) == pytest.approx(np.arange(2, 12).mean())
    vectors = torch.stack([map_hw, -map_hw], dim=-1)
    assert worst_vector(map_hw, vectors).tolist() == pytest.approx([6.5, -6.5])
