"""A training step on paper: the product's own `Trainer` runs on tensors that have shapes and no values.

Nothing of the network's size is allocated; memory and operations are those of the code that trains, with the
memory format, precision and checkpointing it has, not of a formula beside it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from zeromiss.backbones.base import Backbone
from zeromiss.backbones.load import build_backbone
from zeromiss.detectors.vqgan.trainer import Trainer
from zeromiss.detectors.vqgan.vqgan import Vqgan
from zeromiss.detector_params import VqganParams
from zeromiss.image_size import ImageSize, Size
from zeromiss.planning.tally import Tally, Work


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Steps that do the same work: before quantising begins, before the discriminator learns, and so on."""

    first: int  # step
    steps: int
    work: tuple[Work, ...]  # of one step

    @property
    def flops(self) -> int:
        """Floating-point operations of one step."""
        return sum(work.flops for work in self.work)


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of a training step, at its peak, in the last phase."""

    weights: int  # of all networks, with their buffers
    gradients: int
    optimiser: int
    peak: int

    @property
    def activations(self) -> int:
        """What else is alive at the peak: activations, and the step's own passing tensors."""
        return self.peak - self.weights - self.gradients - self.optimiser


@dataclass(frozen=True, kw_only=True)
class PaperStep:
    """A training on paper."""

    parameters: dict[str, int]  # numbers that each network holds
    memory: Memory
    phases: tuple[Phase, ...]


def planned_precision(params: VqganParams) -> str:
    """Return the precision that a plan is made for: every device that is planned for has instructions for bf16."""
    return "fp32" if params.precision == "fp32" else "bf16"


def paper_step(params: VqganParams, size: Size, *, gpu: bool, phases: bool = True) -> PaperStep:
    """Return what a training of `params` on images of `size` takes of one of its devices.

    Without `phases` only the last one is gone through. `gpu`: autocast as on a CUDA device, which normalises in fp32
    where a CPU does in bf16. A precision of auto is planned as bf16. Takes some seconds.
    Raises ZeromissError for an unknown backbone.
    """
    params = params.model_copy(update={"precision": planned_precision(params)})
    vqgan, backbone = _networks(params, size)
    starts = phase_starts(params) if phases else phase_starts(params)[-1:]
    shape = (params.crop, params.crop) if params.crop else ImageSize.of(size).shape
    share = -(-params.batch // params.devices)  # images of a batch that one device sees
    with FakeTensorMode(), Tally() as tally:
        for network in (vqgan, backbone):
            without_values(network)
        if gpu:
            _normalise_as_cuda(vqgan)
        trainer = Trainer(vqgan, backbone, seed=0, fabric=_OnPaper())
        _silence(trainer)
        batch_BCHW = torch.empty(share, 6 if params.template else 3, *shape, dtype=torch.uint8)
        trainer.step(batch_BCHW, starts[0])  # makes the optimisers' state
        found = []
        for start, end in zip(starts, (*starts[1:], params.steps), strict=True):
            tally.begin()
            trainer.step(batch_BCHW, start)
            found.append(Phase(first=start, steps=end - start, work=tuple(tally.work)))
        memory = _memory(trainer, tally.peak)
    return PaperStep(parameters=_parameters(vqgan, backbone), memory=memory, phases=tuple(found))


def phase_starts(params: VqganParams) -> tuple[int, ...]:
    """Return the steps at which the work of a step changes, from 0."""
    changes = {0, params.codebook_start, params.critic_start, params.critic_start + params.critic_warmup}
    return tuple(sorted(step for step in changes if step < params.steps))


def _networks(params: VqganParams, size: Size) -> tuple[Vqgan, Backbone]:
    """Return both networks on the meta device: shapes and layouts, no memory."""
    with torch.device("meta"):
        vqgan = Vqgan(params.model_copy(update={"compile": False}), size=size).train()
        return vqgan, build_backbone(params.backbone).to(memory_format=torch.channels_last)


def without_values(network: nn.Module) -> None:
    """Put fake tensors, which know the device they would lie on, in the place of meta tensors."""
    for module in network.modules():
        for name, weight in module.named_parameters(recurse=False):
            module._parameters[name] = nn.Parameter(_fake(weight), weight.requires_grad)
        for name, buffer in module.named_buffers(recurse=False):
            module._buffers[name] = _fake(buffer)
    network.to = lambda *layout, **device: network  # laid out on the meta device; what has no values cannot be moved


def _fake(like: Tensor) -> Tensor:
    return torch.empty_strided(like.size(), like.stride(), dtype=like.dtype, device="cpu")


def _silence(trainer: Trainer) -> None:
    """Leave out what looks at values, which do not exist here; it takes next to no time, and no memory beyond the weights."""
    trainer.vqgan.codebook.start = lambda latent_BDhw, generator: None
    trainer.vqgan.codebook.learn = lambda latent_BDhw, codes_Bhw, generator: 0
    if trainer.average:
        trainer.average.follow = lambda: None


class _OnPaper:
    """Fabric's part in a step of one process: everything lies where it should, and nobody else has a share."""

    device, world_size = torch.device("cpu"), 1

    def to_device(self, placed: Any) -> Any:
        """Return what lies there already."""
        return placed

    def setup(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Return both without a wrapper."""
        return network, optimiser

    def all_reduce(self, tensor: Tensor, *, reduce_op: str) -> Tensor:
        """Return the sum or mean over one process."""
        return tensor


def _memory(trainer: Trainer, peak: int) -> Memory:
    networks = [*trainer.modules.values(), trainer.backbone]
    weights = [weight for network in networks for weight in network.parameters()]
    buffers = [buffer for network in networks for buffer in network.buffers()]
    states = [state for optimiser in trainer.optimisers.values() for state in optimiser.state.values()]
    return Memory(
        weights=_bytes(weights) + _bytes(buffers),
        gradients=_bytes(weight.grad for weight in weights if weight.grad is not None),
        optimiser=sum(_bytes(value for value in state.values() if isinstance(value, Tensor)) for state in states),
        peak=peak,
    )


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors)


def _parameters(vqgan: Vqgan, backbone: Backbone) -> dict[str, int]:
    """Return how many numbers each network learns or, frozen, knows."""
    generator = sum(weight.numel() for part in (vqgan.encoder, vqgan.decoder) for weight in part.parameters())
    return {
        "generator": generator,
        "codebook": vqgan.codebook.codes_KD.numel(),
        "critic": sum(weight.numel() for weight in vqgan.critic.parameters()),
        "perceptual backbone": sum(weight.numel() for weight in backbone.parameters()),
    }


def _normalise_as_cuda(network: nn.Module) -> None:
    """Let group norms work in fp32 under autocast: CUDA's does so, the CPU's leaves them in bf16."""
    for module in network.modules():
        if isinstance(module, nn.GroupNorm):
            module.forward = partial(_norm_in_fp32, module)


def _norm_in_fp32(norm: nn.GroupNorm, map_BCHW: Tensor) -> Tensor:
    if torch.is_autocast_enabled("cpu"):
        map_BCHW = map_BCHW.float()
    with torch.autocast("cpu", enabled=False):
        return functional.group_norm(map_BCHW, norm.num_groups, norm.weight, norm.bias, norm.eps)
