"""What the feature extractor sees of an image and its reconstruction, whole or tile by tile.

Axes: B images (1), C channels, K whitened dimensions, h, w cells of a feature map, H, W pixels, N boxes (x0, y0, x1, y1,
half open).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from zeromiss.backbones.base import Backbone
from zeromiss.backbones.differences import WHITENED, Differences
from zeromiss.backbones.local_features import cell_vectors
from zeromiss.backbones.normal_variation import WORST, worst_vector
from zeromiss.errors import ZeromissError
from zeromiss.metrics.features import anomaly_map, context_levels, dense_distances, dense_levels, level_difference
from zeromiss.metrics.threads import Lanes
from zeromiss.metrics.tiles import Tile

EVERY = 2  # of a tile's cells each way are enough to fit a variation on


@dataclass(frozen=True, kw_only=True)
class Looks:
    """How the backbone's maps of an image and of its reconstruction differ."""

    fine: list[Tensor]  # of the finer levels, as of `level_difference`
    coarse: list[Tensor]  # of the coarser ones
    perceptual_mse: Tensor  # mean squared difference of the last map
    maps: dict[str, Tensor]  # of the variation, (h, w) each by name; empty without one
    residual_K: Tensor | None


@dataclass(frozen=True, kw_only=True)
class Perceived:
    """Perceptual differences of an image from its reconstruction, all higher = more abnormal."""

    map_HW: Tensor  # anomaly map of the finer levels
    context_HW: Tensor  # of the coarser levels
    perceptual_mse: float  # of the last feature map
    distances: list[Tensor]  # patch distance "fid" of each of the given lists of boxes, (N,) each
    maps: dict[str, Tensor] = field(default_factory=dict)  # of the variation of normal images, (h, w) each; none where it is not known
    residual_K: Tensor | None = None


class Perceiver:
    """A backbone and which of its levels are read."""

    def __init__(self, backbone: Backbone, variation: Differences | None = None) -> None:
        """Choose the levels; raises ZeromissError when the backbone has none that dense mode, or the variation, can read."""
        self.backbone, self._variation = backbone, variation
        self.fine, self.coarse = dense_levels(backbone), context_levels(backbone)
        self._varied = () if variation is None else self.levels(variation.strides)

    def levels(self, strides: Sequence[int]) -> tuple[int, ...]:
        """Return which maps have these strides, from fine to coarse; raises ZeromissError when one is missing."""
        for stride in strides:
            if stride not in self.backbone.strides:
                found = ", ".join(map(str, self.backbone.strides))
                raise ZeromissError(f"the backbone has no map at stride {stride}: choose metrics.strides among {found}, or another metrics.backbone")
        return tuple(self.backbone.strides.index(stride) for stride in sorted(strides))

    def whole(
        self, x_CHW: Tensor, x_hat_CHW: Tensor, boxes: Sequence[Tensor], lanes: Lanes, features: "Features | None" = None, design: str = ""
    ) -> Perceived:
        """Look at both images at once and measure every box of `boxes`; `features`: those of x, where others read them too."""
        size = {"height": x_CHW.shape[1], "width": x_CHW.shape[2]}
        looks = self.differences(x_CHW, x_hat_CHW, lanes, features, design)
        return Perceived(
            map_HW=anomaly_map(looks.fine, **size),
            context_HW=anomaly_map(looks.coarse, **size),
            perceptual_mse=float(looks.perceptual_mse),
            distances=lanes.together(*(lambda some=some: dense_distances(looks.fine, some, **size) for some in boxes)),
            maps=looks.maps,
            residual_K=looks.residual_K,
        )

    def differences(self, x_CHW: Tensor, x_hat_CHW: Tensor, lanes: Lanes, features: "Features | None" = None, design: str = "") -> Looks:
        """Return how the maps of both images differ."""
        of_x = (lambda: self.maps(x_CHW)) if features is None else features.maps
        maps, maps_hat = lanes.together(of_x, lambda: self.maps(x_hat_CHW))
        fine, coarse = ([level_difference(maps[level], maps_hat[level]) for level in levels] for levels in (self.fine, self.coarse))
        varied, residual_K = ({}, None) if self._variation is None else self._variation.look(_vectors(maps, maps_hat, self._varied), design)
        last = (maps[-1] - maps_hat[-1]).square().mean()
        return Looks(fine=fine, coarse=coarse, perceptual_mse=last, maps=varied, residual_K=residual_K)

    def cells(self, x_CHW: Tensor, x_hat_CHW: Tensor, strides: Sequence[int], tiles: Sequence[Tile]) -> list[Tensor]:
        """Return the differences that a variation is fitted on, (h, w, C): of the whole image, or of each tile's own cells, every second each way."""
        levels = self.levels(strides)
        if not tiles:
            return [_vectors(self.maps(x_CHW), self.maps(x_hat_CHW), levels)]
        found = []
        for tile in tiles:
            maps, maps_hat = (self.maps(image_CHW[:, tile.seen_rows, tile.seen_columns]) for image_CHW in (x_CHW, x_hat_CHW))
            self._refuse_shrunk(maps, tile)
            own_hwC = _vectors(maps, maps_hat, levels)[tile.own_cells(self.backbone.strides[levels[0]])]
            found.append(own_hwC[::EVERY, ::EVERY].clone())
        return found

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
        varied = None if self._variation is None else _TiledVariation(self._variation, self._cells(self._varied[0], height, width))
        for tile in tiles:
            maps, maps_hat = (self.maps(image_CHW[:, tile.seen_rows, tile.seen_columns]) for image_CHW in (x_CHW, x_hat_CHW))
            self._refuse_shrunk(maps, tile)
            fine = [level_difference(maps[level], maps_hat[level]) for level in self.fine]
            for level, difference_BChw in zip(self.fine, fine, strict=True):
                self._keep(squares[level], difference_BChw, tile, level)
            for level in self.coarse:
                self._keep(squares[level], level_difference(maps[level], maps_hat[level]), tile, level)
            if varied is not None:
                stride = self.backbone.strides[self._varied[0]]
                varied.include(_vectors(maps, maps_hat, self._varied)[tile.own_cells(stride)], tile.cells(stride))
            own_BChw = (maps[-1] - maps_hat[-1])[:, :, *tile.own_cells(self.backbone.strides[-1])]
            total, count = total + float(own_BChw.double().square().sum()), count + own_BChw.numel()
            for some_N4, distances_N in zip(boxes, distances, strict=True):
                inside_N = tile.holds(some_N4)
                if bool(inside_N.any()):
                    shifted_N4 = some_N4[inside_N] - tile.offset(some_N4)
                    distances_N[inside_N] = dense_distances(fine, shifted_N4, height=tile.seen_height, width=tile.seen_width)
        enlarged = [self._enlarged(squares, levels, height, width) for levels in (self.fine, self.coarse)]
        found = {} if varied is None else {"maps": {WHITENED: varied.map_hw}, "residual_K": varied.residual()}
        return Perceived(map_HW=enlarged[0], context_HW=enlarged[1], perceptual_mse=total / count, distances=distances, **found)

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


class Features:
    """The backbone's maps of one image, computed when first asked for and kept for all who read them."""

    def __init__(self, image_CHW: Tensor, backbone: Backbone) -> None:
        """Name the image, (3, H, W) in [0, 1], and the backbone."""
        self._image_CHW, self._backbone = image_CHW, backbone
        self._maps: list[Tensor] | None = None

    def maps(self) -> list[Tensor]:
        """Return all maps, (1, C, h, w) each, from fine to coarse; not to be asked by two threads at once."""
        if self._maps is None:
            self._maps = self._backbone(self._image_CHW[None].contiguous(memory_format=torch.channels_last))
        return self._maps


class _TiledVariation:
    """The map of whitened differences of an image that is looked at in tiles, and the vectors of its worst cells."""

    def __init__(self, variation: Differences, grid: tuple[int, int]) -> None:
        """Make room for one number a cell."""
        self._variation, self.map_hw = variation, torch.zeros(grid)
        self._worst: list[tuple[Tensor, Tensor]] = []  # distances and vectors of each tile's worst cells

    def include(self, difference_hwC: Tensor, place: tuple[slice, slice]) -> None:
        """Add the cells that a tile contributes."""
        white_hwK = self._variation.whitening(difference_hwC)
        distance_hw = white_hwK.square().sum(-1).sqrt()
        self.map_hw[place] = distance_hw
        top = distance_hw.flatten().topk(min(WORST, distance_hw.numel()))
        self._worst.append((top.values, white_hwK.flatten(0, 1)[top.indices]))

    def residual(self) -> Tensor:
        """Return the mean vector of the whole image's worst cells, (K,)."""
        distance_N, vector_NK = (torch.cat(parts) for parts in zip(*self._worst, strict=True))
        return worst_vector(distance_N[None], vector_NK[None])


def _vectors(maps: Sequence[Tensor], maps_hat: Sequence[Tensor], levels: Sequence[int]) -> Tensor:
    """Return the differences of the local features of each cell of the finest of `levels`, (h, w, C)."""
    return cell_vectors([maps[level] - maps_hat[level] for level in levels])
