"""Measuring by a detector that redraws nothing: its scores, and aggregates of its anomaly map.

Axes: C channels, H, W pixels, N boxes (x0, y0, x1, y1) half open, P pixels.
"""

from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from zeromiss.backbones.base import Backbone
from zeromiss.detectors.base import NO_CONTEXT, Context, Detection, EmbeddingDetector, reads_context
from zeromiss.errors import ZeromissError
from zeromiss.metrics.columns import map_columns, named, variation_columns
from zeromiss.metrics.levels import map_values, variation_values
from zeromiss.metrics.measurement import Measurement
from zeromiss.metrics.perceive import Features
from zeromiss.metrics.threads import one_thread
from zeromiss.metrics.variation import NATIVE, Variation
from zeromiss.stage_params import MetricsParams


class MapMeasurer:
    """Measures one image at a time by its anomaly map; the same image gives the same bits every time."""

    def __init__(
        self, *, detector: EmbeddingDetector, params: MetricsParams, variation: Variation | None = None, backbone: Backbone | None = None
    ) -> None:
        """Keep what measuring needs.

        Without `variation` there are no statistics of the maps. With `backbone`, the one that reads images for all, a
        detector of the same backbone reads its maps instead of sending the image through its own.
        """
        self.detector, self.params, self.variation = detector, params, variation
        self.shares = backbone is not None and params.norms == "folded" and same_backbone(detector, backbone)
        self.columns = map_columns(detector.name, detector.score_names)
        if variation is not None:
            self.columns += variation_columns(detector.name, list(variation.levels), variation.dims)

    def on_lanes(self, count: int) -> Self:
        """Return itself: one pass of a feature extractor is too little to share."""
        return self

    @one_thread()
    @torch.inference_mode()
    def measure(self, image_CHW: Tensor, features: Features | None = None, context: Context = NO_CONTEXT) -> Measurement:
        """Measure one float32 RGB image (3, H, W) in [0, 1]; `features`: its backbone's maps, where others read them too.

        Boxes lie around the map's largest pixels as they do around a reconstruction's largest differences; a box's
        distance is the mean of the map in it. Raises ZeromissError when any value is not finite, or the detector needs a
        reference or design that `context` lacks.
        """
        shared: dict[str, Any] = {"context": context} if reads_context(self.detector) else {}
        if features is not None and self.shares:
            shared["maps"] = features.maps()
        detection = self.detector.detect(image_CHW[None], **shared)
        map_HW, params = detection.map_BHW[0], self.params
        if not bool(torch.isfinite(map_HW).all()):
            raise ZeromissError(f"the anomaly map of {self.detector.name} holds a value that is not finite: train it again")
        scores = [float(score_B[0]) for score_B in (detection.score_B, *detection.scores.values())]
        numbers, boxes_Q4, distances_Q = map_values(map_HW.cpu().numpy(), scores, params)
        if self.variation is not None:
            maps, residual_K = cell_maps(detection)
            numbers = np.concatenate((numbers, variation_values({name: one.numpy() for name, one in maps.items()}, residual_K.numpy(), self.variation.levels)))
        return Measurement(
            detector=self.detector.name,
            features=named(self.columns, numbers),
            boxes_Q4=torch.from_numpy(boxes_Q4),
            distances_Q=torch.from_numpy(distances_Q),
            native_score=scores[0],
            map_HW=map_HW,
            image_hat_CHW=None,
            difference_HW=None,
        )


def cell_maps(detection: Detection) -> tuple[dict[str, Tensor], Tensor]:
    """Return the maps (h, w) of a single image whose statistics become columns, by name, and its residual vector (K,), empty without one.

    Of a detector without maps of cells: its map of pixels.
    """
    residual_K = torch.zeros(0) if detection.residual_BK is None else detection.residual_BK[0]
    return {name: map_Bhw[0] for name, map_Bhw in (detection.maps or {NATIVE: detection.map_BHW}).items()}, residual_K


def same_backbone(detector: EmbeddingDetector, backbone: Backbone) -> bool:
    """Return whether a detector reads maps that may be shared, by the very weights of `backbone`."""
    own = getattr(detector, "shared_backbone", None)
    if not isinstance(own, nn.Module) or type(own) is not type(backbone):
        return False
    mine, others = own.state_dict(), backbone.state_dict()
    return mine.keys() == others.keys() and all(torch.equal(mine[key], others[key]) for key in mine)
