"""Measuring by a detector that redraws nothing: its scores, and aggregates of its anomaly map.

Axes: C channels, H, W pixels, N boxes (x0, y0, x1, y1) half open, P pixels.
"""

from typing import Self

import numpy as np
import torch
from torch import Tensor

from zeromiss.detectors.base import EmbeddingDetector
from zeromiss.errors import ZeromissError
from zeromiss.metrics.aggregates import aggregate
from zeromiss.metrics.columns import map_columns
from zeromiss.metrics.localise import candidate_boxes, keep_largest, top_pixels
from zeromiss.metrics.measurement import Measurement, named
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
        row_P, column_P = top_pixels(map_HW, params.pixels).unbind(1)
        scores = [float(score_B[0]) for score_B in (detection.score_B, *detection.scores.values())]
        series = (map_HW.reshape(1, -1), map_HW[row_P, column_P][None])
        numbers = np.concatenate((scores, *(aggregate(values_1N.cpu().numpy())[0] for values_1N in series)))
        features = named(self.columns, numbers)
        boxes_N4 = candidate_boxes(map_HW, pixels=params.pixels, scales=params.scales, alpha=params.alpha)
        boxes_Q4, distances_Q = keep_largest(boxes_N4, mean_inside(map_HW, boxes_N4), params.patches)
        return Measurement(
            detector=self.detector.name,
            features=features,
            boxes_Q4=boxes_Q4,
            distances_Q=distances_Q,
            native_score=scores[0],
            map_HW=map_HW,
            image_hat_CHW=None,
            difference_HW=None,
        )


def mean_inside(map_HW: Tensor, boxes_N4: Tensor) -> Tensor:
    """Return the mean of the map's pixels inside each box, (N,), float64."""
    total_HW = torch.nn.functional.pad(map_HW.double(), (1, 0, 1, 0)).cumsum(0).cumsum(1)
    x0_N, y0_N, x1_N, y1_N = boxes_N4.unbind(1)
    inside_N = total_HW[y1_N, x1_N] - total_HW[y0_N, x1_N] - total_HW[y1_N, x0_N] + total_HW[y0_N, x0_N]
    return inside_N / ((x1_N - x0_N) * (y1_N - y0_N))
