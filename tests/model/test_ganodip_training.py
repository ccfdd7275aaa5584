"""GanoDIP learns to tell a drawn defect, repeats itself, goes on after a kill, and comes back from disk bit for bit."""

from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import max_pool2d

from zeromiss.detector_params import GanodipParams
from zeromiss.detectors.batches import Batches
from zeromiss.detectors.ganodip.ganodip import Ganodip
from zeromiss.detectors.ganodip.learner import WganLearner
from zeromiss.detectors.ganodip.network import Networks
from zeromiss.detectors.ganodip.store import load_ganodip, save_ganodip
from zeromiss.detectors.ganodip.train import train
from zeromiss.errors import ZeromissError

SIZE = 32
TINY = GanodipParams(side=16, channels=(8, 8), latent=4, batch=4, gan_steps=6, critic_steps=2, encoder_steps=4, checkpoint_every=3)


def parts(count: int, seed: int, *, defect: bool = False) -> Tensor:
    """Return drawn parts, uint8 (count, 3, 32, 32): a dark bar on a ground whose brightness varies; a defect is a small bright square."""
    generator = torch.Generator().manual_seed(seed)
    images = (110 + 40 * torch.rand(count, 1, 1, 1, generator=generator)).expand(count, 3, SIZE, SIZE).clone()
    images[:, :, 12:20] -= 70
    if defect:
        for image_CHW, place in zip(images, torch.randint(2, 24, (count, 2), generator=generator).tolist(), strict=True):
            image_CHW[:, place[0] : place[0] + 6, place[1] : place[1] + 6] = 250
    return (images + 4 * torch.randn(images.shape, generator=generator)).clamp(0, 255).byte()


def floats(images: Tensor) -> Tensor:
    """Return bytes as numbers in [0, 1]."""
    return images.float() / 255


def same(first: Ganodip, second: Ganodip) -> bool:
    """Return whether two detectors are equal bit for bit."""
    weights = second.state_dict()
    return all(torch.equal(value, weights[key]) for key, value in first.state_dict().items())


def test_every_drawn_defect_scores_above_every_normal_and_is_found():
    params = TINY.model_copy(update={"gan_steps": 60, "encoder_steps": 60, "learning_rate": 5e-4, "encoder_learning_rate": 3e-3})
    trained = train(params, parts(24, 0), size=SIZE, seed=0)
    normal, defect = floats(parts(12, 1)), floats(parts(12, 2, defect=True))
    found = [trained.detector.score(images, trained.detector.reconstruct(images)) for images in (normal, defect)]
    assert found[1].score_B.min() > found[0].score_B.max()
    errors_BN, brightest_BN = (max_pool2d(values_BHW, 4).flatten(1) for values_BHW in (found[1].map_BHW, defect[:, 0]))
    assert (brightest_BN.gather(1, errors_BN.argmax(dim=1, keepdim=True)) > 0.9).all()  # the worst patch shows the square
    assert trained.history[-1]["residual"] < 0.05  # of images in [-1, 1]
    assert trained.seconds > 0


def test_phases_move_what_they_should():
    networks = Networks(TINY, 16, name="ganodip", seed=0)
    learner = WganLearner(networks, TINY, seed=0, device=torch.device("cpu"))
    batches = Batches(parts(6, 0), batch=4, crop=None, seed=0, steps=10)
    moved = []
    for step in range(10):
        before = {name: part.out.weight.detach().clone() for name, part in networks.named_children()}
        values = learner.step(batches[step], step)
        moved.append("".join(sorted(name[0] for name, part in networks.named_children() if not torch.equal(before[name], part.out.weight))))
        assert (values["penalty"] > 0, values["residual"] > 0) == (step < 6, step >= 6)
    assert moved == ["c", "cg", "c", "cg", "c", "cg", "e", "e", "e", "e"]


@pytest.mark.parametrize("killed_after", [3, 5, 8])
def test_killed_training_goes_on_to_the_same_weights(tmp_path: Path, killed_after: int):
    images, file = parts(6, 0), tmp_path / "state.safetensors"
    whole = train(TINY, images, size=SIZE, seed=5)
    train(TINY, images, size=SIZE, seed=5, checkpoint=file, stop_after=killed_after)
    assert file.exists()
    resumed = train(TINY, images, size=SIZE, seed=5, checkpoint=file)
    assert same(whole.detector, resumed.detector)
    assert whole.history == resumed.history


def test_the_seed_alone_decides_the_weights():
    images = parts(6, 0)
    first = train(TINY, images, size=SIZE, seed=5).detector
    torch.rand(3)  # whatever the global generator has drawn
    assert same(first, train(TINY, images, size=SIZE, seed=5).detector)
    assert not torch.equal(first.networks.encoder.out.weight, train(TINY, images, size=SIZE, seed=6).detector.networks.encoder.out.weight)
    state = torch.random.get_rng_state()
    Ganodip(TINY, seed=5)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.fixture
def trained() -> Ganodip:
    """A detector after a few steps."""
    return train(TINY, parts(6, 0), size=SIZE, seed=1).detector


def test_read_back_bit_for_bit(tmp_path: Path, trained: Ganodip):
    save_ganodip(tmp_path, trained)
    read, images = load_ganodip(tmp_path), floats(parts(3, 1, defect=True))
    first, second = (detector.score(images, detector.reconstruct(images)) for detector in (trained, read))
    assert torch.equal(first.score_B, second.score_B)
    assert torch.equal(first.map_BHW, second.map_BHW)
    assert torch.equal(first.scores["feature"], second.scores["feature"])
    assert read.params == TINY
    assert not read.training


@pytest.mark.parametrize("size", [8, 30, 32])
def test_each_image_is_judged_for_itself_at_any_size(trained: Ganodip, size: int):
    images = torch.rand(5, 3, size, size, generator=torch.Generator().manual_seed(0))
    redrawn = trained.reconstruct(images)
    together = trained.score(images, redrawn)
    assert redrawn.image_hat_BCHW.shape == images.shape
    assert together.map_BHW.shape == (5, size, size)
    assert tuple(together.scores) == trained.score_names
    for index in range(5):
        image_1CHW = images[index : index + 1]
        alone_hat = trained.reconstruct(image_1CHW)
        alone = trained.score(image_1CHW, alone_hat)
        assert torch.equal(alone_hat.image_hat_BCHW[0], redrawn.image_hat_BCHW[index])
        assert torch.equal(alone_hat.critic_B[0], redrawn.critic_B[index])
        assert torch.equal(alone_hat.critic_hat_B[0], redrawn.critic_hat_B[index])
        assert torch.equal(alone.score_B[0], together.score_B[index])
        assert torch.equal(alone.map_BHW[0], together.map_BHW[index])
        assert torch.equal(alone.scores["feature"][0], together.scores["feature"][index])


def test_rounding_the_generator_changes_little(trained: Ganodip):
    images = floats(parts(2, 3))
    full, rounded = (trained.reconstruct(images, precision).image_hat_BCHW for precision in ("fp32", "bf16"))
    assert rounded.dtype == torch.float32
    assert 0 < (full - rounded).abs().max() < 0.02


def test_the_papers_parameters_build_and_take_a_step_of_each_phase(repository: Path):
    written = YAML(typ="safe").load((repository / "params.yaml").read_text(encoding="utf-8"))["profiles"]["paper"]["ganodip"]
    params = GanodipParams.model_validate(written)
    assert (params.latent, params.patch, params.alpha, params.side, params.encoder_steps) == (90, 4, 0.0015, 512, 20000)
    assert params.gan_steps * params.batch == 750 * 360  # epochs of 360 images
    small = {"side": 2 ** len(params.channels), "channels": tuple(max(4, width // 32) for width in params.channels), "batch": 2}
    small |= {"gan_steps": params.critic_steps, "encoder_steps": 1}
    reduced = params.model_copy(update=small)
    history = train(reduced, parts(2, 0), size=SIZE, seed=0).history
    assert history[-1]["step"] == params.critic_steps + 1
    assert history[-1]["residual"] > 0


def test_what_does_not_fit_is_refused(tmp_path: Path, trained: Ganodip):
    with pytest.raises(ZeromissError, match="ganodip works on 18 pixels a side, which 2 entries of ganodip.channels cannot halve evenly"):
        train(TINY.model_copy(update={"side": 18}), parts(2, 0), size=SIZE, seed=0)
    with pytest.raises(ZeromissError, match="no normal image to train on"):
        train(TINY, parts(2, 0)[:0], size=SIZE, seed=0)
    save_ganodip(tmp_path, trained)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["networks.encoder.out.bias"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ZeromissError, match="networks.encoder.out.bias is missing"):
        load_ganodip(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ZeromissError, match="model.safetensors cannot be read"):
        load_ganodip(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ZeromissError, match="config.json is missing"):
        load_ganodip(tmp_path)
