"""Train SimpleNet: features of normal cells against the same with noise (paper 5, section 3.2, algorithm 1)."""

import math
from typing import Unpack

import torch
from torch import Tensor

from zeromiss.backbones.load import load_backbone
from zeromiss.detector_params import SimplenetParams
from zeromiss.detectors.batches import Batches, Images, generator_at
from zeromiss.detectors.loop import How, Trained, device, learn
from zeromiss.detectors.simplenet.loss import truncated_l1
from zeromiss.detectors.simplenet.maps import KeptMaps, mean_and_std
from zeromiss.detectors.simplenet.simplenet import Simplenet
from zeromiss.image_size import Size

_NOISE = 1  # what the generator of a step draws


class Trainer:
    """Adapter, discriminator and their optimisers, step by step."""

    def __init__(self, detector: Simplenet, *, seed: int) -> None:
        """Move the detector to where it learns."""
        self.detector, self.params, self._seed, self._device = detector.to(device()), detector.params, seed, device()
        detector.looks.to(self._device)
        self.kept: KeptMaps | None = None
        head, params = detector.head.train(), detector.params
        self.modules = {"head": head}
        self.optimisers = {
            "adapter": torch.optim.Adam(head.adapter.parameters(), lr=params.adapter_rate, weight_decay=params.weight_decay),
            "discriminator": torch.optim.Adam(head.discriminator.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay),
        }

    def maps_of(self, bytes_BCHW: Tensor) -> list[Tensor]:
        """Return the backbone's maps of images in bytes."""
        return self.detector.maps(bytes_BCHW.to(self._device).float() / 255)

    def step(self, batch: Tensor, step: int) -> dict[str, Tensor]:
        """Learn from one batch, of images in bytes or of kept maps; return loss and shares of cells judged rightly."""
        maps = self.kept.maps(batch.to(self._device)) if self.kept else self.maps_of(batch)
        head = self.detector.head
        adapted_ND = head.adapt(self.detector.features(maps))
        draws = torch.Generator(self._device).manual_seed(generator_at(self._seed, step, _NOISE).initial_seed())
        noise_ND = torch.randn(adapted_ND.shape, generator=draws, device=self._device)
        both = head.normality(torch.cat([adapted_ND, adapted_ND + self.params.noise * noise_ND]))  # one norm over both
        normal_N, noisy_N = both.chunk(2)
        loss = truncated_l1(normal_N, noisy_N, self.params.th)
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        loss.backward()
        for optimiser in self.optimisers.values():
            optimiser.step()
        right = {"normal_right": normal_N >= self.params.th, "noisy_right": noisy_N <= -self.params.th}
        return {"loss": loss.detach()} | {key: value.float().mean() for key, value in right.items()}


def train(params: SimplenetParams, images: Images, *, size: Size, seed: int, **how: Unpack[How]) -> Trained:
    """Train on uint8 images (3, H, W) of `size`, `params.epochs` times their number; the same seed gives the same weights.

    Raises ZeromissError when the backbone's weights or maps are missing, the maps to keep take more memory than allowed, a
    checkpoint is damaged, or the loss is no longer finite.
    """
    steps = max(params.least_steps, math.ceil(params.epochs * len(images) / params.batch))
    drawn = {"batch": params.batch, "crop": None, "seed": seed, "steps": steps, "name": "simplenet"}
    batches = Batches(images, **drawn)
    trainer = Trainer(Simplenet(params, load_backbone(params.backbone, params.backbone_path), seed=seed), seed=seed)
    if params.keep_mib:
        trainer.kept = KeptMaps(images, trainer.maps_of, params.keep_mib)
        batches, how["workers"] = Batches(trainer.kept, **drawn), 0  # no image is read any more
    if params.standardise:
        _standardise(trainer, images)
    history, seconds = learn(
        trainer,
        batches,
        name="simplenet",
        steps=steps,
        checkpoint_every=params.checkpoint_every,
        **how,
    )
    trainer.detector.looks.cpu()
    return Trained(detector=trainer.detector.cpu().eval(), history=history, seconds=seconds)


def _standardise(trainer: Trainer, images: Images) -> None:
    """Give the detector the scale of each channel over the training images."""

    def maps(index: int) -> list[Tensor]:
        """Return those of one image."""
        return trainer.kept.maps(trainer.kept[index][None]) if trainer.kept else trainer.maps_of(images[index][None])

    for level, (mean_C11, std_C11) in enumerate(mean_and_std(maps, len(images))):
        getattr(trainer.detector, f"mean_{level}_C11").copy_(mean_C11)
        getattr(trainer.detector, f"std_{level}_C11").copy_(std_C11)
