"""Patch distances against scipy and scikit-image, on boxes of mixed sizes, and every undefined case."""

import numpy as np
import pytest
from scipy import stats
from scipy.spatial import distance
from skimage.metrics import structural_similarity

from zeromiss.metrics.distances import DISTANCES, patch_distances
from zeromiss.metrics.patches import cut_patches

SIZE = 40
BOXES = np.array(
    [
        [0, 0, 16, 16], [24, 24, 40, 40], [3, 5, 7, 9], [10, 2, 18, 10], [20, 20, 32, 32],
        [0, 7, 3, 11], [37, 0, 40, 2], [5, 39, 21, 40], [0, 0, 1, 2], [8, 8, 15, 15], [1, 30, 6, 35],
    ]
)  # fmt: skip


def draw(seed: int = 0, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Draw an image of 8-bit values and a reconstruction that is near it, both float32 in [0, 1]."""
    rng = np.random.default_rng(seed)
    x = (rng.integers(0, 256, (channels, SIZE, SIZE)) / 255).astype(np.float32)
    return x, np.clip(x + rng.normal(0, 0.15, x.shape), 0, 1).astype(np.float32)


def vectors(box: np.ndarray, *images: np.ndarray) -> list[np.ndarray]:
    """Return the values of all channels in a box, in float64."""
    x0, y0, x1, y1 = box
    return [image[:, y0:y1, x0:x1].astype(np.float64).ravel() for image in images]


def shares(values: np.ndarray) -> np.ndarray:
    """Return a histogram over [0, 1] as numpy makes it."""
    return np.histogram(values, bins=32, range=(0, 1))[0] / len(values)


REFERENCE = {
    "braycurtis": distance.braycurtis,
    "canberra": distance.canberra,
    "euclidean": distance.euclidean,
    "cosine": distance.cosine,
    "wasserstein": stats.wasserstein_distance,
    "hamming": lambda u, v: distance.hamming(np.rint(u * 255).astype(int), np.rint(v * 255).astype(int)),
    "minkowski": lambda u, v: distance.minkowski(u, v, p=3),
    "chebyshev": distance.chebyshev,
    "cityblock": distance.cityblock,
    "correlation": distance.correlation,
    "jensenshannon": lambda u, v: distance.jensenshannon(shares(u), shares(v)),
    "frechet": lambda u, v: (u.mean() - v.mean()) ** 2 + (u.std() - v.std()) ** 2,
}


@pytest.mark.parametrize("name", sorted(REFERENCE))
@pytest.mark.parametrize("channels", [1, 3])
def test_distance_agrees_with_its_reference(name: str, channels: int) -> None:
    x, x_hat = draw(channels=channels)
    expected = [REFERENCE[name](*vectors(box, x, x_hat)) for box in BOXES]
    np.testing.assert_allclose(patch_distances(x, x_hat, BOXES)[name], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("side", [3, 5, 7, 11, 15])
def test_ssim_agrees_with_scikit_image_whose_window_is_the_patch(side: int) -> None:
    x, x_hat = draw(seed=side)
    boxes = np.array([[4, 6, 4 + side, 6 + side], [0, 0, 16, 16]])
    u, v = (image[:, 6 : 6 + side, 4 : 4 + side].astype(np.float64) for image in (x, x_hat))
    expected = 1 - structural_similarity(u, v, win_size=side, data_range=1.0, channel_axis=0)
    assert patch_distances(x, x_hat, boxes)["ssim"][0] == pytest.approx(expected, abs=1e-5)


def test_ssim_of_a_two_pixel_patch_by_hand() -> None:
    x, x_hat = np.array([[[0.0, 1.0]]], np.float32), np.array([[[1.0, 0.0]]], np.float32)
    # means 0.5 and 0.5, sample variances 0.5 and 0.5, covariance -0.5
    expected = 1 - (-1.0 + 0.03**2) / (1.0 + 0.03**2)
    assert patch_distances(x, x_hat, np.array([[0, 0, 2, 1]]))["ssim"][0] == pytest.approx(expected, abs=1e-9)


def test_all_distances_of_a_small_patch_by_hand() -> None:
    x, x_hat = np.array([[[0.0, 1.0], [1.0, 0.0]]], np.float32), np.array([[[0.0, 1.0], [0.0, 0.0]]], np.float32)
    found = {name: values[0] for name, values in patch_distances(x, x_hat, np.array([[0, 0, 2, 2]])).items()}
    assert found["cityblock"] == found["euclidean"] == found["minkowski"] == found["chebyshev"] == 1.0
    assert found["canberra"] == 1.0  # 0/0 twice, 0/2 once, 1/1 once
    assert found["braycurtis"] == pytest.approx(1 / 3)
    assert found["hamming"] == found["wasserstein"] == 0.25
    assert found["cosine"] == pytest.approx(1 - 1 / np.sqrt(2))
    assert found["correlation"] == pytest.approx(1 - 0.125 / (0.5 * np.sqrt(3) / 4))
    assert found["frechet"] == pytest.approx(0.25**2 + (0.5 - np.sqrt(3) / 4) ** 2)
    divergence = (0.5 * np.log(0.5 / 0.625) + 0.5 * np.log(0.5 / 0.375) + 0.75 * np.log(0.75 / 0.625) + 0.25 * np.log(0.25 / 0.375)) / 2
    assert found["jensenshannon"] == pytest.approx(np.sqrt(divergence))


def test_a_patch_alone_has_the_same_distances_as_among_others() -> None:
    x, x_hat = draw(seed=4)
    together = patch_distances(x, x_hat, BOXES)
    for index, box in enumerate(BOXES):
        for name, values in patch_distances(x, x_hat, box[None]).items():
            assert values[0] == pytest.approx(together[name][index], rel=1e-9, abs=1e-12), name


@pytest.mark.parametrize("chunk", [1, 1000, 100_000])
def test_the_size_of_a_chunk_changes_nothing_that_shows(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, x_hat = draw(seed=6)
    whole = patch_distances(x, x_hat, BOXES)
    monkeypatch.setattr("zeromiss.metrics.distances.CHUNK", chunk)
    for name, values in patch_distances(x, x_hat, BOXES).items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-12, err_msg=name)


def test_every_distance_of_identical_patches_is_nothing() -> None:
    x, _ = draw(seed=5)
    for name, values in patch_distances(x, x.copy(), BOXES).items():
        np.testing.assert_allclose(values, 0.0, atol=1e-12, err_msg=name)


def test_names_and_their_order() -> None:
    assert tuple(patch_distances(*draw(), BOXES)) == DISTANCES
    assert len(DISTANCES) == 13


def constant(first: float, second: float) -> dict[str, float]:
    """Return the distances between two patches of one value each."""
    images = (np.full((3, 8, 8), value, np.float32) for value in (first, second))
    return {name: values[0] for name, values in patch_distances(*images, np.array([[2, 2, 6, 6]])).items()}


def test_undefined_two_black_patches_do_not_differ() -> None:
    found = constant(0.0, 0.0)
    assert found == dict.fromkeys(DISTANCES, 0.0)


def test_undefined_one_black_patch() -> None:
    found = constant(0.0, 0.5)
    assert found["cosine"] == 1.0 and found["correlation"] == 0.0 and found["braycurtis"] == 1.0
    assert found["canberra"] == 48.0


def test_undefined_two_constant_patches_have_no_correlation_to_lose() -> None:
    found = constant(0.2, 0.7)
    assert found["correlation"] == 0.0 and found["cosine"] == pytest.approx(0.0, abs=1e-7)
    assert found["frechet"] == pytest.approx(0.25, abs=1e-6)


def test_undefined_one_constant_patch() -> None:
    x, _ = draw()
    found = patch_distances(x, np.full_like(x, 0.5), BOXES[:5])
    assert found["correlation"].tolist() == [1.0] * 5


def test_undefined_one_pixel_patch_has_no_sample_covariance() -> None:
    x, x_hat = np.full((1, 4, 4), 0.25, np.float32), np.full((1, 4, 4), 0.75, np.float32)
    found = {name: values[0] for name, values in patch_distances(x, x_hat, np.array([[1, 1, 2, 2]])).items()}
    luminance = (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)
    assert found["ssim"] == pytest.approx(1 - luminance, abs=1e-9)
    assert found["correlation"] == 0.0 and found["frechet"] == pytest.approx(0.25)


def test_hamming_ignores_what_8_bits_cannot_hold() -> None:
    x = np.full((1, 4, 4), 100 / 255, np.float32)
    near, next_value = x + np.float32(0.4 / 255), x + np.float32(0.6 / 255)
    box = np.array([[0, 0, 4, 4]])
    assert patch_distances(x, near, box)["hamming"][0] == 0.0
    assert patch_distances(x, next_value, box)["hamming"][0] == 1.0


def test_no_distance_is_ever_nan_on_hard_patches() -> None:
    rng = np.random.default_rng(7)
    x = (rng.random((3, SIZE, SIZE)) > 0.9).astype(np.float32)
    x_hat = np.where(rng.random(x.shape) > 0.5, x, 0).astype(np.float32)
    corners = rng.integers(0, SIZE - 2, (300, 2))
    boxes = np.concatenate((corners, np.minimum(corners + rng.integers(1, 17, (300, 2)), SIZE)), axis=1)
    for name, values in patch_distances(x, x_hat, boxes).items():
        assert np.isfinite(values).all() and (values >= 0).all(), name


def test_patches_hold_the_pixels_of_their_box_and_nothing_else() -> None:
    x, x_hat = draw(seed=9)
    patches = cut_patches(x, x_hat, BOXES)
    assert patches.area_Q.tolist() == [256, 256, 16, 64, 144, 12, 6, 16, 2, 49, 25]
    for index, box in enumerate(BOXES):
        inside = patches.valid_QA[index]
        u, v = vectors(box, x, x_hat)
        assert (patches.x_QCA[index][:, inside].ravel() == u.astype(np.float32)).all()
        assert (patches.x_hat_QCA[index][:, inside].ravel() == v.astype(np.float32)).all()
        assert not patches.x_QCA[index][:, ~inside].any()


@pytest.mark.parametrize("box", [[3, 4, 7, 8], [37, 36, 40, 40], [0, 0, 1, 40], [39, 39, 40, 40]])
def test_wider_padding_adds_nothing_but_zeros(box: list[int]) -> None:
    patches = cut_patches(*draw(seed=10), np.array([box]))
    padded = patches.padded(40)
    x0, y0, x1, y1 = box
    inside = np.zeros((40, 40), bool)
    inside[: y1 - y0, : x1 - x0] = True
    assert (padded.valid_QA[0] == inside.ravel()).all()
    for found, image in zip((padded.x_QCA, padded.x_hat_QCA), draw(seed=10), strict=True):
        assert not found[..., ~inside.ravel()].any()
        assert (found[0][:, inside.ravel()].ravel() == image[:, y0:y1, x0:x1].ravel()).all()
