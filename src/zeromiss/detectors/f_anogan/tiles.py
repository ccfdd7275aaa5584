"""Cut an image into tiles on a fixed grid and put it together again.

Axes: B images, C channels, H and W pixels, T tiles of one image, t pixels a side of a tile.
"""

import torch
from torch import Tensor


def starts(length: int, tile: int) -> list[int]:
    """Return where tiles begin along a side of `length` >= `tile` pixels: one beside the other, the last flush with the end."""
    return [*range(0, length - tile, tile), length - tile]


def places(rows: int, columns: int, tile: int) -> list[tuple[int, int]]:
    """Return the first row and column of every tile, row by row."""
    return [(top, left) for top in starts(rows, tile) for left in starts(columns, tile)]


def cut(image_CHW: Tensor, tile: int) -> Tensor:
    """Return the tiles (T, C, t, t) of an image, in the order of `places`."""
    return torch.stack([image_CHW[:, top : top + tile, left : left + tile] for top, left in places(*image_CHW.shape[1:], tile)])


def put_together(tile_TCtt: Tensor, rows: int, columns: int) -> Tensor:
    """Return the image (C, rows, columns) that the tiles of `places` cover; where they overlap, their mean."""
    tile = tile_TCtt.shape[-1]
    total_CHW = tile_TCtt.new_zeros(tile_TCtt.shape[1], rows, columns)
    count_HW = tile_TCtt.new_zeros(rows, columns)
    for one_Ctt, (top, left) in zip(tile_TCtt, places(rows, columns, tile), strict=True):
        total_CHW[:, top : top + tile, left : left + tile] += one_Ctt
        count_HW[top : top + tile, left : left + tile] += 1
    return total_CHW / count_HW
