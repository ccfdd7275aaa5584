"""One image and its reconstruction in, all metrics out: the same code for the table and for an inspection.

Axes: B images (always 1, so that a score never depends on other images), C channels, H, W pixels,
Q patches, boxes (x0, y0, x1, y1) half open.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from zeromiss.backbones.base import Backbone
from zeromiss.backbones.faster import faster
from zeromiss.backbones.normal_variation import worst_mean
from zeromiss.detectors.base import NO_CONTEXT, Context, Detection, Reconstruction, ReconstructingDetector
from zeromiss.errors import ZeromissError
from zeromiss.memory import keep_freed_memory
from zeromiss.metrics.columns import OWN_METRICS, feature_columns, named, variation_columns
from zeromiss.metrics.features import CROP_SIDE, CROP_SIDES, crop_distances
from zeromiss.metrics.levels import candidates, image_values, localised_values, map_boxes, variation_values
from zeromiss.metrics.localise import keep_largest
from zeromiss.metrics.measurement import Measurement
from zeromiss.metrics.perceive import Features, Perceived, Perceiver
from zeromiss.metrics.threads import Banded, Lanes, one_thread
from zeromiss.metrics.tiles import Tile, lay_tiles, reconstruct_tiles
from zeromiss.metrics.variation import Variation
from zeromiss.stage_params import MetricsParams


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """An image, its reconstruction and their difference."""

    x_CHW: Tensor
    x_hat_CHW: Tensor
    difference_HW: Tensor

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Both images as float32 arrays."""
        return self.x_CHW.cpu().numpy(), self.x_hat_CHW.cpu().numpy()


class Measurer:
    """Measures one image at a time; the same image gives the same bits every time, on any number of threads.

    May be shared by threads that measure different images at once.
    """

    def __init__(
        self,
        *,
        detector: ReconstructingDetector,
        backbone: Backbone,
        params: MetricsParams,
        mask_HW: Tensor | None,
        variation: Variation | None = None,
    ) -> None:
        """Keep what measuring needs; `mask_HW` in [0, 1] (1 = counts fully) or None for no masked metrics.

        Without `variation` there are the paper's metrics alone.
        """
        if params.tiles is None:  # a tiled image is large, and measured where memory is short
            keep_freed_memory()
        self.detector = detector
        self._redraw = partial(detector.reconstruct, precision=params.precision)
        self.given = backbone
        quick = faster(backbone, fold_norms=params.norms == "folded")
        self.backbone = quick.to(memory_format=torch.channels_last)  # takes a fifth less time
        self.params = params
        self.mask_HW = mask_HW
        own, scores = detector.image_metrics, detector.score_names
        self.columns = feature_columns(detector.name, masked=mask_HW is not None, own=own, score_names=scores)
        self.variation = variation
        if variation is not None:
            self.columns += variation_columns(detector.name, list(variation.levels), variation.dims)
        self._perceiver = Perceiver(self.backbone, None if variation is None else variation.differences)
        self._lanes = Lanes(1)
        self._banded: Banded | None = None

    def on_lanes(self, count: int) -> "Measurer":
        """Return a measurer with the same networks that shares each image's work among `count` threads.

        For images that come one at a time; of many images it is quicker to measure several at once.
        """
        shared = copy.copy(self)
        shared._lanes = Lanes(count)
        shared._banded = Banded(shared._lanes) if count > 1 else None
        return shared

    @one_thread()
    @torch.inference_mode()
    def difference(self, image_CHW: Tensor) -> Tensor:
        """Return |x - x_hat| averaged over channels, (H, W): what the mask is made of."""
        return self._pair(image_CHW, self._reconstruct(image_CHW, self._tiles(image_CHW))).difference_HW

    @one_thread()
    @torch.inference_mode()
    def cells(self, image_CHW: Tensor, strides: Sequence[int]) -> list[Tensor]:
        """Return perceptual differences at `strides`, (h, w, C): what the variation of normal images is fitted on."""
        tiles = self._tiles(image_CHW)
        pair = self._pair(image_CHW, self._reconstruct(image_CHW, tiles))
        return self._perceiver.cells(pair.x_CHW, pair.x_hat_CHW, strides, tiles)

    @one_thread()
    @torch.inference_mode()
    def look(self, image_CHW: Tensor, context: Context = NO_CONTEXT) -> dict[str, Tensor]:
        """Return the maps (h, w) of the variation alone, by name: of normal images, whose levels are not known yet."""
        tiles = self._tiles(image_CHW)
        return self._perceive(self._pair(image_CHW, self._reconstruct(image_CHW, tiles)), (), tiles, None, context.design).maps

    @one_thread()
    @torch.inference_mode()
    def measure(self, image_CHW: Tensor, features: Features | None = None, context: Context = NO_CONTEXT) -> Measurement:
        """Measure one float32 RGB image (3, H, W) in [0, 1]; `features`: its backbone's maps, where others read them too.

        Of `context` the design counts: whose normal differences its own are compared with.

        Boxes, native score and map rest on the variation of normal images, where it is known: candidates lie around the
        largest pixels of its map, and a box's distance is the map's mean in it. Raises ZeromissError when the mask has
        another size or any metric is not finite.
        """
        self._refuse_other_size(image_CHW)
        tiles = self._tiles(image_CHW)
        reconstruction = self._reconstruct(image_CHW, tiles)
        pair = self._pair(image_CHW, reconstruction)
        weights = [None] if self.mask_HW is None else [None, self.mask_HW.to(pair.difference_HW)]
        searches = [partial(self._candidates, pair, weight) for weight in weights]  # one after the other where images are large
        found = [search() for search in searches] if tiles else self._lanes.together(*searches)
        pixels, boxes = zip(*found, strict=True)
        perceived = self._perceive(pair, boxes, tiles, features, context.design)
        level, *localised = self._lanes.together(
            partial(self._image_level, pair, perceived, reconstruction),
            *(partial(self._localised, pair, *found) for found in zip(pixels, boxes, perceived.distances, strict=True)),
        )
        _, boxes_Q4, distances_Q = localised[-1]
        detection = self._native(image_CHW, reconstruction, perceived, weights[-1], distances_Q)
        own = () if self.detector.score_names is None else (float(score_B[0]) for score_B in (detection.score_B, *detection.scores.values()))
        varied = np.empty(0)
        if self.variation is not None:
            map_HW = enlarged(perceived.maps, image_CHW.shape[1:])
            boxes_Q4, distances_Q = map(torch.from_numpy, map_boxes(map_HW.numpy(), self.params))
            varied = variation_values({name: map_hw.numpy() for name, map_hw in perceived.maps.items()}, perceived.residual_K.numpy(), self.variation.levels)
        numbers = np.concatenate((level, np.fromiter(own, dtype=np.float64), *(values for values, _, _ in localised), varied))
        return Measurement(
            detector=self.detector.name,
            features=named(self.columns, numbers),
            boxes_Q4=boxes_Q4,
            distances_Q=distances_Q,
            native_score=float(detection.score_B[0]),
            map_HW=detection.map_BHW[0],
            image_hat_CHW=pair.x_hat_CHW,
            difference_HW=pair.difference_HW,
        )

    def _native(
        self, image_CHW: Tensor, reconstruction: Reconstruction, perceived: Perceived, weight_HW: Tensor | None, distances_Q: Tensor
    ) -> Detection:
        """Return the detector's own score and map; without such, those of the variation of normal images.

        Where that is not known either: the paper's mean patch distance and perceptual map, masked where the mask is on.
        """
        if self.detector.score_names is not None:
            return self.detector.score(image_CHW[None], reconstruction)
        if self.variation is not None:
            decides_hw = next(iter(perceived.maps.values()))
            return Detection(score_B=worst_mean(decides_hw[None]).double(), map_BHW=enlarged(perceived.maps, image_CHW.shape[1:])[None])
        map_HW = perceived.map_HW if weight_HW is None else perceived.map_HW * weight_HW
        return Detection(score_B=distances_Q.double().mean()[None], map_BHW=map_HW[None])

    def _refuse_other_size(self, image_CHW: Tensor) -> None:
        """Raise ZeromissError when the mask does not fit the image."""
        if self.mask_HW is not None and self.mask_HW.shape != image_CHW.shape[1:]:
            raise ZeromissError(
                f"the mask is {tuple(self.mask_HW.shape)} and the image {tuple(image_CHW.shape[1:])} pixels: "
                "both must have the product's size"
            )

    def _tiles(self, image_CHW: Tensor) -> list[Tile]:
        """Return the tiles of an image; none where it is judged as a whole."""
        return [] if self.params.tiles is None else lay_tiles(*image_CHW.shape[1:], self.params.tiles)

    def _reconstruct(self, image_CHW: Tensor, tiles: list[Tile]) -> Reconstruction:
        """Reconstruct an image, whole or in tiles."""
        if tiles:
            return reconstruct_tiles(self._redraw, image_CHW, tiles, self._lanes)
        if self._banded is None:
            return self._redraw(image_CHW[None])
        with self._banded:
            return self._redraw(image_CHW[None])

    def _pair(self, x_CHW: Tensor, reconstruction: Reconstruction) -> _Pair:
        """Put an image beside its reconstruction."""
        x_hat_CHW = reconstruction.image_hat_BCHW[0]
        if self.params.tiles is None:
            x_hat_CHW = x_hat_CHW.clamp(0.0, 1.0)
            return _Pair(x_CHW=x_CHW, x_hat_CHW=x_hat_CHW, difference_HW=(x_CHW - x_hat_CHW).abs_().mean(dim=0))
        difference_HW = torch.zeros_like(x_CHW[0])  # tiles were clipped one by one: no second copy of a large image
        for x_HW, x_hat_HW in zip(x_CHW, x_hat_CHW, strict=True):
            difference_HW += (x_HW - x_hat_HW).abs_()
        return _Pair(x_CHW=x_CHW, x_hat_CHW=x_hat_CHW, difference_HW=difference_HW.div_(len(x_CHW)))

    def _candidates(self, pair: _Pair, weight_HW: Tensor | None) -> tuple[np.ndarray, Tensor]:
        """Return the p largest differences (1, P) and the boxes (N, 4) around them, after the weight."""
        weighted_HW = pair.difference_HW if weight_HW is None else pair.difference_HW * weight_HW
        pixels_1P, boxes_N4 = candidates(weighted_HW.cpu().numpy(), self.params)
        return pixels_1P, torch.from_numpy(boxes_N4).to(weighted_HW.device)

    def _perceive(self, pair: _Pair, boxes: tuple[Tensor, ...], tiles: list[Tile], features: Features | None, design: str) -> Perceived:
        """Return the perceptual differences; the boxes' distances in the mode of the parameters."""
        dense = boxes if self.params.mode == "dense" else ()
        x_CHW, x_hat_CHW = pair.x_CHW, pair.x_hat_CHW
        if tiles:
            perceived = self._perceiver.tiled(x_CHW, x_hat_CHW, dense, tiles)
        else:
            perceived = self._perceiver.whole(x_CHW, x_hat_CHW, dense, self._lanes, features, design)
        if self.params.mode == "dense":
            return perceived
        side = CROP_SIDES.get(self.params.backbone, CROP_SIDE)
        distances = [crop_distances(self.backbone, x_CHW, x_hat_CHW, some_N4, side=side) for some_N4 in boxes]
        return replace(perceived, distances=distances)

    def _image_level(self, pair: _Pair, perceived: Perceived, reconstruction: Reconstruction) -> np.ndarray:
        """Return the image level's values, in the order of `image_columns`."""
        own = dict(zip(OWN_METRICS, (reconstruction.quantisation_B, reconstruction.critic_B, reconstruction.critic_hat_B), strict=True))
        return image_values(
            *pair.arrays(),
            perceptual_mse=perceived.perceptual_mse,
            own=[float(own[name][0]) for name in OWN_METRICS if name in self.detector.image_metrics],
            whole=[values_HW.cpu().numpy() for values_HW in (pair.difference_HW, perceived.map_HW, perceived.context_HW)],
            lean=self.params.tiles is not None,
        )

    def _localised(
        self, pair: _Pair, pixels_1P: np.ndarray, boxes_N4: Tensor, distances_N: Tensor
    ) -> tuple[np.ndarray, Tensor, Tensor]:
        """Return the pixel and patch levels' values, the q boxes and their distances, for one difference."""
        boxes_Q4, fid_Q = keep_largest(boxes_N4.cpu(), distances_N.cpu(), self.params.patches)
        values = localised_values(*pair.arrays(), pixels_1P, boxes_Q4, fid_Q)
        return values, torch.from_numpy(boxes_Q4), torch.from_numpy(fid_Q)


def enlarged(maps: Mapping[str, Tensor], size: Sequence[int]) -> Tensor:
    """Return the first of some maps of cells, the one that decides, enlarged bilinearly to all pixels, (H, W)."""
    decides_hw = next(iter(maps.values()))
    return functional.interpolate(decides_hw[None, None], size=tuple(size), mode="bilinear", align_corners=False)[0, 0]
