"""Train a VQGAN on images of normal parts: seeded, resumable, with curves."""

from collections.abc import Iterable
from pathlib import Path
from time import monotonic

import torch
from lightning_fabric import Fabric
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from zeromiss.backbones.base import Backbone
from zeromiss.detectors.batches import Batches, Images, WithTemplate, mean_image
from zeromiss.detectors.checkpoint import load_checkpoint, save_checkpoint
from zeromiss.detectors.loop import Curves, Trained, device
from zeromiss.detectors.vqgan.trainer import Trainer
from zeromiss.detectors.vqgan.vqgan import Vqgan
from zeromiss.errors import ZeromissError
from zeromiss.detector_params import VqganParams

_LOG_EVERY = 25


def train(
    params: VqganParams,
    images: Images,
    backbone: Backbone,
    *,
    seed: int,
    log: Curves | None = None,
    checkpoint: Path | None = None,
    workers: int = 0,
    stop_after: int | None = None,
    fabric: Fabric | None = None,
) -> Trained:
    """Train on uint8 images (3, H, W) for `params.steps` steps; the same seed gives the same weights.

    With `checkpoint`, the state is written there every `params.checkpoint_every` steps and taken up
    from there. `stop_after` ends early, as a kill would, after that many steps (for tests).
    `fabric` is this process's place among those that train together; by default it trains alone, on the GPU if there
    is one. Only the first of them writes.
    Raises ZeromissError when the crop is no multiple of f, quantising would never begin, or the
    loss is no longer finite.
    """
    place = device()  # of every process, before its first step
    fabric = fabric or Fabric(accelerator=place.type, devices=1)
    vqgan = Vqgan(params, seed=seed)
    if params.template:
        template_CHW = mean_image(images)
        vqgan.template_CHW = template_CHW.float() / 255
        images = WithTemplate(images, template_CHW)
    trainer = Trainer(vqgan, backbone, seed=seed, fabric=fabric)
    if params.crop is not None and params.crop % trainer.vqgan.f:
        raise ZeromissError(f"vqgan.crop is {params.crop}: it must be a multiple of f = {trainer.vqgan.f}")
    if params.codebook_start >= params.steps:
        raise ZeromissError(
            f"vqgan.codebook_start is {params.codebook_start}: it must be below vqgan.steps = {params.steps}, or no code is ever learned"
        )
    share = {"rank": fabric.global_rank, "processes": fabric.world_size}
    batches = Batches(images, batch=params.batch, crop=params.crop, seed=seed, steps=params.steps, **share)
    done, before, history = load_checkpoint(checkpoint, trainer) if checkpoint else (0, 0.0, [])
    started = monotonic()
    trainer.vqgan.train()
    remaining = _loader(fabric, batches, done, params.steps, workers)
    with tqdm(total=params.steps, initial=done, desc="vqgan", unit="step", disable=not fabric.is_global_zero) as bar:
        for step, bytes_BCHW in enumerate(remaining, start=done):
            values = trainer.step(bytes_BCHW, step)
            bar.update()
            if (step + 1) % _LOG_EVERY == 0 or step + 1 == params.steps:
                history.append(_point(values, trainer, step))
                bar.set_postfix(loss=f"{history[-1]['loss']:.4f}")
                if log:
                    log.metrics({key: value for key, value in history[-1].items() if key != "step"}, step=step + 1)
            if checkpoint and fabric.is_global_zero and _is_kept(step, params, fabric):
                seconds = before + monotonic() - started
                save_checkpoint(checkpoint, trainer, step=step + 1, seconds=seconds, history=history)
            if step + 1 == stop_after:
                break
    return Trained(detector=trainer.judged(), history=history, seconds=before + monotonic() - started)


def _is_kept(step: int, params: VqganParams, fabric: Fabric) -> bool:
    """Return whether the state after `step` is written: every so often, and at last where it is all that remains."""
    last = step + 1 == params.steps and fabric.world_size > 1
    return last or (step + 1) % params.checkpoint_every == 0


def _loader(fabric: Fabric, batches: Batches, done: int, steps: int, workers: int) -> Iterable[torch.Tensor]:
    """Return the batches that remain, on their way to the device while a step runs."""
    pinned = fabric.device.type == "cuda"
    loader = DataLoader(Subset(batches, range(done, steps)), batch_size=None, num_workers=workers, pin_memory=pinned)
    return fabric.setup_dataloaders(loader, use_distributed_sampler=False)


def _point(values: dict[str, torch.Tensor], trainer: Trainer, step: int) -> dict[str, float]:
    """Return one row of the history; refuse to go on with a loss that is not finite."""
    params, codebook = trainer.params, trainer.vqgan.codebook
    row = trainer.averages(values)
    loss = row["pixel"] + params.perceptual * row["perceptual"] + row["codebook"]
    if not loss < float("inf"):
        raise ZeromissError(f"training lost its way at step {step + 1} (loss {loss}): lower vqgan.learning_rate")
    alive = float((codebook.idle_K < params.dead_after).float().mean())
    return {"step": float(step + 1), "loss": loss, "codes_alive": alive, **row}
