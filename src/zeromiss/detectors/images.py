"""Training images: files that are read when a batch asks for them.

Axes: C channels, H rows, W columns.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zeromiss.images.reader import ImageReader

MEMORY = 2 << 30  # bytes of training images kept decoded, over all processes; more are read as they are needed
LOADERS = 2  # processes that read images when they do not fit into memory


class ImageFiles:
    """Images read (and aligned, where a product's are) when asked for, as bytes (3, H, W); with `keep`, once."""

    def __init__(self, paths: Sequence[Path], reader: ImageReader, *, keep: bool = False) -> None:
        """Name the files and what reads them."""
        self._paths, self._reader, self._keep = list(paths), reader, keep
        self._kept: dict[int, Tensor] = {}

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._paths)

    def __getitem__(self, index: int) -> Tensor:
        """Return one image, uint8 (3, H, W)."""
        if index in self._kept:
            return self._kept[index]
        image_CHW = torch.from_numpy(np.rint(self._reader.read(self._paths[index]) * 255).astype(np.uint8))
        if self._keep:
            self._kept[index] = image_CHW
        return image_CHW


def floats(image_CHW: Tensor) -> Tensor:
    """Return an image of bytes as float32 in [0, 1]."""
    return image_CHW.float() / 255
