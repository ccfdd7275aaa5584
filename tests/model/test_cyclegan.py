"""CycleGAN-AD: it tells drawn defects, repeats itself, resumes, and comes back from disk as it went."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.model.cyclegan_parts import SIDE, parts, tiny
from zeromiss.detector_params import CycleganParams
from zeromiss.detectors.base import Detection
from zeromiss.detectors.batches import generator_at
from zeromiss.detectors.cyclegan import cyclegan as detector_module
from zeromiss.detectors.cyclegan.cyclegan import Cyclegan, resized
from zeromiss.detectors.cyclegan.network import Direction
from zeromiss.detectors.cyclegan.store import load_cyclegan, save_cyclegan
from zeromiss.detectors.cyclegan.train import Learner, Pairs, train
from zeromiss.detectors.load import load_detector
from zeromiss.errors import ZeromissError
from zeromiss.params import read_params, resolve_product

NORMAL, ABNORMAL = parts(24, seed=1, defects=False), parts(12, seed=2, defects=True)


@pytest.fixture(autouse=True)
def small_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let FID look at 64 pixels, which takes a sixteenth of the time."""
    monkeypatch.setattr(detector_module, "FEATURE_SIDE", 64)


def learned(params: CycleganParams, *, seed: int = 0, **others: object) -> Cyclegan:
    """Train on the drawn parts."""
    return train(params, NORMAL, abnormal=ABNORMAL, size=SIDE, seed=seed, **others).detector


def judged(detector: Cyclegan, bytes_BCHW: Tensor) -> Detection:
    """Return the verdict on images of bytes."""
    image_BCHW = bytes_BCHW.float() / 255
    return detector.score(image_BCHW, detector.reconstruct(image_BCHW))


def same(first: Cyclegan, second: Cyclegan) -> bool:
    """Whether two detectors have the same weights to the bit."""
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_every_drawn_defect_scores_above_every_normal_part():
    detector = learned(tiny(steps=80, learning_rate=3e-3, precision="fp32", cycle=1.0, identity=5.0))
    good, bad = judged(detector, parts(12, seed=3, defects=False)), judged(detector, parts(12, seed=4, defects=True))
    assert 5 * good.score_B.max() < bad.score_B.min()
    spots = parts(12, seed=4, defects=True)[:, 0] == 240
    for map_HW, spot_HW in zip(bad.map_BHW, spots, strict=True):
        assert spot_HW.flatten()[map_HW.argmax()], "the map is highest within the spot"
    assert set(good.scores) == {"fid"} == set(detector.score_names)


def test_a_resumed_training_ends_with_the_same_weights(tmp_path: Path):
    params, file = tiny(), tmp_path / "state.safetensors"
    before = torch.get_rng_state()
    whole = train(params, NORMAL, abnormal=ABNORMAL, size=SIDE, seed=5)
    learned(params, seed=5, checkpoint=file, stop_after=7)
    resumed = train(params, NORMAL, abnormal=ABNORMAL, size=SIDE, seed=5, checkpoint=file)
    assert file.is_file() and same(resumed.detector, whole.detector)
    assert resumed.history == whole.history and [row["step"] for row in whole.history] == [8.0]
    assert torch.equal(torch.get_rng_state(), before)


def test_the_seed_alone_decides():
    first, again, other = learned(tiny(), seed=1), learned(tiny(), seed=1), learned(tiny(), seed=2)
    assert same(first, again) and not same(first, other)


def test_both_kinds_are_drawn_from_seed_and_step():
    params = tiny(batch=3)
    pairs = Pairs(NORMAL, ABNORMAL, params=params, seed=9)
    draws = generator_at(9, 4, 3)
    picked = [torch.randint(len(images), (3,), generator=draws) for images in (NORMAL, ABNORMAL)]
    expected = torch.stack([images[index].float() / 255 for images, index in zip((NORMAL, ABNORMAL), picked, strict=True)])
    assert len(pairs) == 8 and torch.equal(pairs[4], expected)


def test_it_comes_back_from_disk_as_it_went(tmp_path: Path):
    detector = learned(tiny())
    save_cyclegan(tmp_path, detector)
    image_BCHW = parts(3, seed=6, defects=True)
    for loaded in (load_cyclegan(tmp_path), load_detector(tmp_path)):
        assert isinstance(loaded, Cyclegan) and not loaded.training and same(loaded, detector)
        first, again = judged(detector, image_BCHW), judged(loaded, image_BCHW)
        assert torch.equal(first.score_B, again.score_B) and torch.equal(first.map_BHW, again.map_BHW)
        assert torch.equal(first.scores["fid"], again.scores["fid"])


def test_each_image_is_judged_for_itself():
    detector, image_BCHW = Cyclegan(tiny(), seed=3), torch.rand(4, 3, 48, 48)
    together = detector.reconstruct(image_BCHW)
    whole = detector.score(image_BCHW, together)
    for index, image_CHW in enumerate(image_BCHW):
        alone = detector.reconstruct(image_CHW[None])
        assert torch.equal(alone.image_hat_BCHW[0], together.image_hat_BCHW[index])
        assert torch.equal(alone.critic_B[0], together.critic_B[index]) and torch.equal(alone.critic_hat_B[0], together.critic_hat_B[index])
        found = detector.score(image_CHW[None], alone)
        assert torch.equal(found.score_B[0], whole.score_B[index]) and torch.equal(found.map_BHW[0], whole.map_BHW[index])
        assert torch.equal(found.scores["fid"][0], whole.scores["fid"][index])


def test_what_it_gives_has_the_shapes_and_signs_agreed():
    detector, image_BCHW = Cyclegan(tiny()), torch.rand(2, 3, 80, 80)
    for precision in ("fp32", "bf16"):
        found = detector.reconstruct(image_BCHW, precision)
        assert found.image_hat_BCHW.shape == image_BCHW.shape and found.image_hat_BCHW.dtype == torch.float32
        assert 0 <= found.image_hat_BCHW.min() and found.image_hat_BCHW.max() <= 1
        assert found.quantisation_B is None and found.critic_B.shape == found.critic_hat_B.shape == (2,)
    detection = detector.score(image_BCHW, found)
    assert detection.map_BHW.shape == (2, 80, 80) and detection.map_BHW.min() >= 0 and detection.score_B.shape == (2,)
    assert all(torch.isfinite(value).all() for value in (detection.score_B, detection.map_BHW, detection.scores["fid"]))


def test_at_the_images_own_side_the_reconstruction_is_what_was_drawn():
    detector, image_BCHW = Cyclegan(tiny(correction=False), seed=1), torch.rand(2, 3, SIDE, SIDE)
    with torch.no_grad():
        drawn_BCHW = (detector.normal.generator(2 * image_BCHW - 1) + 1) / 2
    torch.testing.assert_close(detector.reconstruct(image_BCHW).image_hat_BCHW, drawn_BCHW, atol=1e-5, rtol=0)


def test_what_the_generator_leaves_alone_stays_sharp():
    detector, image_BCHW = Cyclegan(tiny(), seed=1), torch.rand(1, 3, 4 * SIDE, 4 * SIDE)
    torch.nn.init.zeros_(detector.normal.generator.layers[-1].weight)
    torch.testing.assert_close(detector.reconstruct(image_BCHW).image_hat_BCHW, image_BCHW, atol=1e-6, rtol=0)
    assert resized(image_BCHW, SIDE).shape == (1, 3, SIDE, SIDE)


def paper() -> CycleganParams:
    """Return the paper profile's parameters as params.yaml has them."""
    file = Path(__file__).resolve().parents[2] / "params.yaml"
    profiles = read_params(file)["profiles"]
    entry = {"profile": "paper", "seed": 0, "source": {"kind": "elpv"}, "detectors": ["cyclegan"], "manifest": {"abnormal": 0.2}}
    return resolve_product({"profiles": profiles, "products": {"part": entry}}, "part", origin=file).cyclegan


def test_the_papers_constants_construct_and_take_a_step():
    params = paper()
    assert (params.side, params.channels, params.blocks, params.critic_channels, params.critic_layers) == (256, 64, 9, 64, 3)
    assert (params.cycle, params.identity, params.learning_rate, params.batch, params.correction) == (10.0, 0.5, 2e-4, 1, False)
    small = params.model_copy(update={"side": 32})
    learner = Learner(small, Direction(small, seed=0, purpose=1), seed=0)
    before = learner.normal.generator.layers[0].weight.detach().clone()
    values = learner.step(torch.rand(2, 1, 3, 32, 32), 0)
    assert list(values) == ["adversarial", "cycle", "identity", "critic"] and all(torch.isfinite(value) for value in values.values())
    assert not torch.equal(learner.normal.generator.layers[0].weight, before)


def test_generators_and_discriminators_learn_from_their_own_losses_alone():
    params = tiny(learning_rate=1e-3)
    learner = Learner(params, Direction(params, seed=0, purpose=1), seed=0)
    learner.optimisers["critics"].step = lambda: None
    before = {key: value.clone() for key, value in learner.normal.state_dict().items()}
    learner.step(torch.rand(2, 2, 3, SIDE, SIDE), 0)
    after = learner.normal.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before if key.startswith("critic."))
    assert any(not torch.equal(before[key], after[key]) for key in before if key.startswith("generator."))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": NORMAL[:0]}, "no normal image for cyclegan to train on: ingest some, or raise manifest.train"),
        ({"abnormal": ABNORMAL[:0]}, "no abnormal image for cyclegan to train on: ingest some, or raise manifest.abnormal"),
        ({"size": 16}, "cyclegan.side is 32 but the images have 16 pixels: lower it or raise size"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(change: dict, message: str):
    given = {"images": NORMAL, "abnormal": ABNORMAL, "size": SIDE, "seed": 0, **change}
    with pytest.raises(ZeromissError) as caught:
        train(tiny(), **given)
    assert str(caught.value) == message


def test_weights_that_do_not_fit_are_refused(tmp_path: Path):
    save_cyclegan(tmp_path, Cyclegan(tiny()))
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"channels": 8', '"channels": 4'))
    with pytest.raises(ZeromissError, match="model.safetensors does not fit: normal.generator.layers.0.weight has shape"):
        load_cyclegan(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(ZeromissError, match="model.safetensors cannot be read .* train the product anew"):
        load_cyclegan(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ZeromissError, match="model.safetensors cannot be read"):
        load_cyclegan(tmp_path)
