"""What the feature extractor sees of an image and its reconstruction, whole or tile by tile.

Axes: B images (1), C channels, h, w cells of a feature map, H, W pixels, N boxes (x0, y0, x1, y1, half open).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from zeromiss.backbones.base import Backbone
from zeromiss.errors import ZeromissError
from zeromiss.metrics.features import anomaly_map, context_levels, dense_distances, dense_levels, level_difference
from zeromiss.metrics.threads import Lanes
from zeromiss.metrics.tiles import Tile


@dataclass(frozen=True, kw_only=True)
class Perceived:
    """Perceptual differences of an image from its reconstruction, all higher = more abnormal."""

    map_HW: Tensor  # anomaly map of the finer levels
    context_HW: Tensor  # of the coarser levels
    perceptual_mse: float  # of the last feature map
    distances: list[Tensor]  # patch distance "fid" of each of the given lists of boxes, (N,) each


class Perceiver:
    """A backbone and which of its levels are read."""

    def __init__(self, backbone: Backbone) -> None:
        """Choose the levels; raises ZeromissError when the backbone has none that dense mode can read."""
        self.backbone = backbone
        self.fine, self.coarse = dense_levels(backbone), context_levels(backbone)

    def whole(self, x_CHW: Tensor, x_hat_CHW: Tensor, boxes: Sequence[Tensor], lanes: Lanes) -> Perceived:
        """Look at both images at once and measure every box of `boxes`."""
        size = {"height": x_CHW.shape[1], "width": x_CHW.shape[2]}
        fine, coarse, perceptual_mse = self.differences(x_CHW, x_hat_CHW, lanes)
        return Perceived(
            map_HW=anomaly_map(fine, **size),
            context_HW=anomaly_map(coarse, **size),
            perceptual_mse=float(perceptual_mse),
            distances=lanes.together(*(lambda some=some: dense_distances(fine, some, **size) for some in boxes)),
        )

    def differences(self, x_CHW: Tensor, x_hat_CHW: Tensor, lanes: Lanes) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Return the differences of the finer and of the coarser levels, as of `level_difference`, and the last map's mean squared difference."""
        maps, maps_hat = lanes.together(lambda: self.maps(x_CHW), lambda: self.maps(x_hat_CHW))
        fine, coarse = ([level_difference(maps[level], maps_hat[level]) for level in levels] for levels in (self.fine, self.coarse))
        return fine, coarse, (maps[-1] - maps_hat[-1]).square().mean()

    def tiled(self, x_CHW: Tensor, x_hat_CHW: Tensor, boxes: Sequence[Tensor], tiles: Sequence[Tile]) -> Perceived:
        """Look at one tile after the other; a box is measured in the tile that holds its upper left corner.

        Needs the memory of a tile's maps and of one value a cell, however large the image is. Values equal those of
        `whole` where the tiles' overlap is as wide as the backbone's reach and sides are multiples of its coarsest stride.
        Raises ZeromissError for a backbone whose maps don't cover the image cell by cell.
        """
        height, width = x_CHW.shape[1:]
        squares = {level: x_CHW.new_empty(1, 1, *self._cells(level, height, width)) for level in {*self.fine, *self.coarse}}
        distances = [some.new_zeros(len(some), dtype=torch.float32) for some in boxes]
        total, count = 0.0, 0
        for tile in tiles:
            maps, maps_hat = (self.maps(image_CHW[:, tile.seen_rows, tile.seen_columns]) for image_CHW in (x_CHW, x_hat_CHW))
            self._refuse_shrunk(maps, tile)
            fine = [level_difference(maps[level], maps_hat[level]) for level in self.fine]
            for level, difference_BChw in zip(self.fine, fine, strict=True):
                self._keep(squares[level], difference_BChw, tile, level)
            for level in self.coarse:
                self._keep(squares[level], level_difference(maps[level], maps_hat[level]), tile, level)
            own_BChw = (maps[-1] - maps_hat[-1])[:, :, *tile.own_cells(self.backbone.strides[-1])]
            total, count = total + float(own_BChw.double().square().sum()), count + own_BChw.numel()
            for some_N4, distances_N in zip(boxes, distances, strict=True):
                inside_N = tile.holds(some_N4)
                if bool(inside_N.any()):
                    shifted_N4 = some_N4[inside_N] - tile.offset(some_N4)
                    distances_N[inside_N] = dense_distances(fine, shifted_N4, height=tile.seen_height, width=tile.seen_width)
        enlarged = [self._enlarged(squares, levels, height, width) for levels in (self.fine, self.coarse)]
        return Perceived(map_HW=enlarged[0], context_HW=enlarged[1], perceptual_mse=total / count, distances=distances)

    def maps(self, image_CHW: Tensor) -> list[Tensor]:
        """Return the backbone's maps of one image in [0, 1]."""
        return self.backbone(image_CHW[None].contiguous(memory_format=torch.channels_last))

    def _cells(self, level: int, height: int, width: int) -> tuple[int, int]:
        stride = self.backbone.strides[level]
        return -(-height // stride), -(-width // stride)

    def _keep(self, squares_11hw: Tensor, difference_BChw: Tensor, tile: Tile, level: int) -> None:
        """Write the squared lengths of a tile's own cells to their place."""
        stride = self.backbone.strides[level]
        own_B1hw = difference_BChw[:, :, *tile.own_cells(stride)].square().sum(dim=1, keepdim=True)
        squares_11hw[:, :, *tile.cells(stride)] = own_B1hw

    def _enlarged(self, squares: dict[int, Tensor], levels: Sequence[int], height: int, width: int) -> Tensor:
        """Return the levels' squared lengths, enlarged to pixels and summed, as `anomaly_map` does."""
        total_HW = squares[levels[0]].new_zeros(height, width)
        for level in levels:
            total_HW += functional.interpolate(squares[level], size=(height, width), mode="bilinear", align_corners=False)[0, 0]
        return total_HW

    def _refuse_shrunk(self, maps: Sequence[Tensor], tile: Tile) -> None:
        """Raise ZeromissError when a map is smaller than the tile divided by its stride."""
        for level, map_BChw in enumerate(maps):
            if tuple(map_BChw.shape[2:]) != self._cells(level, tile.seen_height, tile.seen_width):
                raise ZeromissError(
                    "metrics.tiles needs a backbone whose maps cover the image cell by cell: choose efficientnet_lite0 or vgg16 "
                    "as metrics.backbone, or set metrics.tiles to null"
                )
