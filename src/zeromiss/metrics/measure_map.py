"""Measuring by a detector that redraws nothing: its scores, and aggregates of its anomaly map.

Axes: C channels, H, W pixels, N boxes (x0, y0, x1, y1) half open, P pixels.
"""

from typing import Self

import torch
from torch import Tensor

from zeromiss.detectors.base import EmbeddingDetector
from zeromiss.errors import ZeromissError
from zeromiss.metrics.columns import map_columns, named
from zeromiss.metrics.levels import map_values
from zeromiss.metrics.measurement import Measurement
from zeromiss.metrics.threads import one_thread
from zeromiss.stage_params import MetricsParams


class MapMeasurer:
    """Measures one image at a time by its anomaly map; the same image gives the same bits every time."""

    def __init__(self, *, detector: EmbeddingDetector, params: MetricsParams) -> None:
        """Keep what measuring needs."""
        self.detector, self.params = detector, params
        self.columns = map_columns(detector.name, detector.score_names)

    def on_lanes(self, count: int) -> Self:
        """Return itself: one pass of a feature extractor is too little to share."""
        return self

    @one_thread()
    @torch.inference_mode()
    def measure(self, image_CHW: Tensor) -> Measurement:
        """Measure one float32 RGB image (3, H, W) in [0, 1].

        Boxes lie around the map's largest pixels as they do around a reconstruction's largest differences; a box's
        distance is the mean of the map in it. Raises ZeromissError when any value is not finite.
        """
        detection = self.detector.detect(image_CHW[None])
        map_HW, params = detection.map_BHW[0], self.params
        if not bool(torch.isfinite(map_HW).all()):
            raise ZeromissError(f"the anomaly map of {self.detector.name} holds a value that is not finite: train it again")
        scores = [float(score_B[0]) for score_B in (detection.score_B, *detection.scores.values())]
        numbers, boxes_Q4, distances_Q = map_values(map_HW.cpu().numpy(), scores, params)
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
