"""GANomaly on anomalib: it redraws drawn parts, tells blots by its codes, goes on after a kill, and comes back bit for bit."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.model.peers_parts import assert_found_alike, assert_keeps_its_promises, assert_same, judged, parts, unseen
from zeromiss.detector_params import GanomalyParams
from zeromiss.detectors.ganomaly.ganomaly import Ganomaly
from zeromiss.detectors.ganomaly.store import load_ganomaly, save_ganomaly
from zeromiss.detectors.ganomaly.train import train
from zeromiss.detectors.load import load_detector
from zeromiss.errors import ZeromissError
from zeromiss.params import read_params

SIDE = 48
TINY = GanomalyParams(side=32, channels=4, latent=32, encoder=5.0, batch=4, steps=4, checkpoint_every=2, learning_rate=2e-3)


def trained(params: GanomalyParams = TINY, *, seed: int = 5, **others: object) -> Ganomaly:
    """Train on sixteen parts."""
    return train(params, parts(16, side=SIDE), size=SIDE, seed=seed, **others).detector


@pytest.fixture(scope="module")
def ganomaly() -> Ganomaly:
    """Trained until it redraws parts."""
    return trained(TINY.model_copy(update={"steps": 120, "batch": 8}))


def test_blots_stand_out(ganomaly):
    normal, spoiled = (judged(ganomaly, unseen(spoiled=choice, side=SIDE)) for choice in (False, True))
    assert spoiled.score_B.min() > normal.score_B.max()
    marked_BHW = (unseen(spoiled=True, side=SIDE) - unseen(side=SIDE)).abs().amax(dim=1) > 0.3
    assert all(map_HW[mask_HW].mean() > 1.5 * map_HW[~mask_HW].mean() for map_HW, mask_HW in zip(spoiled.map_BHW, marked_BHW, strict=True))


def test_it_redraws_parts_at_their_own_size(ganomaly):
    image_BCHW = unseen(side=SIDE)
    found = ganomaly.reconstruct(image_BCHW)
    assert found.image_hat_BCHW.shape == image_BCHW.shape and found.image_hat_BCHW.dtype == torch.float32
    assert 0 <= found.image_hat_BCHW.min() and found.image_hat_BCHW.max() <= 1
    mean_CHW = parts(16, side=SIDE).float().mean(dim=0) / 255
    assert (found.image_hat_BCHW - image_BCHW).abs().mean() < 0.5 * (mean_CHW.mean(dim=(1, 2), keepdim=True) - image_BCHW).abs().mean()
    low = ganomaly.reconstruct(image_BCHW, "bf16").image_hat_BCHW
    assert low.dtype == torch.float32 and 0 < (low - found.image_hat_BCHW).abs().max() < 0.1


def test_the_score_is_the_mean_squared_difference_of_the_codes(ganomaly):
    image_BCHW = unseen(side=SIDE)
    seen_BCHW = 2 * functional.interpolate(image_BCHW, size=(32, 32), mode="bilinear", antialias=True, align_corners=False) - 1
    generator = ganomaly.model.generator
    with torch.no_grad():
        code = generator.encoder1(seen_BCHW)
        again = generator.encoder2(generator.decoder(code))
    expected = (code - again).square().flatten(1).mean(dim=1)
    torch.testing.assert_close(judged(ganomaly, image_BCHW).score_B, expected, rtol=1e-4, atol=1e-7)


def test_the_map_is_the_mean_absolute_difference_from_the_redrawing(ganomaly):
    image_BCHW, other_BCHW = torch.zeros(1, 3, SIDE, SIDE), torch.zeros(1, 3, SIDE, SIDE)
    image_BCHW[0, :, 1, 2] = torch.tensor([0.9, 0.3, 0.0])
    reconstruction = type(ganomaly.reconstruct(image_BCHW))(image_hat_BCHW=other_BCHW)
    expected_BHW = torch.zeros(1, SIDE, SIDE)
    expected_BHW[0, 1, 2] = 0.4
    torch.testing.assert_close(ganomaly.score(image_BCHW, reconstruction).map_BHW, expected_BHW)


def test_sides_that_are_no_power_of_two_are_padded_and_cut(ganomaly):
    detector = Ganomaly(TINY.model_copy(update={"side": 45}), seed=1).eval()
    seen_BCHW = torch.rand(1, 3, 45, 45)
    drawn = []
    detector.model.generator.decoder.register_forward_hook(lambda module, given, out: drawn.append(out))
    cut_BCHW = detector._redrawn(seen_BCHW)
    assert drawn[0].shape[-2:] == (64, 64)
    padded_BCHW = functional.pad(seen_BCHW, (10, 9, 10, 9))  # the larger half before, as anomalib pads
    torch.testing.assert_close(detector.model.generator.encoder1(padded_BCHW), detector.model.generator.encoder1(pad(seen_BCHW)))
    assert torch.equal(cut_BCHW, drawn[0][..., 10:55, 10:55])


def pad(image_BCHW: Tensor) -> Tensor:
    """anomalib's own padding."""
    from anomalib.data.utils.image import pad_nextpow2

    return pad_nextpow2(image_BCHW)


def test_the_first_losses_are_the_papers():
    params = TINY.model_copy(update={"steps": 1, "batch": 2, "adversarial": 2.0, "contextual": 30.0, "encoder": 5.0})
    image = parts(1, side=32)
    row = train(params, image, size=32, seed=5).history[0]
    model = Ganomaly(params, seed=5).train().model
    seen_BCHW = 2 * torch.cat([image, image]).float() / 255 - 1
    _, drawn_BCHW, code, again = model(seen_BCHW)
    real, fake = model.discriminator(seen_BCHW)[0], model.discriminator(drawn_BCHW)[0]
    adversarial, contextual = (real - fake).square().mean(), (seen_BCHW - drawn_BCHW).abs().mean()
    expected = 2 * adversarial + 30 * contextual + 5 * functional.smooth_l1_loss(code, again)
    assert row["generator"] == pytest.approx(float(expected.detach()), rel=1e-4)
    assert row["discriminator"] == pytest.approx(float(-(real.log().mean() + (1 - fake).log().mean()).detach() / 2), rel=1e-3)


def test_detection_is_what_it_promises(ganomaly):
    assert_keeps_its_promises(ganomaly, unseen(spoiled=True, side=SIDE))


@pytest.mark.parametrize("killed_after", [1, 3])
def test_killed_training_goes_on_to_the_same_weights(tmp_path: Path, killed_after: int):
    file = tmp_path / "state.safetensors"
    trained(checkpoint=file, stop_after=killed_after)
    assert file.exists() == (killed_after >= 2)
    assert_same(trained(), trained(checkpoint=file))


def test_same_seed_gives_the_same_weights_and_another_seed_others():
    first = trained()
    assert_same(first, trained())
    weights = [one.model.generator.decoder.latent_input[0].weight for one in (first, trained(seed=6))]
    assert not torch.equal(*weights)


def test_building_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    Ganomaly(TINY, seed=3)
    assert torch.equal(before, torch.random.get_rng_state())


def test_reloaded_it_judges_bit_for_bit(ganomaly, tmp_path):
    save_ganomaly(tmp_path, ganomaly)
    loaded = load_detector(tmp_path)
    assert isinstance(loaded, Ganomaly) and loaded.params == ganomaly.params
    assert_same(ganomaly, loaded)
    image_BCHW = unseen(spoiled=True, side=SIDE)
    assert_found_alike(judged(ganomaly, image_BCHW), judged(loaded, image_BCHW))
    assert torch.equal(ganomaly.reconstruct(image_BCHW).image_hat_BCHW, loaded.reconstruct(image_BCHW).image_hat_BCHW)


def test_a_damaged_or_missing_file_is_named(tmp_path: Path):
    save_ganomaly(tmp_path, Ganomaly(TINY))
    (tmp_path / "config.json").write_text((tmp_path / "config.json").read_text().replace('"latent": 32', '"latent": 33'))
    with pytest.raises(ZeromissError, match="does not fit"):
        load_ganomaly(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ZeromissError, match="model.safetensors cannot be read"):
        load_ganomaly(tmp_path)


def test_a_training_that_loses_its_way_or_has_no_image_is_refused():
    with pytest.raises(ZeromissError, match="training of ganomaly lost its way"):
        trained(TINY.model_copy(update={"learning_rate": 1e30}))
    with pytest.raises(ZeromissError, match="no normal image"):
        train(TINY, parts(1)[:0], size=SIDE, seed=5)


def test_the_papers_parameters_take_a_step(repository):
    params = GanomalyParams(**read_params(repository / "params.yaml")["profiles"]["paper"]["ganomaly"])
    assert (params.side, params.channels, params.latent, params.batch) == (64, 64, 100, 64)
    assert (params.adversarial, params.contextual, params.encoder) == (1.0, 50.0, 1.0)
    row = train(params.model_copy(update={"steps": 1, "batch": 2}), parts(2), size=64, seed=5).history[0]
    assert row["generator"] > 0
