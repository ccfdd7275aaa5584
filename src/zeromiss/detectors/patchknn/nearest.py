"""Exact nearest neighbours among the cells of normal images, by matrix products in bounded chunks.

Axes: h, w cells of the grid, D displacements, N kept images, M kept cells, K whitened dimensions, Q queries.
"""

import torch
from torch import Tensor
from torch.nn import functional

CHUNK = 2048  # queries compared with the whole bank at a time: the chunk of distances stays within some tens of MiB


def nearest_by_place(query_hwK: Tensor, bank_hwNK: Tensor, *, radius: int) -> Tensor:
    """Return each cell's distance, (h, w), from the nearest normal cell at most `radius` rows and columns away.

    The bank is read once, row by row: every kept cell is compared with all queries that may use it.
    """
    height, width, dims = query_hwK.shape
    side = 2 * radius + 1
    padded_hwK = functional.pad(query_hwK, (0, 0, radius, radius, radius, radius))
    squared = torch.full((height + 2 * radius, width + 2 * radius), torch.inf)
    for row in range(height):
        around_swK = padded_hwK[row : row + side]  # of the bank's row: queries above, in it, and below
        query_wKD = around_swK.unfold(1, side, 1).permute(1, 2, 0, 3).reshape(width, dims, side * side)
        bank_wNK = bank_hwNK[row].float()
        product_wND = torch.bmm(bank_wNK, query_wKD)
        nearest_wD = (bank_wNK.square().sum(-1, keepdim=True) - 2 * product_wND).amin(1) + query_wKD.square().sum(1)
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
