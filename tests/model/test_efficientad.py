"""EfficientAD on anomalib: a distilled or a given teacher, maps scaled on held-out images, a kill survived, bit-equal from disk."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.model.peers_parts import assert_found_alike, assert_keeps_its_promises, assert_same, parts, unseen
from zeromiss.detector_params import EfficientadParams
from zeromiss.detectors.efficientad.efficientad import Efficientad, to_side
from zeromiss.detectors.efficientad.photographs import cuts, photographs
from zeromiss.detectors.efficientad.store import load_efficientad, save_efficientad
from zeromiss.detectors.efficientad.teacher import Aim, fewer_channels
from zeromiss.detectors.efficientad.train import split, train
from zeromiss.detectors.load import load_detector
from zeromiss.detectors.loop import Trained
from zeromiss.errors import ZeromissError
from zeromiss.params import read_params

SIDE = 48
TINY = EfficientadParams(channels=4, teacher_steps=2, steps=3, checkpoint_every=1, learning_rate=1e-3, held_out=0.4)


def taught(params: EfficientadParams = TINY, **others: object) -> Trained:
    """Train on five parts."""
    return train(params, parts(5, side=SIDE), size=SIDE, seed=5, **others)


@pytest.fixture(scope="module")
def whole() -> Trained:
    """Trained without a stop."""
    return taught()


@pytest.fixture(scope="module")
def efficientad(whole: Trained) -> Efficientad:
    """The detector of that training."""
    return whole.detector


def test_blots_stand_out(efficientad):
    normal, spoiled = (efficientad.detect(unseen(spoiled=choice, side=SIDE, count=3)) for choice in (False, True))
    assert spoiled.score_B.min() > normal.score_B.max()


def test_both_phases_show_in_the_curves(whole):
    assert [row["step"] for row in whole.history] == [5.0]
    last = whole.history[0]
    assert last["teacher"] == 0 and min(last["student"], last["autoencoder"], last["agreement"]) > 0


def test_the_map_is_anomalibs_raised_to_begin_at_zero(efficientad):
    image_BCHW = unseen(side=128, count=1)
    with torch.no_grad():
        own = efficientad.model(image_BCHW)
        raw_st, raw_ae = efficientad.model.get_maps(image_BCHW, normalize=False)
    found, q = efficientad.detect(image_BCHW), {key: float(value.detach()) for key, value in efficientad.model.quantiles.items()}
    raised = 0.05 * (raw_st / (q["qb_st"] - q["qa_st"]) + raw_ae / (q["qb_ae"] - q["qa_ae"]))
    torch.testing.assert_close(found.map_BHW, raised[:, 0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.map_BHW.amax(dim=(1, 2)) + efficientad.lowest(), own.pred_score.flatten(), rtol=1e-4, atol=1e-4)
    assert torch.equal(found.score_B, own.pred_score.flatten())


def test_held_out_images_set_the_scale(efficientad):
    held = split(parts(5, side=SIDE), TINY.held_out, 5)[1]
    with torch.no_grad():
        maps = [efficientad.model.get_maps(to_side(held[index][None].float() / 255, 128), normalize=False) for index in range(len(held))]
    for kind, raw in zip(("st", "ae"), zip(*maps, strict=True), strict=True):
        flat = torch.cat(raw).flatten().numpy()
        assert float(efficientad.model.quantiles[f"qa_{kind}"]) == pytest.approx(np.quantile(flat, 0.9), rel=1e-4)
        assert float(efficientad.model.quantiles[f"qb_{kind}"]) == pytest.approx(np.quantile(flat, 0.995), rel=1e-4)


def test_the_split_holds_out_a_share_drawn_with_the_seed():
    images = parts(10, side=16)
    teaches, held = split(images, 0.2, 3)
    assert (len(teaches), len(held)) == (8, 2) and sorted([*teaches.indices, *held.indices]) == list(range(10))
    assert held.indices == split(images, 0.2, 3)[1].indices
    assert {tuple(split(images, 0.2, seed)[1].indices) for seed in range(5)} != {tuple(held.indices)}
    assert [len(part) for part in split(images[:2], 0.9, 3)] == [1, 1]
    with pytest.raises(ZeromissError, match="two normal images at least"):
        split(images[:1], 0.1, 3)


def test_detection_is_what_it_promises(efficientad):
    assert_keeps_its_promises(efficientad, unseen(spoiled=True, side=SIDE, count=2))


@pytest.mark.parametrize("killed_after", [2, 4])  # between the phases and within the second
def test_killed_training_goes_on_to_the_same_weights(efficientad, tmp_path: Path, killed_after: int):
    taught(checkpoint=tmp_path / "state.safetensors", stop_after=killed_after)
    assert_same(efficientad, taught(checkpoint=tmp_path / "state.safetensors").detector)


def test_another_seed_begins_elsewhere():
    first, second = (Efficientad(TINY, seed=seed).model.teacher.conv1.weight for seed in (5, 6))
    assert not torch.equal(first, second)
    before = torch.random.get_rng_state()
    assert torch.equal(first, Efficientad(TINY, seed=5).model.teacher.conv1.weight)
    assert torch.equal(before, torch.random.get_rng_state())


def test_reloaded_it_judges_bit_for_bit(efficientad, tmp_path):
    save_efficientad(tmp_path, efficientad)
    loaded = load_detector(tmp_path)
    assert isinstance(loaded, Efficientad) and loaded.params == TINY
    assert_same(efficientad, loaded)
    image_BCHW = unseen(spoiled=True, side=SIDE, count=1)
    assert_found_alike(efficientad.detect(image_BCHW), loaded.detect(image_BCHW))


def test_a_damaged_or_missing_file_is_named(tmp_path: Path):
    save_efficientad(tmp_path, Efficientad(TINY))
    (tmp_path / "config.json").write_text((tmp_path / "config.json").read_text().replace('"channels": 4', '"channels": 5'))
    with pytest.raises(ZeromissError, match="does not fit"):
        load_efficientad(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ZeromissError, match="model.safetensors cannot be read"):
        load_efficientad(tmp_path)


def test_a_given_teacher_is_taken_as_it_is_and_the_papers_parameters_take_a_step(repository, tmp_path):
    params = EfficientadParams(**read_params(repository / "params.yaml")["profiles"]["paper"]["efficientad"])
    assert (params.side, params.channels, params.steps, params.precision) == (256, 384, 60000, "fp32")
    given = Efficientad(params, seed=77).model.teacher.state_dict()
    file = tmp_path / "pretrained_teacher_small.safetensors"
    save_file(given, file)
    reduced = params.model_copy(update={"side": 128, "steps": 1, "teacher_path": str(file)})
    fitted = train(reduced, parts(2, side=SIDE), size=SIDE, seed=5)
    assert len(fitted.history) == 1 and fitted.history[0]["step"] == 1  # no step went into a teacher
    for key, value in fitted.detector.model.teacher.state_dict().items():
        assert torch.equal(value, given[key])
    with pytest.raises(ZeromissError, match=r"pretrained_teacher_small.safetensors does not fit: conv4.weight has shape"):
        train(reduced.model_copy(update={"channels": 8}), parts(2, side=SIDE), size=SIDE, seed=5)


def test_channels_are_brought_to_fewer_by_averaging_neighbours():
    features_BChw = torch.arange(6.0).view(1, 6, 1, 1) + torch.tensor([[0.0, 10.0]]).view(1, 1, 1, 2)
    assert fewer_channels(features_BChw, 3).tolist() == [[[[0.5, 10.5]], [[2.5, 12.5]], [[4.5, 14.5]]]]


def test_aims_lie_over_the_teachers_output_and_are_standardised():
    aim = Aim(TINY)
    images = [image_CHW[None].float() / 255 for image_CHW in parts(3, side=2 * TINY.side)]
    aim.standardise(images)
    found_BChw = torch.cat([aim(image_BCHW) for image_BCHW in images])
    assert found_BChw.shape == (3, 4, 24, 24)
    torch.testing.assert_close(found_BChw.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(found_BChw.std(dim=(0, 2, 3)), torch.ones(4), atol=1e-3, rtol=0)
    spot_BCHW = images[0].clone()
    spot_BCHW[..., 120:136, 120:136] = 1.0  # around the centre of 256 pixels: cells 11 and 12 of 24
    moved_hw = (aim(spot_BCHW) - aim(images[0])).abs().sum(dim=(0, 1))
    heavy_hw = moved_hw.where(moved_hw > 0.5 * moved_hw.max(), 0.0)
    cells = torch.arange(24.0)
    centre = [float((heavy_hw.sum(dim=dim) * cells).sum() / heavy_hw.sum()) for dim in (0, 1)]
    assert centre == pytest.approx([11.5, 11.5], abs=1.0)


def test_photographs_come_with_packages_or_from_a_folder(tmp_path):
    packed = photographs(None)
    assert len(packed) == 6 and all(image_CHW.shape == (3, 512, 512) and image_CHW.dtype == torch.uint8 for image_CHW in packed)
    (tmp_path / "deep").mkdir()
    Image.fromarray(np.full((40, 40, 3), 200, np.uint8)).save(tmp_path / "deep" / "one.png")
    assert [image_CHW.unique().tolist() for image_CHW in photographs(str(tmp_path))] == [[200]]
    with pytest.raises(ZeromissError, match="no image lies in .*empty: give a folder of JPEG or PNG files"):
        photographs(str(tmp_path / "empty"))


def test_cuts_are_drawn_from_the_generator_alone():
    images = photographs(None)[:2]
    first, again, other = (cuts(images, 4, 32, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.shape == (4, 3, 32, 32) and 0 <= first.min() and first.max() <= 1
    assert torch.equal(first, again) and not torch.equal(first, other)
    grey = [torch.equal(cut_CHW[0], cut_CHW[1]) for cut_CHW in cuts(images, 60, 8, torch.Generator().manual_seed(3))]
    assert 6 <= sum(grey) <= 30  # 30 % of 60


def test_images_that_show_nothing_are_refused():
    grey = torch.full((3, 3, SIDE, SIDE), 128, dtype=torch.uint8)
    with pytest.raises(ZeromissError, match="alike everywhere|the same of every place"):
        train(TINY.model_copy(update={"teacher_steps": 1, "steps": 1}), grey, size=SIDE, seed=5)
