"""f-AnoGAN learns on tiles to tell a drawn defect, repeats itself, goes on after a kill, and comes back bit for bit."""

from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML
from torch import Tensor

from zeromiss.detector_params import FAnoganParams
from zeromiss.detectors.f_anogan.f_anogan import FAnogan
from zeromiss.detectors.f_anogan.store import load_f_anogan, save_f_anogan
from zeromiss.detectors.f_anogan.tiles import cut
from zeromiss.detectors.f_anogan.train import train
from zeromiss.errors import ZeromissError

SIZE = 32
TINY = FAnoganParams(tile=16, channels=(8, 8), latent=4, batch=4, gan_steps=6, critic_steps=2, encoder_steps=4, checkpoint_every=3)


def sheets(count: int, seed: int, *, defect: bool = False) -> Tensor:
    """Return drawn sheets, uint8 (count, 3, 32, 32): grey with a little noise, alike everywhere; a defect is a small bright square."""
    generator = torch.Generator().manual_seed(seed)
    images = 110 + 6 * torch.randn(count, 3, SIZE, SIZE, generator=generator)
    if defect:
        for image_CHW, place in zip(images, torch.randint(1, 25, (count, 2), generator=generator).tolist(), strict=True):
            image_CHW[:, place[0] : place[0] + 6, place[1] : place[1] + 6] = 250
    return images.clamp(0, 255).byte()


def floats(images: Tensor) -> Tensor:
    """Return bytes as numbers in [0, 1]."""
    return images.float() / 255


def same(first: FAnogan, second: FAnogan) -> bool:
    """Return whether two detectors are equal bit for bit."""
    weights = second.state_dict()
    return all(torch.equal(value, weights[key]) for key, value in first.state_dict().items())


def test_every_drawn_defect_scores_above_every_normal():
    params = TINY.model_copy(update={"gan_steps": 60, "encoder_steps": 60, "encoder_learning_rate": 3e-3})
    detector = train(params, sheets(24, 0), size=SIZE, seed=0).detector
    normal, defect = floats(sheets(12, 1)), floats(sheets(12, 2, defect=True))
    found = [detector.score(images, detector.reconstruct(images)) for images in (normal, defect)]
    assert found[1].score_B.min() > found[0].score_B.max()
    assert found[1].scores["mean_tile"].min() > found[0].scores["mean_tile"].max()
    worst_B = found[1].map_BHW.flatten(1).argmax(dim=1, keepdim=True)
    assert (defect[:, 0].flatten(1).gather(1, worst_B) > 0.9).all()


@pytest.mark.parametrize("killed_after", [3, 8])
def test_killed_training_goes_on_to_the_same_weights(tmp_path: Path, killed_after: int):
    images, file = sheets(6, 0), tmp_path / "state.safetensors"
    whole = train(TINY, images, size=SIZE, seed=5)
    train(TINY, images, size=SIZE, seed=5, checkpoint=file, stop_after=killed_after)
    resumed = train(TINY, images, size=SIZE, seed=5, checkpoint=file)
    assert same(whole.detector, resumed.detector)
    assert whole.history == resumed.history


def test_the_seed_alone_decides_the_weights():
    images = sheets(6, 0)
    first, second, other = (train(TINY, images, size=SIZE, seed=seed).detector for seed in (5, 5, 6))
    assert same(first, second)
    assert not torch.equal(first.networks.encoder.out.weight, other.networks.encoder.out.weight)


@pytest.fixture
def trained() -> FAnogan:
    """A detector after a few steps."""
    return train(TINY, sheets(6, 0), size=SIZE, seed=1).detector


def test_read_back_bit_for_bit(tmp_path: Path, trained: FAnogan):
    save_f_anogan(tmp_path, trained)
    read, images = load_f_anogan(tmp_path), floats(sheets(3, 1, defect=True))
    first, second = (detector.score(images, detector.reconstruct(images)) for detector in (trained, read))
    assert torch.equal(first.score_B, second.score_B)
    assert torch.equal(first.map_BHW, second.map_BHW)
    assert all(torch.equal(first.scores[name], second.scores[name]) for name in trained.score_names)
    assert read.params == TINY


@pytest.mark.parametrize("size", [16, 21, 32])
def test_each_image_is_judged_for_itself_at_any_size(trained: FAnogan, size: int):
    images = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    redrawn = trained.reconstruct(images)
    together = trained.score(images, redrawn)
    assert redrawn.image_hat_BCHW.shape == images.shape
    assert tuple(together.scores) == trained.score_names
    for index in range(3):
        image_1CHW = images[index : index + 1]
        alone_hat = trained.reconstruct(image_1CHW)
        alone = trained.score(image_1CHW, alone_hat)
        assert torch.equal(alone_hat.image_hat_BCHW[0], redrawn.image_hat_BCHW[index])
        assert torch.equal(alone_hat.critic_hat_B[0], redrawn.critic_hat_B[index])
        assert torch.equal(alone.score_B[0], together.score_B[index])
        assert torch.equal(alone.map_BHW[0], together.map_BHW[index])


def test_score_is_the_worst_tiles_and_the_map_the_squared_error(trained: FAnogan):
    """Worked out once more from the networks, tile by tile, in their scale of [-1, 1]."""
    image_CHW = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(4))
    redrawn = trained.reconstruct(image_CHW[None])
    detection = trained.score(image_CHW[None], redrawn)
    scores = []
    for x, x_hat in zip(cut(image_CHW, 16), cut(redrawn.image_hat_BCHW[0], 16), strict=True):
        f, f_hat = (trained.networks.critic.features(2 * tile[None] - 1) for tile in (x, x_hat))
        scores.append(float(4 * (x - x_hat).square().mean() + TINY.kappa * (f - f_hat).square().mean()))
    assert detection.score_B.item() == pytest.approx(max(scores), rel=1e-5)
    assert detection.scores["mean_tile"].item() == pytest.approx(sum(scores) / 4, rel=1e-5)
    expected_HW = (image_CHW - redrawn.image_hat_BCHW[0]).square().mean(dim=0)
    assert torch.allclose(detection.map_BHW[0], expected_HW, atol=1e-7)


def test_the_papers_parameters_build_and_take_a_step_of_each_phase(repository: Path):
    written = YAML(typ="safe").load((repository / "params.yaml").read_text(encoding="utf-8"))["profiles"]["paper"]["f_anogan"]
    params = FAnoganParams.model_validate(written)
    assert (params.tile, params.latent, params.encoder_steps) == (64, 90, 20000)
    small = {"tile": 2 ** len(params.channels), "channels": tuple(width // 32 for width in params.channels), "batch": 2}
    small |= {"gan_steps": params.critic_steps, "encoder_steps": 1}
    history = train(params.model_copy(update=small), sheets(2, 0), size=SIZE, seed=0).history
    assert history[-1]["step"] == params.critic_steps + 1
    assert history[-1]["residual"] > 0


def test_what_does_not_fit_is_refused(tmp_path: Path, trained: FAnogan):
    with pytest.raises(ZeromissError, match="f_anogan.tile is 40 but the images have 32 pixels: lower it or raise size"):
        train(TINY.model_copy(update={"tile": 40}), sheets(2, 0), size=SIZE, seed=0)
    with pytest.raises(ZeromissError, match="f_anogan works on 18 pixels a side, which 2 entries of f_anogan.channels"):
        train(TINY.model_copy(update={"tile": 18}), sheets(2, 0), size=SIZE, seed=0)
    save_f_anogan(tmp_path, trained)
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ZeromissError, match="model.safetensors cannot be read"):
        load_f_anogan(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ZeromissError, match="config.json is missing"):
        load_f_anogan(tmp_path)
