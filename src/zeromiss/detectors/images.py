"""Training images and what comes with them: files that are read when a batch asks for them.

Axes: C channels, H rows, W columns.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from zeromiss.detectors.base import Context
from zeromiss.errors import ZeromissError
from zeromiss.files import sha256_file
from zeromiss.images.reader import ImageReader
from zeromiss.images.references import Companion

MEMORY = 2 << 30  # bytes of training images kept decoded, over all processes; more are read as they are needed
REFERENCES = 16  # of the last references that were read, kept decoded
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


class ContextReader:
    """Reads what comes with images; of the references it keeps the last few. May be shared by threads."""

    def __init__(self, reader: ImageReader) -> None:
        """Name what reads a reference: as it reads the images."""
        self._reader = reader
        self._kept: OrderedDict[tuple[Path, int, int], Context] = OrderedDict()
        self._lock = Lock()

    def __call__(self, companion: Companion) -> Context:
        """Return the context of an image. Raises ZeromissError for a reference that cannot be read."""
        path = companion.reference
        if path is None:
            return Context(design=companion.design)
        try:
            found = path.stat()
        except OSError:
            raise ZeromissError(f"the reference {path} is missing: put the file there or name another one") from None
        key = (path, found.st_mtime_ns, found.st_size)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
        if kept is None:
            kept = Context(reference_CHW=torch.from_numpy(self._reader.read(path)), reference_sha256=sha256_file(path))
            with self._lock:
                self._kept[key] = kept
                while len(self._kept) > REFERENCES:
                    self._kept.popitem(last=False)
        return replace(kept, design=companion.design)


class ContextFiles:
    """The contexts of some images, in their order, read when asked for."""

    def __init__(self, companions: Sequence[Companion], reader: ImageReader) -> None:
        """Name what comes with each image."""
        self.companions = list(companions)
        self._read = ContextReader(reader)

    @property
    def designs(self) -> list[str]:
        """The design of each image."""
        return [companion.design for companion in self.companions]

    def __getitem__(self, index: int) -> Context:
        """Return the context of one image."""
        return self._read(self.companions[index])


def floats(image_CHW: Tensor) -> Tensor:
    """Return an image of bytes as float32 in [0, 1]."""
    return image_CHW.float() / 255
