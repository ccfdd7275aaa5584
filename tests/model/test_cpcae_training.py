"""The patch autoencoder as a detector: it learns, repeats itself, is taken up again, kept, loaded and refused."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from zeromiss.backbones.base import Backbone
from zeromiss.backbones.load import build_backbone, load_backbone
from zeromiss.detector_params import CpcaeParams
from zeromiss.detectors.batches import Images
from zeromiss.detectors.cpcae import train as training
from zeromiss.detectors.cpcae.cpcae import Cpcae
from zeromiss.detectors.cpcae.store import load_cpcae, save_cpcae
from zeromiss.detectors.cpcae.train import PatchBatches, embedding, numbers, train
from zeromiss.detectors.images import floats
from zeromiss.detectors.load import load_detector
from zeromiss.detectors.loop import Trained
from zeromiss.errors import ZeromissError
from zeromiss.params import load_product, read_params

SIDE, TAUGHT = 64, 8
PARAMS = CpcaeParams(
    downsize=2.0, patch=16, patch_step=8, channels=(8, 16), code=16, batch=16, steps=60, sparsity=0.1, learning_rate=3e-3, checkpoint_every=20, neighbors=3
)


def drawn(count: int, *, seed: int, defect: bool = False) -> Tensor:
    """Return noisy gratings, each its own phase, with a bright bar, uint8 (count, 3, 64, 64); a defect is a dark spot somewhere."""
    generator = torch.Generator().manual_seed(seed)
    row_HW, column_HW = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    images = []
    for phase in torch.rand(count, generator=generator):
        image_CHW = torch.stack([120 + 40 * torch.sin(row_HW / 4 + phase), 100 + 40 * torch.cos(column_HW / 5 - phase), 90 + row_HW * 0.5])
        image_CHW[:, 20:26] += 50
        image_CHW += 4 * torch.randn(3, SIDE, SIDE, generator=generator)
        if defect:
            top, left = torch.randint(4, SIDE - 18, (2,), generator=generator).tolist()
            image_CHW[:, top : top + 12, left : left + 12] = 10
        images.append(image_CHW.clamp(0, 255).to(torch.uint8))
    return torch.stack(images)


@pytest.fixture(scope="module")
def trained() -> Trained:
    """A short training on eight images, with the real backbone."""
    return train(PARAMS, drawn(TAUGHT, seed=0), size=SIDE, seed=5)


@pytest.fixture(scope="module")
def cpcae(trained: Trained) -> Cpcae:
    """What it gave."""
    return trained.detector


def judged(cpcae: Cpcae, images: Images) -> list[tuple[Tensor, Tensor]]:
    """Return score and map of each image, judged alone."""
    found = []
    for image in images:
        image_BCHW = floats(image)[None]
        detection = cpcae.score(image_BCHW, cpcae.reconstruct(image_BCHW))
        found.append((detection.score_B[0], detection.map_BHW[0]))
    return found


def assert_same(first: Cpcae, second: Cpcae) -> None:
    """Assert that all tensors are equal bit for bit."""
    one, two = first.state_dict(), second.state_dict()
    assert one.keys() == two.keys()
    assert [key for key in one if not torch.equal(one[key], two[key])] == []


def test_every_obvious_defect_scores_above_every_normal(cpcae: Cpcae):
    normal = [float(score) for score, _ in judged(cpcae, drawn(6, seed=1))]
    defect = [float(score) for score, _ in judged(cpcae, drawn(6, seed=2, defect=True))]
    assert min(defect) > max(normal)


def test_the_map_is_highest_in_the_defect(cpcae: Cpcae):
    image = drawn(1, seed=1)[0]
    image[:, 40:52, 30:42] = 10
    map_HW = judged(cpcae, [image])[0][1]
    assert map_HW.shape == (SIDE, SIDE) and (map_HW >= 0).all()
    row, column = divmod(int(map_HW.argmax()), SIDE)
    assert 40 <= row < 52 and 30 <= column < 42


def test_it_learns_to_redraw(trained: Trained, tiny_backbone: Backbone):
    assert [row["step"] for row in trained.history] == [25.0, 50.0, 60.0]
    image_BCHW = floats(drawn(1, seed=1))
    untaught = Cpcae(PARAMS, tiny_backbone, size=SIDE, seed=5)
    before, after = ((made.reconstruct(image_BCHW).image_hat_BCHW - image_BCHW).square().sum() for made in (untaught, trained.detector))
    assert after < 0.6 * before


def test_the_penalty_makes_the_code_sparse(trained: Trained):
    sparse = train(PARAMS.model_copy(update={"sparsity": 30.0}), drawn(TAUGHT, seed=0), size=SIDE, seed=5)
    assert sparse.history[-1]["activity"] < 0.2 * trained.history[-1]["activity"]
    assert sparse.history[-1]["active"] < trained.history[-1]["active"]


def test_a_patchs_number_says_where_it_lies(tiny_backbone: Backbone):
    row_HW, column_HW = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    images = [torch.stack([row_HW, column_HW, row_HW]).byte()]
    params = PARAMS.model_copy(update={"downsize": 1.0, "patch_step": 16})
    batch_BCPP = PatchBatches(images, Cpcae(params, tiny_backbone, size=SIDE), seed=3)[4]
    number_B = numbers(3, 4, 16, 16)  # 4 x 4 patches that touch
    assert batch_BCPP[:, 0, 0, 0].tolist() == [(number - 1) // 4 * 16 for number in number_B.tolist()]
    assert batch_BCPP[:, 1, 0, 0].tolist() == [(number - 1) % 4 * 16 for number in number_B.tolist()]
    assert len(set(number_B.tolist())) > 4 and number_B.min() >= 1


def test_the_memory_holds_the_training_images_own_error_maps(cpcae: Cpcae):
    assert cpcae.memory_NF.shape == (TAUGHT, 3 * 320)
    torch.testing.assert_close(cpcae.memory_NF.mean(dim=0), torch.zeros(960), atol=1e-4, rtol=0)
    with torch.no_grad():
        again_F = (embedding(cpcae, floats(drawn(TAUGHT, seed=0)[2]))[0] - cpcae.mean_F) / cpcae.scale_F
    assert torch.equal(again_F, cpcae.memory_NF[2])


def test_same_seed_same_tensors_another_seed_others(cpcae: Cpcae):
    before = torch.random.get_rng_state()
    assert_same(cpcae, train(PARAMS, drawn(TAUGHT, seed=0), size=SIDE, seed=5).detector)
    assert torch.equal(torch.random.get_rng_state(), before)
    other = train(PARAMS, drawn(TAUGHT, seed=0), size=SIDE, seed=6).detector
    assert not torch.equal(cpcae.autoencoder.encoder.dense.weight, other.autoencoder.encoder.dense.weight)


def test_a_killed_training_goes_on_to_the_same_tensors(trained: Trained, tmp_path: Path):
    file = tmp_path / "state.safetensors"
    train(PARAMS, drawn(TAUGHT, seed=0), size=SIDE, seed=5, checkpoint=file, stop_after=47)
    assert file.is_file()
    resumed = train(PARAMS, drawn(TAUGHT, seed=0), size=SIDE, seed=5, checkpoint=file)
    assert_same(trained.detector, resumed.detector)
    assert trained.history == resumed.history


def test_several_images_are_judged_as_each_alone_and_by_several_threads(cpcae: Cpcae):
    images = torch.cat([drawn(3, seed=1), drawn(2, seed=2, defect=True)])
    alone = judged(cpcae, images)
    image_BCHW = floats(images)
    together = cpcae.score(image_BCHW, cpcae.reconstruct(image_BCHW))
    assert list(together.scores) == list(cpcae.score_names) == ["ae_l2"]
    with ThreadPoolExecutor(3) as pool:
        threaded = [found[0] for found in pool.map(lambda image: judged(cpcae, [image]), images)]
    for index, (score, map_HW) in enumerate(alone):
        assert torch.equal(together.score_B[index], score) and torch.equal(together.map_BHW[index], map_HW)
        assert torch.equal(threaded[index][0], score) and torch.equal(threaded[index][1], map_HW)


def test_a_reloaded_detector_gives_the_same_bits(cpcae: Cpcae, tmp_path: Path):
    save_cpcae(tmp_path, cpcae)
    again = load_detector(tmp_path)
    assert_same(cpcae, again)
    assert not again.training and not any(module.training for module in again.modules())
    for (score, map_HW), (score_again, map_again_HW) in zip(judged(cpcae, drawn(2, seed=1)), judged(again, drawn(2, seed=1)), strict=True):
        assert torch.equal(score, score_again) and torch.equal(map_HW, map_again_HW)


def test_a_damaged_folder_is_refused(cpcae: Cpcae, tmp_path: Path):
    with pytest.raises(ZeromissError, match="config.json is missing"):
        load_cpcae(tmp_path)
    save_cpcae(tmp_path, cpcae)
    whole = load_file(tmp_path / "model.safetensors")
    save_file({key: value for key, value in whole.items() if key != "memory_NF"}, tmp_path / "model.safetensors")
    with pytest.raises(ZeromissError, match="model.safetensors is no complete set of weights: memory_NF is missing"):
        load_cpcae(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"half a file")
    with pytest.raises(ZeromissError, match="model.safetensors cannot be read .*: train the product anew"):
        load_cpcae(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"images": 2}))
    save_file(whole, tmp_path / "model.safetensors")
    with pytest.raises(ZeromissError, match="config.json does not say the number of its training images"):
        load_cpcae(tmp_path)


def test_it_refuses_what_it_cannot_learn_from_or_judge(cpcae: Cpcae):
    with pytest.raises(ZeromissError, match="with its 3 nearest training images and there are 2: ingest more normal images or lower cpcae.neighbors"):
        train(PARAMS, drawn(2, seed=0), size=SIDE, seed=0)
    with pytest.raises(ZeromissError, match="cpcae.patch is 16 but images of 24 pixels, downsized 2 times, have 12: lower one of the two"):
        train(PARAMS, drawn(3, seed=0)[..., :24, :24], size=24, seed=0)
    with pytest.raises(ZeromissError, match="learned images of 64 pixels and is given 48 x 48: judge images at the product's size"):
        cpcae.reconstruct(torch.zeros(1, 3, 48, 48))
    with pytest.raises(ZeromissError, match=r"training of cpcae lost its way at step \d+ .*: lower cpcae.learning_rate"):
        train(PARAMS.model_copy(update={"learning_rate": 1e30}), drawn(3, seed=0), size=SIDE, seed=0)


def test_patches_that_leave_gaps_are_refused():
    with pytest.raises(ValueError, match="patch_step is 17 and patch 16: pixels between patches would not be redrawn; lower patch_step"):
        CpcaeParams(patch=16, patch_step=17)


def test_the_papers_parameters_construct_and_take_a_step(repository: Path, monkeypatch: pytest.MonkeyPatch):
    params = CpcaeParams.model_validate(read_params(repository / "params.yaml")["profiles"]["paper"]["cpcae"])
    assert params.backbone == "xception" and params.neighbors == 15
    monkeypatch.setattr(training, "load_backbone", lambda name, path: build_backbone(name))  # no package brings its weights
    images = torch.nn.functional.interpolate(drawn(15, seed=0), size=(96, 96))  # four patches, without downsizing
    found = train(params.model_copy(update={"steps": 1, "batch": 2, "downsize": 1.0}), images, size=96, seed=0).detector
    assert found.memory_NF.shape == (15, 3 * 2048)
    assert torch.isfinite(judged(found, images[:1])[0][0])
