"""Two processes that share a batch against one that holds it, over loopback and with real processes."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.multiprocessing import ProcessRaisedException

from tests.model.vqgan_parts import load_tiny
from zeromiss.backbones.base import Backbone
from zeromiss.detectors.batches import Batches
from zeromiss.detectors.checkpoint import checkpoint_key
from zeromiss.detectors.vqgan.codebook import Codebook
from zeromiss.detectors.vqgan.launch import _here, _launch, _sentence, train_on_devices
from zeromiss.detectors.vqgan.train import train
from zeromiss.detectors.vqgan.trainer import Trainer
from zeromiss.detectors.vqgan.vqgan import Vqgan
from zeromiss.errors import ZeromissError
from zeromiss.detector_params import VqganParams

SUMMED = {"rtol": 1e-4, "atol": 1e-6}  # fp32: the same gradients, summed in another order
LEARNED = {"rtol": 1e-3, "atol": 2e-4}  # weights after eight steps of that, a fiftieth of what one step at 1e-3 moves


class Kept:
    """Curves that are remembered."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.points: list[tuple[int | None, dict[str, float]]] = []

    def metrics(self, values: dict[str, float], *, step: int | None = None) -> None:
        """Keep the numbers."""
        self.points.append((step, values))


@pytest.fixture
def params(tiny_params: VqganParams) -> VqganParams:
    """The tiny network in fp32, four crops a batch; codes die and are revived, the discriminator counts from step 4."""
    return tiny_params.model_copy(update={"precision": "fp32", "batch": 4, "dead_after": 2})


@pytest.fixture
def two(params: VqganParams) -> VqganParams:
    """The same on two processes."""
    return params.model_copy(update={"devices": 2})


def gradients_after(fabric: Fabric | None, params: VqganParams, images: Tensor, file: Path | None) -> dict[str, Tensor]:
    """Take six steps, codes drawn and revived, lambda at work; return, or write, the last gradients and all buffers."""
    place = {"rank": fabric.global_rank, "processes": fabric.world_size} if fabric else {}
    trainer = Trainer(Vqgan(params, seed=0).train(), load_tiny(), seed=0, fabric=fabric)
    batches = Batches(images, batch=params.batch, crop=params.crop, seed=0, steps=params.steps, **place)
    revived = 0.0
    for step in range(6):
        values = trainer.step(batches[step], step)
        revived += float(values["revived"])
    found = {name: weight.grad for name, weight in trainer.vqgan.named_parameters()} | dict(trainer.vqgan.named_buffers())
    found |= {"lambda": values["lambda"], "revived": torch.tensor(revived)}
    if file and fabric:
        save_file({key: value.contiguous() for key, value in found.items() if value is not None}, f"{file}.{fabric.global_rank}")
    return {key: value for key, value in found.items() if value is not None}


def write_gradients(fabric: Fabric, params: VqganParams, images: Tensor, folder: Path) -> None:
    """Write the gradients of each process, for both kinds of codebook."""
    for codebook in ("ema", "gradient"):
        gradients_after(fabric, params.model_copy(update={"codebook": codebook}), images, folder / codebook)


def test_two_processes_have_the_gradients_codes_and_lambda_of_one(
    params: VqganParams, two: VqganParams, drawn_images: Tensor, tmp_path: Path
):
    with _here():
        _launch(two.model_copy(update={"codebook": "gradient"}), write_gradients, drawn_images, tmp_path)
    for codebook in ("ema", "gradient"):
        one = gradients_after(None, params.model_copy(update={"codebook": codebook}), drawn_images, None)
        assert one["lambda"] > 0
        assert one["revived"] > 0
        shares = [load_file(f"{tmp_path / codebook}.{rank}") for rank in (0, 1)]
        for share in shares:
            assert share.keys() == one.keys()
            for key, value in one.items():
                torch.testing.assert_close(share[key], value, **SUMMED, msg=lambda text, key=key: f"{key}: {text}")
        for key in {"codebook.codes_KD", "codebook.count_K", "codebook.sum_KD", "codebook.idle_K"} & one.keys():
            assert torch.equal(shares[0][key], shares[1][key]), f"{key}: the processes drift apart"


class DyingImages:
    """Images whose reader is killed in the second process when it has read so many."""

    def __init__(self, images: Tensor, *, after: int) -> None:
        """Hold the images."""
        self._images, self._left = images, after

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._images)

    def __getitem__(self, index: int) -> Tensor:
        """Return one image, or die."""
        self._left -= os.environ["LOCAL_RANK"] == "1"
        if self._left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return self._images[index]


def test_a_killed_process_ends_all_with_a_sentence_then_two_go_on_and_one_finishes(
    params: VqganParams, two: VqganParams, drawn_images: Tensor, tmp_path: Path
):
    file, log, environment = tmp_path / "state.safetensors", Kept(), dict(os.environ)
    dying = DyingImages(drawn_images, after=1 + 2 * 5)  # one look at the size, two images a step: dies in the sixth
    with pytest.raises(ZeromissError, match=r"training process 1 of 2 was killed \(SIGKILL\): start it again and it goes on from"):
        train_on_devices(two, dying, load_tiny, seed=5, checkpoint=file)
    assert steps_done(file) == 3
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(file.read_bytes())

    shared = train_on_devices(two, drawn_images, load_tiny, seed=5, checkpoint=file, log=log)
    whole = train(params, drawn_images, load_tiny(), seed=5)
    alone = train(params, drawn_images, load_tiny(), seed=5, checkpoint=copy)
    for key, value in whole.detector.state_dict().items():
        torch.testing.assert_close(shared.detector.state_dict()[key], value, **LEARNED)
        torch.testing.assert_close(alone.detector.state_dict()[key], value, **LEARNED)
    assert [step for step, _ in log.points] == [8]
    assert log.points[0][1]["loss"] == pytest.approx(whole.history[-1]["loss"], rel=1e-3)
    assert steps_done(file) == 8  # all that the processes left; one process took it up and returned it
    assert {path.name for path in tmp_path.iterdir()} == {file.name, copy.name}
    assert dict(os.environ) == environment


def steps_done(file: Path) -> int:
    """Return the steps that a checkpoint has behind it."""
    with safe_open(file, framework="pt") as state:
        return json.loads(state.metadata()["zeromiss"])["step"]


def test_what_a_process_refuses_is_said_as_it_said_it():
    trace = "\n\n-- Process 1 terminated with the following error:\nTraceback (most recent call last):\n  File ...\n"
    refused = ProcessRaisedException(trace + "zeromiss.errors.ZeromissError: a.png cannot be read: replace it\n", 1, 7)
    broken = ProcessRaisedException(trace + "RuntimeError: Connection closed by peer\n  and more of it\nin a second line\n", 1, 7)
    assert _sentence(refused, 2) == "a.png cannot be read: replace it"
    assert _sentence(broken, 2) == (
        "training process 1 of 2 failed (RuntimeError: Connection closed by peer): start it again and it goes on from its last checkpoint"
    )


def test_devices_that_cannot_share_a_batch_are_refused(two: VqganParams, drawn_images: Tensor, tmp_path: Path):
    params = two.model_copy(update={"batch": 3})
    with pytest.raises(ZeromissError, match="vqgan.batch is 3 and cannot be shared evenly by vqgan.devices = 2: make it a multiple"):
        train_on_devices(params, drawn_images, load_tiny, seed=0, checkpoint=tmp_path / "state.safetensors")


def test_more_devices_than_gpus_are_refused(
    two: VqganParams, drawn_images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ZeromissError, match="vqgan.devices is 2 but this machine has 1 GPU: lower it"):
        train_on_devices(two, drawn_images, load_tiny, seed=0, checkpoint=tmp_path / "state.safetensors")


@pytest.mark.parametrize("crop", [32, None])
def test_shares_in_order_are_the_batch(drawn_images: Tensor, crop: int | None):
    given = {"batch": 6, "crop": crop, "seed": 3, "steps": 4}
    whole = Batches(drawn_images, **given)[2]
    shares = [Batches(drawn_images, **given, rank=rank, processes=3)[2] for rank in range(3)]
    assert [len(share) for share in shares] == [2, 2, 2]
    assert torch.equal(torch.cat(shares), whole)


def test_a_checkpoint_does_not_ask_how_it_was_made(params: VqganParams):
    given = {"size": 64, "seed": 0, "manifest_sha256": "ab"}
    how = {"devices": 2, "gradient_checkpointing": True, "compile": True}
    assert checkpoint_key(params.model_copy(update=how), **given) == checkpoint_key(params, **given)


class Twice:
    """Another process that happens to hold the same cells."""

    def total(self, tensor: Tensor) -> Tensor:
        """Return both sums."""
        return 2 * tensor

    def joined(self, rows_ND: Tensor) -> Tensor:
        """Return both processes' rows."""
        return torch.cat([rows_ND, rows_ND + 100])


def test_codes_learn_from_all_shares_by_hand():
    made = Codebook(codes=2, code_dim=1, beta=0.25, ema=True, dead_after=1)
    made.others = Twice()
    made.count_K.fill_(1.0)
    made.sum_KD.copy_(torch.tensor([[0.0], [9.0]]))
    cells_BDhw = torch.tensor([1.0, 3.0]).reshape(1, 1, 1, 2)
    assert made.learn(cells_BDhw, torch.tensor([[[0, 0]]]), torch.Generator().manual_seed(0)) == 1
    torch.testing.assert_close(made.count_K, torch.tensor([0.99 + 0.01 * 4, 1.0]))
    torch.testing.assert_close(made.sum_KD[0], torch.tensor([0.01 * 2 * (1.0 + 3.0)]))
    assert made.codes_KD[1].item() in (1.0, 3.0, 101.0, 103.0)
    drawn = [int(torch.randint(4, (1,), generator=torch.Generator().manual_seed(seed))) for seed in range(20)]
    made.others, places = Twice(), set()
    for seed in range(20):
        made.started.fill_(False)
        made.start(cells_BDhw, torch.Generator().manual_seed(seed))
        places.add(made.codes_KD[0].item())
    assert len(set(drawn)) == 4
    assert places == {1.0, 3.0, 101.0, 103.0}


def test_compiled_bodies_learn_the_same(
    params: VqganParams, tiny_backbone: Backbone, drawn_images: Tensor, monkeypatch: pytest.MonkeyPatch
):
    compiled = []

    def traced(function, **options):
        compiled.append(function)
        return real(function, backend="aot_eager", **options)  # traced and differentiated as on a GPU, no code generated

    real = torch.compile
    monkeypatch.setattr(torch, "compile", traced)
    plain = train(params, drawn_images, tiny_backbone, seed=5).detector.state_dict()
    assert compiled == []
    params = params.model_copy(update={"compile": True})
    found = train(params, drawn_images, tiny_backbone, seed=5).detector.state_dict()
    assert len(compiled) == 2
    assert found.keys() == plain.keys()
    for key, value in plain.items():
        torch.testing.assert_close(found[key], value, **LEARNED)
