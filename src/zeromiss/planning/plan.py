"""The plan of a product: what its training and the rest of its pipeline will take, and what to change if it does not fit."""

from dataclasses import asdict, dataclass
from typing import Any

import torch

from zeromiss.detector_params import VqganParams
from zeromiss.image_size import ImageSize
from zeromiss.params import Product
from zeromiss.planning.counts import Counts, count_images
from zeromiss.planning.devices import GIB, Device, find_device, measured_cpu, seconds
from zeromiss.planning.paper_step import Memory, PaperStep, Phase, paper_step, planned_precision
from zeromiss.planning.pipeline import Extraction, Fits, plan_extraction, plan_fits
from zeromiss.workspace import Workspace

_CHECKPOINTING = "gradient_checkpointing"


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Steps of a training that take equally long."""

    first: int
    steps: int
    flops: int  # of one step
    seconds: float  # of one step


@dataclass(frozen=True, kw_only=True)
class Training:
    """The training on paper, on one device."""

    parameters: dict[str, int]
    size: ImageSize  # of a training image
    memory: dict[bool, Memory]  # by whether gradients are checkpointed
    flops: dict[bool, int]  # of a step at the end of the training, likewise
    fits: dict[bool, bool]
    stretches: tuple[Stretch, ...]
    hours: float
    reached: float  # share of the device's peak rate that these hours amount to
    advice: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All of a product on paper; counts, extraction and fits are None while no image was ingested."""

    product: Product
    device: Device
    training: Training
    counts: Counts | None
    extraction: Extraction | None
    fits: Fits | None

    def content(self) -> dict[str, Any]:
        """Return the plan as plain values, for JSON; memory in bytes, by `as_set` and `otherwise`."""
        params, training = self.product.vqgan, self.training
        kept = {key: getattr(params, key) for key in ("precision", "batch", "steps", _CHECKPOINTING)}
        both = {"as_set": params.gradient_checkpointing, "otherwise": not params.gradient_checkpointing}
        memory = {
            name: asdict(training.memory[on]) | {"activations": training.memory[on].activations}
            for name, on in both.items()
        }
        for name, on in both.items():
            memory[name] |= {_CHECKPOINTING: on, "fits": training.fits[on]}
        facts = {key: value for key, value in asdict(training).items() if key not in ("memory", "flops", "fits")}
        return {
            "product": self.product.name,
            "profile": self.product.profile,
            "device": asdict(self.device),
            "vqgan": kept,
            "training": facts | {"size": training.size.plain, "memory": memory},
            "counts": self.counts and asdict(self.counts),
            "extraction": self.extraction and asdict(self.extraction),
            "selection": self.fits and asdict(self.fits),
        }


def plan(product: Product, workspace: Workspace, *, device: str = "cpu") -> Plan:
    """Return the product's plan for training on `device`; everything after it is for this machine. Some seconds.

    Raises ZeromissError for an unknown device or backbone, and for a raw index that cannot be split.
    """
    found = find_device(device)
    counts = count_images(product, workspace)
    return Plan(
        product=product,
        device=found,
        training=plan_training(product, found),
        counts=counts,
        extraction=plan_extraction(product, counts, _one_core()) if counts else None,
        fits=plan_fits(product, counts) if counts else None,
    )


def plan_training(product: Product, device: Device) -> Training:
    """Return the training on paper, with gradients checkpointed and not."""
    chosen = product.vqgan.gradient_checkpointing
    other = product.vqgan.model_copy(update={_CHECKPOINTING: not chosen})
    steps = {
        chosen: paper_step(product.vqgan, product.size, gpu=device.gpu),
        not chosen: paper_step(other, product.size, gpu=device.gpu, phases=False),
    }
    stretches = tuple(stretch(phase, device) for phase in steps[chosen].phases)
    took = sum(part.steps * part.seconds for part in stretches)
    peak = device.bf16 if planned_precision(product.vqgan) == "bf16" else device.fp32
    return Training(
        parameters=steps[chosen].parameters,
        size=ImageSize.of(product.vqgan.crop or product.size),
        memory={on: step.memory for on, step in steps.items()},
        flops={on: step.phases[-1].flops for on, step in steps.items()},
        fits={on: room(step.memory, device) for on, step in steps.items()},
        stretches=stretches,
        hours=took / 3600,
        reached=sum(part.steps * part.flops for part in stretches) / took / peak,
        advice=advice(product.vqgan, product.size, steps, device),
    )


def stretch(phase: Phase, device: Device) -> Stretch:
    """Return a phase with its time on `device`."""
    return Stretch(first=phase.first, steps=phase.steps, flops=phase.flops, seconds=seconds(phase.work, device))


def room(memory: Memory, device: Device) -> bool:
    """Return whether a step has room on the device."""
    return memory.peak <= device.memory - device.reserve


def advice(params: VqganParams, size: ImageSize, steps: dict[bool, PaperStep], device: Device) -> tuple[str, ...]:
    """Return what to change when a step as set has no room on the device; nothing when it has.

    Activations grow with batch and pixels in proportion: what smaller ones need is reckoned so.
    """
    memory = steps[params.gradient_checkpointing].memory
    if room(memory, device):
        return ()
    fixed, free = memory.peak - memory.activations, device.memory - device.reserve
    found = [f"A step needs {memory.peak / GIB:.1f} GiB and {device.name} has {free / GIB:.1f} GiB for it."]
    if not params.gradient_checkpointing:
        need = steps[True].memory.peak
        verdict = "fits" if need <= free else "is still too much"
        found.append(f"vqgan.{_CHECKPOINTING}: true needs {need / GIB:.1f} GiB, which {verdict}.")
    share = max(0.0, (free - fixed) / memory.activations)
    if fixed > free:
        return (*found, "Weights and optimiser alone are too large: lower vqgan.channels or take a larger device.")
    if params.batch > 1 and share * params.batch >= 1:
        found.append(f"vqgan.batch: {int(share * params.batch)} fits (it is {params.batch}).")
    now = ImageSize.of(params.crop or size)
    width, height = (int(side * share**0.5 // 32 * 32) for side in (now.width, now.height))
    key = "size" if params.crop is None else "vqgan.crop"
    if min(width, height) >= 32:
        found.append(f"{key}: {ImageSize(width, height).plain} fits (it is {now.plain}).")
    return tuple(found)


def _one_core() -> Device:
    """Return this machine's rates on one thread, as measuring an image uses it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return measured_cpu()
    finally:
        torch.set_num_threads(threads)
