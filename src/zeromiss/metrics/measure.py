"""One image in, all its metrics out: the same code for the table and for an inspection.

Axes: B images (always 1, so that a score never depends on other images), C channels, H, W pixels,
Q patches, boxes (x0, y0, x1, y1) half open.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zeromiss.backbones.base import Backbone
from zeromiss.detectors.base import Reconstruction, ReconstructingDetector
from zeromiss.errors import ZeromissError
from zeromiss.metrics.aggregates import aggregate
from zeromiss.metrics.columns import feature_columns
from zeromiss.metrics.distances import patch_distances
from zeromiss.metrics.features import (
    CROP_SIDE,
    CROP_SIDES,
    anomaly_map,
    context_levels,
    crop_distances,
    dense_distances,
    dense_levels,
    level_difference,
)
from zeromiss.metrics.image_level import mse, orb_difference
from zeromiss.metrics.localise import candidate_boxes, keep_largest, top_pixels
from zeromiss.metrics.threads import one_thread
from zeromiss.params import MetricsParams


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What is known of one image. Where the mask is on, boxes, distances, score and map are masked."""

    features: dict[str, float]  # by column name, in the table's order
    boxes_Q4: Tensor  # int64, the largest distance first
    distances_Q: Tensor  # patch distance "fid" of each box
    native_score: float  # mean of distances_Q (higher = more abnormal)
    map_HW: Tensor  # per-pixel anomaly map (higher = more abnormal)
    image_hat_CHW: Tensor  # reconstruction in [0, 1]
    difference_HW: Tensor  # |x - x_hat| averaged over channels, unmasked


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """An image, its reconstruction and what both passes, plain and masked, share of them."""

    x_CHW: Tensor
    x_hat_CHW: Tensor
    difference_HW: Tensor
    levels: list[Tensor]  # feature differences of dense mode
    context: list[Tensor]  # of the coarser levels
    perceptual_mse: float

    @property
    def size(self) -> dict[str, int]:
        """Height and width in pixels."""
        return {"height": self.x_CHW.shape[1], "width": self.x_CHW.shape[2]}

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Both images as float32 arrays."""
        return self.x_CHW.cpu().numpy(), self.x_hat_CHW.cpu().numpy()


class Measurer:
    """Measures one image at a time, on one thread; the same image gives the same bits every time.

    May be shared by threads that measure different images at once.
    """

    def __init__(
        self,
        *,
        detector: ReconstructingDetector,
        backbone: Backbone,
        params: MetricsParams,
        mask_HW: Tensor | None,
    ) -> None:
        """Keep what measuring needs; `mask_HW` in [0, 1] (1 = counts fully) or None for no masked metrics."""
        self.detector = detector
        self.backbone = backbone.to(memory_format=torch.channels_last)  # takes a fifth less time
        self.params = params
        self.mask_HW = mask_HW
        self.columns = feature_columns(detector.name, masked=mask_HW is not None)
        self._levels, self._context = dense_levels(backbone), context_levels(backbone)

    @one_thread()
    @torch.inference_mode()
    def difference(self, image_CHW: Tensor) -> Tensor:
        """Return |x - x_hat| averaged over channels, (H, W): what the mask is made of."""
        x_hat_CHW = self.detector.reconstruct(image_CHW[None]).image_hat_BCHW[0].clamp(0.0, 1.0)
        return (image_CHW - x_hat_CHW).abs().mean(dim=0)

    @one_thread()
    @torch.inference_mode()
    def measure(self, image_CHW: Tensor) -> Measurement:
        """Measure one float32 RGB image (3, H, W) in [0, 1].

        Raises ZeromissError when the mask has another size or any metric is not finite.
        """
        if self.mask_HW is not None and self.mask_HW.shape != image_CHW.shape[1:]:
            raise ZeromissError(
                f"the mask is {tuple(self.mask_HW.shape)} and the image {tuple(image_CHW.shape[1:])} pixels: "
                "both must have the product's size"
            )
        reconstruction = self.detector.reconstruct(image_CHW[None])
        pair = self._pair(image_CHW, reconstruction.image_hat_BCHW[0].clamp(0.0, 1.0))
        map_HW = anomaly_map(pair.levels, **pair.size)
        values, boxes_Q4, distances_Q = self._localised(pair, pair.difference_HW)
        numbers = np.concatenate((self._image_level(pair, map_HW, reconstruction), values))
        if self.mask_HW is not None:
            mask_HW = self.mask_HW.to(map_HW)
            values, boxes_Q4, distances_Q = self._localised(pair, pair.difference_HW * mask_HW)
            numbers, map_HW = np.concatenate((numbers, values)), map_HW * mask_HW
        return Measurement(
            features=self._named(numbers),
            boxes_Q4=boxes_Q4,
            distances_Q=distances_Q,
            native_score=float(distances_Q.double().mean()),
            map_HW=map_HW,
            image_hat_CHW=pair.x_hat_CHW,
            difference_HW=pair.difference_HW,
        )

    def _pair(self, x_CHW: Tensor, x_hat_CHW: Tensor) -> _Pair:
        """Run the backbone once over the image and once over its reconstruction."""
        maps, maps_hat = (
            self.backbone(image_CHW[None].contiguous(memory_format=torch.channels_last)) for image_CHW in (x_CHW, x_hat_CHW)
        )
        return _Pair(
            x_CHW=x_CHW,
            x_hat_CHW=x_hat_CHW,
            difference_HW=(x_CHW - x_hat_CHW).abs().mean(dim=0),
            levels=[level_difference(maps[level], maps_hat[level]) for level in self._levels],
            context=[level_difference(maps[level], maps_hat[level]) for level in self._context],
            perceptual_mse=float((maps[-1] - maps_hat[-1]).square().mean()),
        )

    def _image_level(self, pair: _Pair, map_HW: Tensor, reconstruction: Reconstruction) -> np.ndarray:
        """Return the image level's values, in the order of `image_columns`."""
        x_CHW, x_hat_CHW = pair.arrays()
        orb, no_keypoints = orb_difference(x_CHW, x_hat_CHW)
        single = (
            mse(x_CHW, x_hat_CHW),
            pair.perceptual_mse,
            float(reconstruction.quantisation_B[0]),
            float(reconstruction.critic_B[0]),
            float(reconstruction.critic_hat_B[0]),
            orb,
            float(no_keypoints),
        )
        whole_3N = torch.stack((pair.difference_HW, map_HW, anomaly_map(pair.context, **pair.size))).flatten(1)
        return np.concatenate((single, aggregate(whole_3N.cpu().numpy()).ravel()))

    def _localised(self, pair: _Pair, weighted_HW: Tensor) -> tuple[np.ndarray, Tensor, Tensor]:
        """Return the pixel and patch levels' values, the q boxes and their distances, for one difference."""
        params = self.params
        boxes_N4 = candidate_boxes(weighted_HW, pixels=params.pixels, scales=params.scales, alpha=params.alpha)
        boxes_Q4, fid_Q = keep_largest(boxes_N4, self._distances(pair, boxes_N4), params.patches)
        row, column = top_pixels(weighted_HW, params.pixels).unbind(1)
        pixels_1P = weighted_HW[row, column].cpu().numpy()[None]
        named = patch_distances(*pair.arrays(), boxes_Q4.cpu().numpy())
        patches_KQ = np.stack((fid_Q.cpu().double().numpy(), *named.values()))
        return np.concatenate((aggregate(pixels_1P)[0], aggregate(patches_KQ).ravel())), boxes_Q4, fid_Q

    def _distances(self, pair: _Pair, boxes_N4: Tensor) -> Tensor:
        """Return the patch distance "fid" of each box in the mode of the parameters."""
        if self.params.mode == "dense":
            return dense_distances(pair.levels, boxes_N4, **pair.size)
        side = CROP_SIDES.get(self.params.backbone, CROP_SIDE)
        return crop_distances(self.backbone, pair.x_CHW, pair.x_hat_CHW, boxes_N4, side=side)

    def _named(self, numbers: np.ndarray) -> dict[str, float]:
        """Return the values by column name, or refuse what is not finite."""
        features = dict(zip(self.columns, numbers.tolist(), strict=True))
        for name, value in features.items():
            if not np.isfinite(value):
                raise ZeromissError(f"{name} is {value}: the detector or the backbone does not give finite values; train it again")
        return features
