"""Training batches: which images and which crops a step sees depends on the seed and the step alone.

So a resumed training goes on with exactly the batches that an uninterrupted one would have seen.
Axes: B images, C channels, H and W pixels.
"""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from zeromiss.detectors.base import Context
from zeromiss.errors import ZeromissError


class Images(Protocol):
    """A tensor (N, 3, H, W) of bytes, or anything that reads its images when asked."""

    def __len__(self) -> int:
        """Return the number of images."""

    def __getitem__(self, index: int) -> Tensor:
        """Return one RGB image, uint8, (3, H, W)."""


class Contexts(Protocol):
    """What comes with each of some images, in their order."""

    @property
    def designs(self) -> list[str]:
        """The design of each image, '' where there is none."""

    def __getitem__(self, index: int) -> Context:
        """Return the context of one image."""


def generator_at(seed: int, step: int, purpose: int) -> torch.Generator:
    """Return a generator that depends on its three arguments alone."""
    state = np.random.SeedSequence([seed, step, purpose]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


class WithTemplate:
    """Images whose channels 3 to 5 are the template, so that a crop cuts both alike."""

    def __init__(self, images: Images, template_CHW: Tensor) -> None:
        """Put one template, uint8 (3, H, W), behind every image."""
        self._images, self._template_CHW = images, template_CHW

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._images)

    def __getitem__(self, index: int) -> Tensor:
        """Return one image with the template, uint8, (6, H, W)."""
        return torch.cat([self._images[index], self._template_CHW])


def mean_image(images: Images) -> Tensor:
    """Return the mean of all images, uint8 (3, H, W)."""
    total_CHW = torch.zeros_like(images[0], dtype=torch.int64)
    for index in range(len(images)):
        total_CHW += images[index]
    return (total_CHW.double() / len(images)).round().byte()


class Batches(Dataset[Tensor]):
    """Item i is the batch of step i: uint8 (B, C, crop, crop), or whole images where crop is None.

    Of several processes each gets its own share of the one batch: as if it were cut in order.
    """

    def __init__(
        self, images: Images, *, batch: int, crop: int | None, seed: int, steps: int, rank: int = 0, processes: int = 1, name: str = "vqgan"
    ) -> None:
        """Draw `batch` images with replacement a step, each with its own place of the crop; `rank` counts from 0, `name` is the detector's.

        Raises ZeromissError without images, or with a crop larger than they are.
        """
        if len(images) == 0:
            raise ZeromissError("no normal image to train on: ingest some, or raise manifest.train")
        self._sides = images[0].shape[-2:]  # of every image
        side = min(self._sides)
        if crop is not None and crop > side:
            raise ZeromissError(f"{name}.crop is {crop} but the images' shorter side has {side} pixels: lower it or raise size")
        self._images, self._batch, self._crop, self._seed, self._steps = images, batch, crop, seed, steps
        share = batch // processes
        self._own = range(rank * share, (rank + 1) * share)

    def __len__(self) -> int:
        """Return the number of steps."""
        return self._steps

    def __getitem__(self, step: int) -> Tensor:
        """Return this process's share of the batch of `step`."""
        generator = generator_at(self._seed, step, 0)
        picked = torch.randint(len(self._images), (self._batch,), generator=generator).tolist()
        places = [self._place_of_crop(generator) for _ in picked]
        return torch.stack([self._cut(self._images[picked[index]], *places[index]) for index in self._own])

    def _place_of_crop(self, generator: torch.Generator) -> tuple[int, int]:
        """Draw the first row and column of a crop."""
        if self._crop is None:
            return 0, 0
        rows, columns = self._sides
        return self._place(rows, generator), self._place(columns, generator)

    def _cut(self, image_CHW: Tensor, top: int, left: int) -> Tensor:
        return image_CHW if self._crop is None else image_CHW[:, top : top + self._crop, left : left + self._crop]

    def _place(self, side: int, generator: torch.Generator) -> int:
        """Return where a crop begins: even over the image, the ends more often, as each is seen only from there."""
        room, beyond = side - self._crop, self._crop // 4
        drawn = int(torch.randint(-beyond, room + beyond + 1, (), generator=generator))
        return min(max(drawn, 0), room)
