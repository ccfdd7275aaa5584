"""The paper's four baselines by hand or by another library, and the plot of embeddings."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from zeromiss.backbones.base import Backbone
from zeromiss.detector_params import CpcaeParams
from zeromiss.detectors.cpcae import baselines
from zeromiss.detectors.cpcae.cpcae import Cpcae
from zeromiss.detectors.cpcae.embeddings import error_embeddings, latent_embeddings, tsne_points
from zeromiss.detectors.cpcae.train import embedding
from zeromiss.detectors.images import floats
from zeromiss.errors import ZeromissError

SIDE = 16


@pytest.fixture
def taught() -> Tensor:
    """Twelve drawn images of bytes, (12, 3, 16, 16)."""
    return torch.randint(0, 256, (12, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.fixture
def cpcae(tiny_backbone: Backbone, taught: Tensor) -> Cpcae:
    """A detector whose autoencoder has learned nothing, with the images' error maps remembered."""
    made = Cpcae(CpcaeParams(downsize=1.0, patch=8, patch_step=4, channels=(4,), code=3, neighbors=4), tiny_backbone, size=SIDE, seed=0).eval()
    made.remember(torch.cat([embedding(made, floats(image)) for image in taught]))
    return made


def test_ae_l2_is_the_summed_squared_error(cpcae: Cpcae, taught: Tensor):
    image_CHW = floats(taught[0])
    image_hat_CHW = cpcae.reconstruct(image_CHW[None]).image_hat_BCHW[0]
    expected = ((image_CHW.double() - image_hat_CHW.double()) ** 2).sum()
    assert baselines.ae_l2(cpcae)(image_CHW) == pytest.approx(float(expected), rel=1e-5)


def test_deep_feature_agrees_with_scikit_learn(tiny_backbone: Backbone, taught: Tensor):
    def features(images: Tensor) -> np.ndarray:
        return np.stack([tiny_backbone(floats(image)[None])[-1][0].detach().numpy().max(axis=(1, 2)) for image in images])

    scaler = StandardScaler().fit(features(taught[:10]))
    neighbours = NearestNeighbors(n_neighbors=4).fit(scaler.transform(features(taught[:10])))
    expected = (neighbours.kneighbors(scaler.transform(features(taught[10:])))[0] ** 2).mean(axis=1)
    score = baselines.deep_feature(taught[:10], tiny_backbone, 4)
    np.testing.assert_allclose([score(floats(image)) for image in taught[10:]], expected, rtol=1e-3)


def test_deep_feature_with_too_few_images_refuses(tiny_backbone: Backbone, taught: Tensor):
    with pytest.raises(ZeromissError, match="baseline deep_feature needs 15 training images and there are 12"):
        baselines.deep_feature(taught, tiny_backbone, 15)


def test_nearest_by_hand(taught: Tensor, monkeypatch: pytest.MonkeyPatch):
    image_CHW = floats(taught[7]).clone()
    image_CHW[0, 0, 0] += 3.0
    image_CHW[2, 5, 5] -= 4.0
    assert baselines.nearest(taught)(image_CHW) == pytest.approx(5.0, rel=1e-5)
    monkeypatch.setattr(baselines, "_CHUNK", 5)  # its neighbour lies in the second of three chunks
    assert baselines.nearest(taught)(image_CHW) == pytest.approx(5.0, rel=1e-5)
    assert baselines.nearest(taught)(floats(taught[3])) == 0.0


def test_variation_by_hand():
    images = torch.zeros(2, 3, 1, 2, dtype=torch.uint8)
    images[0, :, 0, 0], images[1, :, 0, 0] = 51, 153  # grey 0.2 and 0.6: mean 0.4, deviation 0.2; the other pixel never varies
    image_CHW = torch.zeros(3, 1, 2)
    image_CHW[:, 0, 0], image_CHW[:, 0, 1] = 1.0, 2 / 255
    score = baselines.variation(images)
    np.testing.assert_allclose(score.map(image_CHW), [[3.0, 2.0]], rtol=1e-3)
    assert score(image_CHW) == pytest.approx(9 + 4, rel=1e-3)


def test_baseline_scores_are_those_of_the_four(cpcae: Cpcae, taught: Tensor):
    found = baselines.baseline_scores(taught[:10], taught[10:], cpcae)
    assert tuple(found) == baselines.BASELINES == ("ae_l2", "deep_feature", "nearest", "variation")
    alone = {
        "ae_l2": baselines.ae_l2(cpcae),
        "deep_feature": baselines.deep_feature(taught[:10], cpcae.backbone, 4),
        "nearest": baselines.nearest(taught[:10]),
        "variation": baselines.variation(taught[:10]),
    }
    for name, score in alone.items():
        assert found[name].dtype == np.float64
        assert found[name].tolist() == [score(floats(image)) for image in taught[10:]], name


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_each_baseline_sees_an_obvious_defect(cpcae: Cpcae, name: str):
    generator = torch.Generator().manual_seed(1)
    normal = torch.randint(100, 120, (30, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    defect = normal[20:].clone()
    defect[:, :, 4:10, 4:10] = 255
    found = baselines.baseline_scores(normal[:20], torch.cat([normal[20:], defect]), cpcae)[name]
    assert found[10:].min() > found[:10].max()


def test_embeddings_are_those_the_neighbours_are_found_by(cpcae: Cpcae, taught: Tensor):
    found_NF = error_embeddings(cpcae, taught[:3])
    np.testing.assert_array_equal(found_NF, cpcae.memory_NF[:3].numpy())
    codes_NF = latent_embeddings(cpcae, taught[:3])
    assert codes_NF.shape == (3, 9 * 3)  # patches times the code's width
    np.testing.assert_array_equal(codes_NF[1], cpcae.redraw(floats(taught[1]))[1].detach().numpy().ravel())


def test_tsne_keeps_two_groups_apart_and_repeats_itself():
    generator = np.random.default_rng(0)
    embeddings_NF = generator.normal(0, 0.1, (20, 5)) + np.repeat([[0.0], [20.0]], 10, axis=0)
    points = tsne_points(embeddings_NF, 0)
    assert points.shape == (20, 2)
    np.testing.assert_array_equal(points, tsne_points(embeddings_NF, 0))
    centres = points[:10].mean(axis=0), points[10:].mean(axis=0)
    own = np.linalg.norm(points[:10] - centres[0], axis=1), np.linalg.norm(points[:10] - centres[1], axis=1)
    assert (own[0] < own[1]).all()
    with pytest.raises(ZeromissError, match="a t-SNE plot needs at least 4 images, there are 3"):
        tsne_points(embeddings_NF[:3], 0)
