"""SimpleNet learns from drawn stripes what is normal, goes on after a kill, and comes back from disk bit for bit."""

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.model.vqgan_parts import TinyBackbone, load_tiny
from zeromiss.backbones.load import build_backbone
from zeromiss.detector_params import SimplenetParams
from zeromiss.detectors.load import load_detector
from zeromiss.detectors.simplenet import store
from zeromiss.detectors.simplenet import train as training
from zeromiss.detectors.simplenet.simplenet import Simplenet
from zeromiss.detectors.simplenet.store import load_simplenet, save_simplenet
from zeromiss.detectors.simplenet.train import train
from zeromiss.errors import ZeromissError
from zeromiss.params import read_params

SIDE = 48
TINY = SimplenetParams(strides=(2, 4), depth=12, hidden=16, noise=0.5, epochs=2, least_steps=1, batch=2, checkpoint_every=2, smoothing=1.0)


@pytest.fixture(autouse=True)
def _tiny_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the tiny backbone in the place of the one that parameters name."""
    monkeypatch.setattr(training, "load_backbone", lambda name, path: load_tiny())
    monkeypatch.setattr(store, "build_backbone", lambda name: TinyBackbone().freeze())


def stripes(count: int, *, seed: int, spoiled: bool = False) -> Tensor:
    """Drawn stripes, each image with its own phase and light, uint8 (count, 3, 48, 48); spoiled: with a blot across them."""
    draws = torch.Generator().manual_seed(seed)
    row_HW, column_HW = torch.meshgrid(torch.arange(float(SIDE)), torch.arange(float(SIDE)), indexing="ij")
    images = []
    for _ in range(count):
        phase, light = torch.rand(2, generator=draws).tolist()
        wave_HW = torch.sin(2 * math.pi * (column_HW / 8 + phase))
        image_CHW = torch.stack([110 + 30 * light + 60 * wave_HW, 120 + 40 * wave_HW, 90 + 20 * light + 0 * row_HW])
        image_CHW = image_CHW + 4 * torch.randn(image_CHW.shape, generator=draws)
        if spoiled:
            top, left = torch.randint(8, 28, (2,), generator=draws).tolist()
            image_CHW[:, top : top + 10, left : left + 10] = torch.tensor([20.0, 230.0, 200.0])[:, None, None]
        images.append(image_CHW.clamp(0, 255).byte())
    return torch.stack(images)


def trained(params: SimplenetParams = TINY, *, seed: int = 5, **others: object) -> Simplenet:
    """Train on six images of stripes."""
    return train(params, stripes(6, seed=1), size=SIDE, seed=seed, **others).detector


def assert_same(first: Simplenet, second: Simplenet) -> None:
    """Assert that two detectors are equal bit for bit."""
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key


def unseen(*, spoiled: bool = False) -> Tensor:
    """Images that taught nothing, (4, 3, 48, 48) in [0, 1]."""
    return stripes(4, seed=2, spoiled=spoiled).float() / 255


@pytest.mark.parametrize("keep_mib", [64, 0])
def test_blots_stand_out_from_stripes(keep_mib: int):
    detector = trained(TINY.model_copy(update={"epochs": 40, "learning_rate": 2e-3, "adapter_rate": 1e-3, "keep_mib": keep_mib}))
    normal, spoiled = detector.detect(unseen()), detector.detect(unseen(spoiled=True))
    assert spoiled.score_B.min() > normal.score_B.max()
    clean, blot = unseen(), unseen(spoiled=True)
    marked_BHW = (blot - clean).abs().amax(dim=1) > 0.2
    assert all(map_HW[mask_HW].mean() > 2 * map_HW[~mask_HW].mean() for map_HW, mask_HW in zip(spoiled.map_BHW, marked_BHW, strict=True))


def test_curves_show_that_it_learns():
    history = train(TINY.model_copy(update={"epochs": 40, "learning_rate": 2e-3}), stripes(6, seed=1), size=SIDE, seed=5).history
    assert [row["step"] for row in history] == [25.0, 50.0, 75.0, 100.0, 120.0]
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert history[-1]["loss"] < 2 * TINY.th  # of an undecided discriminator
    assert all(0 <= row[share] <= 1 for row in history for share in ("normal_right", "noisy_right"))


def test_few_images_are_seen_more_often():
    params = TINY.model_copy(update={"least_steps": 9})
    few, many = (train(params, stripes(count, seed=1), size=SIDE, seed=5).history for count in (2, 12))
    assert [rows[-1]["step"] for rows in (few, many)] == [9.0, 12.0]  # 2 epochs of 12 images, 2 a batch


def test_detection_is_what_it_promises():
    found = trained().detect(unseen(spoiled=True)[..., :40, :44])
    assert found.score_B.shape == (4,) and found.map_BHW.shape == (4, 40, 44)
    assert found.score_B.isfinite().all() and found.map_BHW.isfinite().all() and (found.map_BHW > 0).all()
    assert found.score_B.dtype == found.map_BHW.dtype == torch.float32


def test_several_images_are_judged_as_each_alone():
    detector, images = trained(), unseen(spoiled=True)
    together = detector.detect(images)
    for index in range(len(images)):
        alone = detector.detect(images[index : index + 1])
        assert torch.equal(alone.score_B[0], together.score_B[index])
        assert torch.equal(alone.map_BHW[0], together.map_BHW[index])


def test_threads_judge_alike():
    detector, images = trained(), unseen(spoiled=True)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda index: detector.detect(images[index % 4][None]), range(16)))
    alone = detector.detect(images)
    assert all(torch.equal(one.map_BHW[0], alone.map_BHW[index % 4]) for index, one in enumerate(found))


def test_same_seed_gives_the_same_weights_and_another_seed_others():
    first = trained()
    assert_same(first, trained())
    assert not torch.equal(first.head.adapter.weight, trained(seed=6).head.adapter.weight)


def test_building_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    Simplenet(TINY, load_tiny(), seed=3)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(("killed_after", "keep_mib"), [(1, 64), (3, 64), (5, 0)])
def test_killed_training_goes_on_to_the_same_weights(tmp_path: Path, killed_after: int, keep_mib: int):
    params, file = TINY.model_copy(update={"keep_mib": keep_mib}), tmp_path / "state.safetensors"
    trained(params, checkpoint=file, stop_after=killed_after)
    assert file.exists() == (killed_after >= 2)
    assert_same(trained(params), trained(params, checkpoint=file))


def test_without_standardising_features_stay_as_they_are():
    plain, scaled = (trained(TINY.model_copy(update={"standardise": choice})) for choice in (False, True))
    assert plain.mean_0_C11.abs().max() == 0 and (plain.std_1_C11 == 1).all()
    maps_NCHW = torch.cat([scaled.maps(image_CHW[None].float() / 255)[1] for image_CHW in stripes(6, seed=1)])
    torch.testing.assert_close(scaled.mean_1_C11.ravel(), maps_NCHW.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(scaled.std_1_C11.ravel(), maps_NCHW.std(dim=(0, 2, 3), correction=0), rtol=1e-4, atol=1e-6)


def test_read_back_bit_for_bit(tmp_path: Path):
    detector = trained()
    save_simplenet(tmp_path, detector)
    read = load_detector(tmp_path)
    first, second = detector.detect(unseen()), read.detect(unseen())
    assert torch.equal(first.score_B, second.score_B) and torch.equal(first.map_BHW, second.map_BHW)
    assert read.params == detector.params
    assert not any(module.training for module in read.modules())


def test_damaged_missing_and_foreign_files_are_refused(tmp_path: Path):
    save_simplenet(tmp_path, trained())
    weights = load_file(tmp_path / "model.safetensors")
    save_file({key: value for key, value in weights.items() if key != "head.adapter.weight"}, tmp_path / "model.safetensors")
    with pytest.raises(ZeromissError, match="no complete set of weights: head.adapter.weight is missing; give the whole file"):
        load_simplenet(tmp_path)
    save_file({key: value for key, value in weights.items() if key != "backbone.first.bias"}, tmp_path / "model.safetensors")
    with pytest.raises(ZeromissError, match="no complete set of weights: first.bias is missing; give the whole file"):
        load_simplenet(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ZeromissError, match="model.safetensors cannot be read .*: train the product anew"):
        load_simplenet(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ZeromissError, match="config.json is missing"):
        load_simplenet(tmp_path)


def test_a_stride_without_a_map_is_refused():
    with pytest.raises(ZeromissError, match="simplenet.strides: efficientnet_lite0 has no map at stride 8: choose two of 2, 4"):
        trained(TINY.model_copy(update={"strides": (4, 8)}))


def test_no_images_and_a_damaged_checkpoint_are_refused(tmp_path: Path):
    with pytest.raises(ZeromissError, match="no normal image to train on"):
        train(TINY, torch.zeros(0, 3, SIDE, SIDE, dtype=torch.uint8), size=SIDE, seed=0)
    (tmp_path / "state.safetensors").write_bytes(b"half a file")
    with pytest.raises(ZeromissError, match="state.safetensors cannot be resumed .*: delete it to train anew"):
        trained(checkpoint=tmp_path / "state.safetensors")


def test_the_papers_parameters_take_a_step(repository: Path, monkeypatch: pytest.MonkeyPatch):
    params = SimplenetParams.model_validate(read_params(repository / "params.yaml")["profiles"]["paper"]["simplenet"])
    monkeypatch.setattr(training, "load_backbone", lambda name, path: build_backbone(name))  # without weights: none are here
    before = Simplenet(params, build_backbone(params.backbone), seed=0).head.adapter.weight
    detector = train(params, stripes(4, seed=1), size=SIDE, seed=0, stop_after=1).detector
    assert detector.head.adapter.weight.shape == (1536, 1536)
    assert 0 < (detector.head.adapter.weight - before).abs().max() <= 1.01e-4  # Adam's first step is its rate
