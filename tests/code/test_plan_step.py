"""A training step on paper against the same step for real."""

import pytest
import torch

from zeromiss.backbones.load import build_backbone
from zeromiss.detectors.vqgan.trainer import Trainer
from zeromiss.detectors.vqgan.vqgan import Vqgan
from zeromiss.detector_params import VqganParams
from zeromiss.planning.paper_step import paper_step, phase_starts
from zeromiss.planning.tally import Tally

SMALL = VqganParams(
    precision="bf16",
    channels=(8, 16), codes=16, code_dim=4, codebook_start=1, critic_channels=4, critic_start=3, critic_warmup=2, crop=None,
    backbone="vgg16", batch=2, steps=10,
)  # fmt: skip


def real_step(params, size, step):
    """Count one step of the trainer on real tensors, after one that made the optimisers' state."""
    with Tally() as tally:
        vqgan = Vqgan(params, size=size).train()
        vqgan.codebook.start = lambda latent, generator: None
        vqgan.codebook.learn = lambda latent, codes, generator: 0
        trainer = Trainer(vqgan, build_backbone(params.backbone), seed=0)
        batch_BCHW = torch.zeros(params.batch, 3, size, size, dtype=torch.uint8)
        trainer.step(batch_BCHW, step)
        tally.begin()
        trainer.step(batch_BCHW, step)
    return tally


@pytest.mark.parametrize("changes", [{}, {"gradient_checkpointing": True, "precision": "fp32"}], ids=["plain", "checkpointed"])
def test_paper_and_reality_agree_in_operations_and_memory(changes):
    params = SMALL.model_copy(update=changes)
    found = paper_step(params, 64, gpu=False, phases=False)
    real = real_step(params, 64, 5)
    assert found.phases[-1].flops == real.flops
    assert found.memory.peak == pytest.approx(real.peak, rel=0.02)


def test_parameters_weights_and_optimiser_by_hand():
    found = paper_step(SMALL, 64, gpu=False, phases=False)
    vqgan, backbone = Vqgan(SMALL), build_backbone(SMALL.backbone)
    assert found.parameters["codebook"] == 16 * 4
    assert found.parameters["critic"] == sum(weight.numel() for weight in vqgan.critic.parameters())
    assert found.parameters["perceptual backbone"] == sum(weight.numel() for weight in backbone.parameters())
    learned = sum(weight.numel() for weight in vqgan.parameters())
    assert found.parameters["generator"] == learned - found.parameters["critic"]  # an averaged codebook learns by itself
    assert found.memory.gradients == 4 * learned
    assert found.memory.optimiser == pytest.approx(2 * 4 * learned, rel=0.01)  # two moments and a counter
    tensors = [*vqgan.state_dict().values(), *backbone.state_dict().values()]
    averaged = [value for key, value in vqgan.state_dict().items() if not key.startswith("critic.")]
    assert found.memory.weights == pytest.approx(sum(tensor.nbytes for tensor in tensors + averaged), rel=0.001)
    without = paper_step(SMALL.model_copy(update={"ema_decay": 0.0}), 64, gpu=False, phases=False)
    assert without.memory.weights == pytest.approx(sum(tensor.nbytes for tensor in tensors), rel=0.001)


def test_phases_begin_where_the_work_changes():
    assert phase_starts(SMALL) == (0, 1, 3, 5)
    found = paper_step(SMALL, 64, gpu=False)
    assert [(phase.first, phase.steps) for phase in found.phases] == [(0, 1), (1, 2), (3, 2), (5, 5)]
    flops = [phase.flops for phase in found.phases]
    assert flops == sorted(flops) and flops[0] < flops[-1]


def activations(**changes):
    """Return the bytes of activations of the small network with other parameters."""
    return paper_step(SMALL.model_copy(update=changes), 64, gpu=False, phases=False).memory.activations


def test_activations_grow_in_proportion_to_the_batch_that_a_device_sees():
    two, four, six = (activations(batch=batch) for batch in (2, 4, 6))
    assert two < four
    assert six - four == pytest.approx(four - two, rel=0.15)  # beside a fixed part: the weights in bf16
    assert activations(batch=8, devices=2) == four


def test_checkpointing_trades_memory_for_operations():
    deep = {"channels": (64, 64), "stem": "conv", "blocks": 4}
    assert activations(**deep, gradient_checkpointing=True) < 0.7 * activations(**deep)


def test_a_gpu_normalises_in_fp32_and_needs_more():
    cpu, gpu = (paper_step(SMALL, 64, gpu=gpu, phases=False).memory for gpu in (False, True))
    assert gpu.activations > cpu.activations
    assert gpu.weights == cpu.weights


def test_a_gigantic_network_is_planned_without_being_allocated():
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    params = SMALL.model_copy(update={"channels": (2048, 4096)})
    found = paper_step(params, 1024, gpu=True, phases=False)
    assert found.memory.peak > 32 << 30
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < 1 << 30
