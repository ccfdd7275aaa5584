"""The judged weights are the moving average of those that learned, worked out here beside the training."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from zeromiss.backbones.base import Backbone
from zeromiss.detector_params import VqganParams
from zeromiss.detectors.batches import Batches
from zeromiss.detectors.vqgan.average import decay_at
from zeromiss.detectors.vqgan.train import train
from zeromiss.detectors.vqgan.trainer import Trainer
from zeromiss.detectors.vqgan.vqgan import Vqgan

STEPS = 6


def learned(params: VqganParams, backbone: Backbone, images: Tensor) -> tuple[Trainer, list[dict[str, Tensor]]]:
    """Take some steps; return the training and all its weights after each."""
    trainer = Trainer(Vqgan(params, seed=0).train(), backbone, seed=0)
    batches = Batches(images, batch=params.batch, crop=params.crop, seed=0, steps=STEPS)
    seen = []
    for step in range(STEPS):
        trainer.step(batches[step], step)
        seen.append({key: value.detach().clone() for key, value in trainer.vqgan.state_dict().items()})
    return trainer, seen


def test_the_share_that_stays_rises_to_the_decay():
    assert decay_at(0, 0.999) == pytest.approx(1 / 10)
    assert decay_at(90, 0.999) == pytest.approx(91 / 100)
    assert decay_at(10**6, 0.999) == 0.999
    assert decay_at(90, 0.5) == 0.5


@pytest.mark.parametrize("codebook", ["ema", "gradient"])
def test_what_is_judged_is_the_average_of_all_steps(
    tiny_params: VqganParams, tiny_backbone: Backbone, drawn_images: Tensor, codebook: str
):
    params = tiny_params.model_copy(update={"codebook": codebook, "learning_rate": 1e-2, "ema_decay": 0.25})
    trainer, seen = learned(params, tiny_backbone, drawn_images)
    averages = {key: value.double() for key, value in seen[0].items()}
    for step, weights in enumerate(seen[1:], start=1):
        stays = min(0.25, (1 + step) / (10 + step))
        averages = {key: stays * value + (1 - stays) * weights[key].double() for key, value in averages.items()}
    learning = {name for name, _ in trainer.vqgan.named_parameters() if not name.startswith("critic.")}
    assert ("codebook.codes_KD" in learning) == (codebook == "gradient")
    judged, moved = trainer.judged().state_dict(), 0
    for key, value in judged.items():
        if key in learning:
            torch.testing.assert_close(value, averages[key].float(), rtol=1e-5, atol=1e-6)
            moved += not torch.equal(value, seen[-1][key])
        else:
            assert torch.equal(value, seen[-1][key]), f"{key} is no weight of what redraws"
    assert moved > len(learning) / 2


def test_without_a_decay_the_last_weights_are_judged(tiny_params: VqganParams, tiny_backbone: Backbone, drawn_images: Tensor):
    trainer, seen = learned(tiny_params.model_copy(update={"ema_decay": 0.0}), tiny_backbone, drawn_images)
    for key, value in trainer.judged().state_dict().items():
        assert torch.equal(value, seen[-1][key]), key


def test_a_checkpoint_holds_the_average_beside_the_weights(
    tmp_path: Path, tiny_params: VqganParams, tiny_backbone: Backbone, drawn_images: Tensor
):
    for decay, kept in ((0.999, True), (0.0, False)):
        file = tmp_path / f"{decay}.safetensors"
        params = tiny_params.model_copy(update={"ema_decay": decay})
        train(params, drawn_images, tiny_backbone, seed=5, checkpoint=file, stop_after=7)
        with safe_open(file, framework="pt") as state:
            assert any(key.startswith("average.") for key in state.keys()) == kept
            if kept:
                live, mean = (state.get_tensor(f"{where}.decoder.out.weight") for where in ("model", "average.module"))
                assert state.get_tensor("average.n_averaged").item() == 6
                assert not torch.equal(live, mean)
