"""Exact nearest neighbours among the cells of normal images, by matrix products in bounded chunks.

Axes: h, w cells of the grid, D displacements, N kept images, M kept cells, K whitened dimensions, Q queries.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

CHUNK = 2048  # queries compared with the whole bank at a time: the chunk of distances stays within some tens of MiB


@dataclass(frozen=True, kw_only=True)
class PlaceBank:
    """The normal cells of each place as they are searched: in float32, the images along the last axis, their squared lengths beside them.

    Laid out so, and converted once instead of for every image, a search takes a fifth of the time.
    """

    cells_hwKN: Tensor
    square_hwN: Tensor

    @classmethod
    def of(cls, kept_hwNK: Tensor) -> Self:
        """Return the bank of the kept cells, of any precision."""
        cells_hwKN = kept_hwNK.float().transpose(2, 3).contiguous()
        return cls(cells_hwKN=cells_hwKN, square_hwN=cells_hwKN.square().sum(2))

    def part(self, images: slice) -> Self:
        """Return the bank of some of the images, in the same memory."""
        return type(self)(cells_hwKN=self.cells_hwKN[..., images], square_hwN=self.square_hwN[..., images])


def nearest_by_place(query_hwK: Tensor, bank: PlaceBank, *, radius: int) -> Tensor:
    """Return each cell's distance, (h, w), from the nearest normal cell at most `radius` rows and columns away.

    The bank is read once, row by row: every kept cell is compared with all queries that may use it.
    """
    height, width, dims = query_hwK.shape
    side = 2 * radius + 1
    padded_hwK = functional.pad(query_hwK, (0, 0, radius, radius, radius, radius))
    squared = torch.full((height + 2 * radius, width + 2 * radius), torch.inf)
    for row in range(height):
        around_swK = padded_hwK[row : row + side]  # of the bank's row: queries above, in it, and below
        query_wDK = around_swK.unfold(1, side, 1).permute(1, 0, 3, 2).reshape(width, side * side, dims)
        apart_wDN = torch.baddbmm(bank.square_hwN[row][:, None], query_wDK, bank.cells_hwKN[row], alpha=-2)
        nearest_wD = apart_wDN.amin(2) + query_wDK.square().sum(2)
        for place, nearest_w in enumerate(nearest_wD.unbind(1)):
            into = squared[row + place // side, place % side : place % side + width]
            torch.minimum(into, nearest_w, out=into)
    inside = squared[radius : radius + height, radius : radius + width]
    return inside.clamp_min(0).sqrt()


def nearest_anywhere(query_QK: Tensor, bank_MK: Tensor) -> Tensor:
    """Return each query's distance, (Q,), from the nearest cell of the bank."""
    bank_MK = bank_MK.float()
    squared_M = bank_MK.square().sum(1)
    chunks = [
        (squared_M - 2 * some_QK @ bank_MK.T).amin(1) + some_QK.square().sum(1) for some_QK in query_QK.split(CHUNK)
    ]
    return torch.cat(chunks).clamp_min(0).sqrt()


def coreset(cells_NK: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return the indices of `count` cells that lie far apart: each next one is the farthest from all before (greedy k-centre).

    The first is drawn. All indices where there are no more cells than `count`.
    """
    if len(cells_NK) <= count:
        return torch.arange(len(cells_NK))
    squared_N = cells_NK.square().sum(1)
    chosen = [int(torch.randint(len(cells_NK), (1,), generator=generator))]
    nearest_N = torch.full((len(cells_NK),), torch.inf)
    while len(chosen) < count:
        last_K = cells_NK[chosen[-1]]
        nearest_N = torch.minimum(nearest_N, squared_N - 2 * (cells_NK @ last_K) + last_K.square().sum())
        chosen.append(int(nearest_N.argmax()))
    return torch.tensor(chosen)
