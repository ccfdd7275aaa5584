"""Local features: what a frozen network says of each cell and its eight neighbours (paper 5, section 3.1.1).

Axes: B images, C channels, H, W cells, K neighbourhood values, L cells in a row.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

_SIDE = 3  # cells of a neighbourhood, each way


def local_features(maps: Sequence[Tensor], depth: int | None) -> Tensor:
    """Return the features of each cell of the largest map, (B, depth, H, W): an equal part from each level, fine levels first.

    `maps` are (B, C, H, W), from fine to coarse; the coarser ones are enlarged bilinearly. Without `depth` each level gives
    as many as it has channels, and each feature is the mean of one of them.
    """
    size = maps[0].shape[-2:]
    levels = [neighbourhoods(map_BCHW, depth // len(maps) if depth else map_BCHW.shape[1]) for map_BCHW in maps]
    return torch.cat([functional.interpolate(level, size=size, mode="bilinear", align_corners=False) for level in levels], dim=1)


def neighbourhoods(map_BCHW: Tensor, depth: int) -> Tensor:
    """Return (B, depth, H, W): the 3 x 3 cells around each cell, their 9 C values pooled to `depth` means.

    The values stand channel by channel, each row by row, zero beyond the map, and are cut into `depth` equal runs (where they
    don't divide evenly, neighbouring runs share a value). With depth = C that is 3 x 3 average pooling.
    """
    if depth == map_BCHW.shape[1]:
        return functional.avg_pool2d(map_BCHW, _SIDE, stride=1, padding=_SIDE // 2)
    rows, columns = map_BCHW.shape[-2:]
    around_BKL = functional.unfold(map_BCHW, _SIDE, padding=_SIDE // 2)
    pooled_BLK = functional.adaptive_avg_pool1d(around_BKL.transpose(1, 2), depth)
    return pooled_BLK.transpose(1, 2).reshape(len(map_BCHW), depth, rows, columns)


def cell_vectors(maps: Sequence[Tensor]) -> Tensor:
    """Return the features of each cell of the largest map, (H, W, C), from maps (1, C, H, W) of one image, from fine to coarse."""
    return local_features(maps, None)[0].permute(1, 2, 0).contiguous()
