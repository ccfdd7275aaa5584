"""PaDiM on anomalib: its distances are Mahalanobis's, it finds blots on drawn parts, and comes back from disk bit for bit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from torch.nn import functional

from tests.model.peers_parts import SIDE, assert_found_alike, assert_keeps_its_promises, assert_same, drawn_weights, parts, unseen
from zeromiss.detector_params import PadimParams
from zeromiss.detectors.load import load_detector
from zeromiss.detectors.padim.padim import Padim
from zeromiss.detectors.padim.store import load_padim, save_padim
from zeromiss.detectors.padim.train import drawn, train
from zeromiss.errors import ZeromissError
from zeromiss.params import read_params

TINY = PadimParams(features=12)


@pytest.fixture(scope="module")
def padim() -> Padim:
    """Fitted on ten parts."""
    return train(TINY, parts(10), size=SIDE, seed=5).detector


def test_blots_stand_out(padim):
    normal, spoiled = padim.detect(unseen()), padim.detect(unseen(spoiled=True))
    assert spoiled.score_B.min() > 2 * normal.score_B.max()
    marked_BHW = (unseen(spoiled=True) - unseen()).abs().amax(dim=1) > 0.3
    assert all(map_HW[mask_HW].mean() > 1.5 * map_HW[~mask_HW].mean() for map_HW, mask_HW in zip(spoiled.map_BHW, marked_BHW, strict=True))


def test_the_map_holds_mahalanobis_distances_from_the_images_that_taught(padim):
    with torch.no_grad():
        embedded = [padim.model.generate_embedding(padim.model.feature_extractor(padim.normalised(one))) for one in (parts(10).float() / 255, unseen()[:1])]
    taught_NDP, asked_DP = embedded[0].flatten(2).double().numpy(), embedded[1][0].flatten(1).double().numpy()
    distances = []
    for position in range(asked_DP.shape[1]):
        rows_ND = taught_NDP[:, :, position]
        covariance_DD = np.cov(rows_ND, rowvar=False) + (0.01 + 1e-5) * np.eye(TINY.features)  # anomalib's regularisation
        distances.append(mahalanobis(asked_DP[:, position], rows_ND.mean(axis=0), np.linalg.inv(covariance_DD)))
    grid_BCHW = torch.tensor(np.reshape(distances, (1, 1, 8, 8)), dtype=torch.float32)
    expected = padim.model.anomaly_map_generator.blur(functional.interpolate(grid_BCHW, size=(SIDE, SIDE), mode="bilinear", align_corners=False))
    found = padim.detect(unseen()[:1])
    torch.testing.assert_close(found.map_BHW, expected[:, 0], rtol=2e-3, atol=1e-3)
    assert found.score_B[0] == found.map_BHW.max()


def test_detection_is_what_it_promises(padim):
    assert_keeps_its_promises(padim, unseen(spoiled=True))


def test_same_seed_gives_the_same_statistics_and_another_seed_other_channels(padim):
    assert_same(padim, train(TINY, parts(10), size=SIDE, seed=5).detector)
    assert not torch.equal(padim.model.idx, Padim(TINY, size=SIDE, seed=6).model.idx)


def test_building_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    Padim(TINY, size=SIDE, seed=3)
    assert torch.equal(before, torch.random.get_rng_state())


def test_at_most_so_many_images_are_looked_at():
    assert drawn(5, None, 1) == [0, 1, 2, 3, 4]
    few = drawn(100, 7, 1)
    assert len(set(few)) == 7 and few == sorted(few) == drawn(100, 7, 1) != drawn(100, 7, 2)
    images = parts(6)
    chosen = drawn(6, 3, 5)
    fitted = train(TINY.model_copy(update={"images": 3}), images, size=SIDE, seed=5).detector
    alone = train(TINY, images[chosen], size=SIDE, seed=5).detector
    assert torch.equal(fitted.model.gaussian.mean, alone.model.gaussian.mean)


def test_it_stays_in_evaluation_mode_and_keeps_no_image(padim):
    padim.train()
    padim.detect(unseen())
    assert padim.model.memory_bank == [] and not any(module.training for module in padim.modules())


def test_reloaded_it_judges_bit_for_bit(padim, tmp_path):
    save_padim(tmp_path, padim)
    loaded = load_detector(tmp_path)
    assert isinstance(loaded, Padim) and loaded.params == TINY
    assert_same(padim, loaded)
    assert_found_alike(padim.detect(unseen(spoiled=True)), loaded.detect(unseen(spoiled=True)))


def test_a_damaged_or_missing_file_is_named(padim, tmp_path: Path):
    save_padim(tmp_path, padim)
    (tmp_path / "config.json").write_text((tmp_path / "config.json").read_text().replace('"features": 12', '"features": 11'))
    with pytest.raises(ZeromissError, match="does not fit"):
        load_padim(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(ZeromissError, match="model.safetensors cannot be read"):
        load_padim(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ZeromissError, match="config.json"):
        load_padim(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"features": 153}, r"building padim failed \(.*152.*: check padim.backbone, padim.layers and padim.features"),
        ({"layers": (2, 9)}, "building padim failed"),
        ({"backbone": "no_such_net"}, "building padim failed"),
    ],
)
def test_what_it_cannot_be_built_with_is_told(change, words):
    with pytest.raises(ZeromissError, match=words):
        Padim(TINY.model_copy(update=change), size=SIDE)


def test_layers_must_rise():
    with pytest.raises(ValueError, match="name each layer once, from fine to coarse"):
        PadimParams(layers=(3, 2))


def test_one_image_is_too_few_and_another_size_is_refused(padim):
    with pytest.raises(ZeromissError, match="two normal images at least"):
        train(TINY, parts(1), size=SIDE, seed=5)
    with pytest.raises(ZeromissError, match="padim learned images of 64 pixels, this one has 64 x 48"):
        padim.detect(torch.zeros(1, 3, 48, 64))


def test_the_papers_parameters_fit(repository, tmp_path):
    params = PadimParams(**read_params(repository / "params.yaml")["profiles"]["paper"]["padim"])
    assert (params.backbone, params.layers, params.features, params.images) == ("resnet18", (1, 2, 3), 100, None)
    file = drawn_weights(tmp_path / "resnet18.safetensors", params.backbone, params.layers)
    fitted = train(params.model_copy(update={"backbone_path": file}), parts(3), size=SIDE, seed=5).detector
    assert fitted.model.gaussian.inv_covariance.shape == (16 * 16, 100, 100)
    assert fitted.detect(unseen()).score_B.isfinite().all()
