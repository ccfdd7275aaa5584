"""The backbone's maps of the training images: it is frozen, so that they are computed once and kept.

Axes: C channels, h, w cells, L values in a row.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from tqdm import tqdm

from zeromiss.detectors.batches import Images
from zeromiss.errors import ZeromissError

MapsOf = Callable[[Tensor], list[Tensor]]  # of images in bytes, (B, 3, H, W)


class KeptMaps:
    """Maps of all levels of each image, laid in a row, so that a batch of them stacks like images."""

    def __init__(self, images: Images, maps_of: MapsOf, keep_mib: int) -> None:
        """Look at every image once.

        Raises ZeromissError when the maps would take more than `keep_mib` MiB.
        """
        self._shapes = [tuple(map_BCHW.shape[1:]) for map_BCHW in maps_of(images[0][None])]
        values = sum(math.prod(shape) for shape in self._shapes)
        needed = len(images) * values * 4 / 2**20
        if needed > keep_mib:
            raise ZeromissError(
                f"simplenet.keep_mib is {keep_mib}, but the maps of {len(images)} training images take {math.ceil(needed)} MiB: raise it, or set "
                "it to 0 to compute them anew at every step"
            )
        self._row_NL = torch.empty(len(images), values)
        for index in tqdm(range(len(images)), desc="simplenet features", unit="image", dynamic_ncols=True):
            self._row_NL[index] = torch.cat([map_BCHW.flatten() for map_BCHW in maps_of(images[index][None])])

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._row_NL)

    def __getitem__(self, index: int) -> Tensor:
        """Return the maps of one image, (1, L)."""
        return self._row_NL[index][None]

    def maps(self, row_B1L: Tensor) -> list[Tensor]:
        """Return a batch as maps, (B, C, h, w) each."""
        parts = row_B1L[:, 0].split([math.prod(shape) for shape in self._shapes], dim=1)
        return [part.view(-1, *shape) for part, shape in zip(parts, self._shapes, strict=True)]


def mean_and_std(maps: Callable[[int], list[Tensor]], count: int) -> list[tuple[Tensor, Tensor]]:
    """Return each level's mean and standard deviation of every channel over `count` images, (C, 1, 1) each.

    `maps` gives those of one image, (1, C, h, w). A channel that never changes has deviation 1.
    """
    sums: list[Tensor] = []
    cells: list[int] = []
    for index in tqdm(range(count), desc="simplenet scale", unit="image", dynamic_ncols=True):
        found = [map_BCHW[0].double().flatten(1) for map_BCHW in maps(index)]
        each = [torch.stack([values.sum(1), values.square().sum(1)]) for values in found]
        sums = [total + one for total, one in zip(sums, each, strict=True)] if sums else each
        cells = [values.shape[1] for values in found]
    scales = []
    for (total_C, squares_C), per_image in zip(sums, cells, strict=True):
        mean_C = total_C / (count * per_image)
        std_C = (squares_C / (count * per_image) - mean_C.square()).clamp(min=0).sqrt()
        std_C = torch.where(std_C > 1e-6, std_C, 1.0)
        scales.append((mean_C.float()[:, None, None], std_C.float()[:, None, None]))
    return scales
