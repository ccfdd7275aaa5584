"""Images of anything else: what the student must not learn to imitate on, and what a teacher sees more of the world in.

The published form takes ImageNet for both (Batzner et al., arXiv:2303.14535, sections 3.1 and 3.2). Without a folder of
such images, six photographs that come inside scikit-learn and scikit-image serve: buildings, a flower, a face, a cat, a
cup, a rocket. They are few; random cuts of every size, turned and in grey at times, make more of them.
"""

from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from zeromiss.errors import ZeromissError
from zeromiss.images.load import load_image

_INSTALLED = (
    ("sklearn", ("datasets/images/china.jpg", "datasets/images/flower.jpg")),
    ("skimage", ("data/astronaut.png", "data/chelsea.png", "data/coffee.png", "data/rocket.jpg")),
)
_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}
_SIDE = 512  # pixels a side at which a photograph is held
_SMALLEST = 0.3  # side of a cut, of the photograph's
_GREY = 0.3  # share of the cuts in grey (anomalib's own)
_HELD = 500  # of a folder, the first by name: 400 MB


def photographs(folder: str | None) -> list[Tensor]:
    """Return RGB images of anything else as bytes (3, 512, 512): of `folder` and those below it, or those that packages bring.

    Raises ZeromissError when the folder holds none, or a file cannot be read.
    """
    paths = [Path(str(files(package) / name)) for package, names in _INSTALLED for name in names] if folder is None else _below(folder)
    return [torch.from_numpy(load_image(path, _SIDE)).mul(255).round().byte() for path in paths]


def _below(folder: str) -> list[Path]:
    found = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in _SUFFIXES)[:_HELD]
    if not found:
        raise ZeromissError(f"efficientad.other_images: no image lies in {folder}: give a folder of JPEG or PNG files")
    return found


def cuts(images: list[Tensor], count: int, side: int, generator: torch.Generator) -> Tensor:
    """Return `count` random cuts, RGB in [0, 1], (count, 3, side, side): other places and sizes, mirrored and grey at times."""
    return torch.cat([_cut(images[_below_int(len(images), generator)], side, generator) for _ in range(count)])


def _cut(image_CHW: Tensor, side: int, generator: torch.Generator) -> Tensor:
    share = _SMALLEST + (1 - _SMALLEST) * float(torch.rand((), generator=generator))
    length = max(1, int(share * image_CHW.shape[-1]))
    top, left = (_below_int(image_CHW.shape[-1] - length + 1, generator) for _ in range(2))
    cut_BCHW = image_CHW[None, :, top : top + length, left : left + length].float() / 255
    mirrored, grey = (float(torch.rand((), generator=generator)) for _ in range(2))
    if mirrored < 0.5:
        cut_BCHW = cut_BCHW.flip(-1)
    if grey < _GREY:
        cut_BCHW = cut_BCHW.mean(dim=1, keepdim=True).expand_as(cut_BCHW)
    return functional.interpolate(cut_BCHW, size=(side, side), mode="bilinear", antialias=True, align_corners=False)


def _below_int(end: int, generator: torch.Generator) -> int:
    return int(torch.randint(end, (), generator=generator))
