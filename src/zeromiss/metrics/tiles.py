"""A large image in tiles: each sees some way beyond what it contributes, so that no seam shows.

Axes: B images (1), C channels, H, W pixels, N boxes (x0, y0, x1, y1, half open).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zeromiss.detectors.base import Reconstruction
from zeromiss.metrics.threads import Lanes
from zeromiss.stage_params import TilesParams


@dataclass(frozen=True, kw_only=True)
class Tile:
    """Rows and columns (half open) that a tile contributes (`own`) and that are looked at for it (`seen`)."""

    own_rows: slice
    own_columns: slice
    seen_rows: slice
    seen_columns: slice

    @property
    def seen_height(self) -> int:
        """Rows looked at."""
        return self.seen_rows.stop - self.seen_rows.start

    @property
    def seen_width(self) -> int:
        """Columns looked at."""
        return self.seen_columns.stop - self.seen_columns.start

    @property
    def area(self) -> int:
        """Pixels contributed."""
        return (self.own_rows.stop - self.own_rows.start) * (self.own_columns.stop - self.own_columns.start)

    def cells(self, stride: int) -> tuple[slice, slice]:
        """Return the contributed cells of a map of this stride, counted from the image's corner."""
        return _cells(self.own_rows, 0, stride), _cells(self.own_columns, 0, stride)

    def own_cells(self, stride: int) -> tuple[slice, slice]:
        """Return the same cells, counted from the corner of what is seen."""
        return _cells(self.own_rows, self.seen_rows.start, stride), _cells(self.own_columns, self.seen_columns.start, stride)

    def holds(self, boxes_N4: Tensor) -> Tensor:
        """Return, (N,) bool, whether a box's upper left corner lies in what the tile contributes."""
        x0, y0 = boxes_N4[:, 0], boxes_N4[:, 1]
        rows, columns = self.own_rows, self.own_columns
        return (x0 >= columns.start) & (x0 < columns.stop) & (y0 >= rows.start) & (y0 < rows.stop)

    def offset(self, boxes_N4: Tensor) -> Tensor:
        """Return what is to be taken from a box's coordinates to count from the corner of what is seen, (4,)."""
        return boxes_N4.new_tensor((self.seen_columns.start, self.seen_rows.start) * 2)


def lay_tiles(height: int, width: int, params: TilesParams) -> list[Tile]:
    """Return tiles that together contribute every pixel once, row by row from the upper left."""
    return [
        Tile(own_rows=rows, own_columns=columns, seen_rows=_wider(rows, height, params), seen_columns=_wider(columns, width, params))
        for rows in _spans(height, params.side)
        for columns in _spans(width, params.side)
    ]


def reconstruct_tiles(
    reconstruct: Callable[[Tensor], Reconstruction], image_CHW: Tensor, tiles: Sequence[Tile], lanes: Lanes
) -> Reconstruction:
    """Reconstruct an image tile by tile, clipped to [0, 1], as many at once as there are lanes.

    The single numbers are means over the tiles, each of all that a tile sees, weighted by what it contributes.
    """
    whole_BCHW = torch.empty_like(image_CHW)[None]
    numbers = [image_CHW.new_zeros(1, dtype=torch.float64) for _ in range(3)]

    def one(tile: Tile) -> Reconstruction:
        """Reconstruct what one tile sees and keep its own part."""
        found = reconstruct(image_CHW[None, :, tile.seen_rows, tile.seen_columns].contiguous())
        whole_BCHW[:, :, tile.own_rows, tile.own_columns] = found.image_hat_BCHW[:, :, *tile.own_cells(1)].clamp(0.0, 1.0)
        return found

    for begin in range(0, len(tiles), lanes.count):
        some = tiles[begin : begin + lanes.count]
        for tile, found in zip(some, lanes.together(*(lambda tile=tile: one(tile) for tile in some)), strict=True):
            for total_B, mean_B in zip(numbers, (found.quantisation_B, found.critic_B, found.critic_hat_B), strict=True):
                total_B += mean_B.double() * tile.area
    pixels = image_CHW.shape[1] * image_CHW.shape[2]
    quantisation_B, critic_B, critic_hat_B = ((total_B / pixels).float() for total_B in numbers)
    return Reconstruction(image_hat_BCHW=whole_BCHW, quantisation_B=quantisation_B, critic_B=critic_B, critic_hat_B=critic_hat_B)


def _spans(length: int, side: int) -> list[slice]:
    return [slice(start, min(start + side, length)) for start in range(0, length, side)]


def _wider(span: slice, length: int, params: TilesParams) -> slice:
    return slice(max(0, span.start - params.overlap), min(length, span.stop + params.overlap))


def _cells(span: slice, origin: int, stride: int) -> slice:
    return slice((span.start - origin) // stride, -(-(span.stop - origin) // stride))
