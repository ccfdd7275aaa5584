"""Train the autoencoder on patches of normal images, then remember the error maps of the same images.

Paper 4, section 3.1: the images that taught the autoencoder also are what the classifier knows, for halving them
would cost more than the sparse code is there to prevent. Axes: B patches, C channels, P pixels of a side.
"""

import math
from collections.abc import Mapping
from time import monotonic
from typing import Unpack

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm import tqdm

from zeromiss.backbones.load import load_backbone
from zeromiss.detector_params import CpcaeParams
from zeromiss.detectors.batches import Images, generator_at
from zeromiss.detectors.cpcae.cpcae import Cpcae, downsized
from zeromiss.detectors.cpcae.loss import activity, sparse_loss, squared_error
from zeromiss.detectors.cpcae.patches import places
from zeromiss.detectors.cpcae.score import error_image
from zeromiss.detectors.images import floats
from zeromiss.detectors.loop import How, Trained, device, learn
from zeromiss.errors import ZeromissError
from zeromiss.image_size import Size

_SILENT = 0.01  # magnitude of an activity up to which it counts as none


class PatchBatches(Dataset[Tensor]):
    """Item i is the batch of step i: uint8 (B, C, P, P), patches drawn evenly from all images and places.

    The downsized images are kept in memory.
    """

    def __init__(self, images: Images, cpcae: Cpcae, *, seed: int) -> None:
        """Downsize every image once."""
        self._params, self._seed = cpcae.params, seed
        self._images = [(downsized(floats(images[i])[None], cpcae.small)[0] * 255).round().byte() for i in range(len(images))]
        self._places = places(*cpcae.small.shape, cpcae.params.patch, cpcae.params.patch_step)

    def __len__(self) -> int:
        """Return the number of steps."""
        return self._params.steps

    def __getitem__(self, step: int) -> Tensor:
        """Return the patches of `step`; `numbers` says where in their images they lie."""
        params, count = self._params, len(self._places)
        picked = torch.randint(len(self._images), (params.batch,), generator=generator_at(self._seed, step, 0)).tolist()
        chosen = [self._places[number - 1] for number in numbers(self._seed, step, params.batch, count).tolist()]
        return torch.stack(
            [self._images[image][:, top : top + params.patch, left : left + params.patch] for image, (top, left) in zip(picked, chosen, strict=True)]
        )


def numbers(seed: int, step: int, batch: int, count: int) -> Tensor:
    """Return the number, 1 to `count`, of each patch of a step, (B,)."""
    return torch.randint(1, count + 1, (batch,), generator=generator_at(seed, step, 1))


class Trainer:
    """Autoencoder and optimiser."""

    def __init__(self, cpcae: Cpcae, *, seed: int, target: torch.device) -> None:
        """Take the autoencoder to `target`."""
        self._params, self._seed, self._target = cpcae.params, seed, target
        self._count = len(places(*cpcae.small.shape, cpcae.params.patch, cpcae.params.patch_step))
        self._autoencoder = cpcae.autoencoder.to(target)
        self._optimiser = torch.optim.Adam(self._autoencoder.parameters(), lr=cpcae.params.learning_rate)
        self.modules: Mapping[str, nn.Module] = {"autoencoder": self._autoencoder}
        self.optimisers: Mapping[str, torch.optim.Optimizer] = {"autoencoder": self._optimiser}

    def step(self, batch: Tensor, step: int) -> dict[str, Tensor]:
        """Learn from the patches of `step`; the learning rate falls along a half cosine."""
        params = self._params
        image_BCPP = floats(batch.to(self._target))
        condition_B = (numbers(self._seed, step, len(batch), self._count) / self._count).to(self._target)
        image_hat_BCPP, code_BD = self._autoencoder(image_BCPP, condition_B)
        loss = sparse_loss(image_BCPP, image_hat_BCPP, code_BD, params.sparsity)
        for group in self._optimiser.param_groups:
            group["lr"] = params.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / params.steps)))
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._optimiser.step()
        with torch.no_grad():
            error = squared_error(image_BCPP, image_hat_BCPP).mean()
            active = (code_BD.abs() > _SILENT).float().mean()  # share of the code at work
            return {"loss": loss.detach(), "squared_error": error, "activity": activity(code_BD).mean(), "active": active}


def train(params: CpcaeParams, images: Images, *, size: Size, seed: int, **how: Unpack[How]) -> Trained:
    """Fit on uint8 images (3, H, W) of `size` of normal parts; the same seed gives the same weights and embeddings.

    Raises ZeromissError with fewer images than `params.neighbors`, patches that do not fit, missing weights of the
    backbone, or a loss that is no longer finite.
    """
    if len(images) < params.neighbors:
        raise ZeromissError(
            f"cpcae compares an image with its {params.neighbors} nearest training images and there are {len(images)}: "
            "ingest more normal images or lower cpcae.neighbors"
        )
    with torch.random.fork_rng(devices=[]):  # loading draws weights before it reads them, and a loader draws a seed
        return _fit(params, images, size=size, seed=seed, **how)


def _fit(params: CpcaeParams, images: Images, *, size: Size, seed: int, **how: Unpack[How]) -> Trained:
    """Teach the autoencoder, then remember."""
    cpcae = Cpcae(params, load_backbone(params.backbone, params.backbone_path), size=size, seed=seed)
    target = device()
    trainer = Trainer(cpcae, seed=seed, target=target)
    history, seconds = learn(
        trainer,
        PatchBatches(images, cpcae, seed=seed),
        name="cpcae",
        steps=params.steps,
        checkpoint_every=params.checkpoint_every,
        **how,
    )
    started = monotonic()
    cpcae.to(target).eval()
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):  # inspection computes in fp32
        shown = tqdm(range(len(images)), desc="cpcae maps", unit="image", dynamic_ncols=True)
        cpcae.remember(torch.cat([embedding(cpcae, floats(images[i].to(target))) for i in shown]))
    return Trained(detector=cpcae.cpu(), history=history, seconds=seconds + monotonic() - started)


def embedding(cpcae: Cpcae, image_CHW: Tensor) -> Tensor:
    """Return the features of one image's error map, (1, F), not standardised."""
    image_BCHW = image_CHW[None]
    return cpcae.embed(error_image(image_BCHW, cpcae.reconstruct(image_BCHW).image_hat_BCHW))
