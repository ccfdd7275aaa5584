"""Several detectors measure the same image: their columns side by side in one row."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Self

from torch import Tensor

from zeromiss.backbones.base import Backbone
from zeromiss.detectors.base import Detector, redraws
from zeromiss.metrics.measure import Measurer
from zeromiss.metrics.measure_map import MapMeasurer
from zeromiss.metrics.measurement import Measurement, Measures
from zeromiss.stage_params import MetricsParams


class Stack:
    """Measures by each of its members in turn; boxes, score and map are the first one's."""

    def __init__(self, members: Sequence[Measures]) -> None:
        """Keep at least one member."""
        self.members = list(members)
        self.params = self.members[0].params
        self.columns = [name for member in self.members for name in member.columns]

    def on_lanes(self, count: int) -> Self:
        """Return a stack whose members share each image's work among `count` threads."""
        return type(self)([member.on_lanes(count) for member in self.members])

    def measure(self, image_CHW: Tensor) -> Measurement:
        """Measure one float32 RGB image (3, H, W) in [0, 1] by every member; raises what a member raises."""
        found = tuple(member.measure(image_CHW) for member in self.members)
        features = {name: value for one in found for name, value in one.features.items()}
        return replace(found[0], features=features, members=found)


def measurer_of(detector: Detector, *, backbone: Backbone, params: MetricsParams, mask_HW: Tensor | None) -> Measures:
    """Return what measures by one detector; backbone and mask are for those that redraw."""
    if redraws(detector):
        return Measurer(detector=detector, backbone=backbone, params=params, mask_HW=mask_HW)
    return MapMeasurer(detector=detector, params=params)


def stack_of(
    detectors: Sequence[Detector], *, backbone: Backbone, params: MetricsParams, masks: Mapping[str, Tensor]
) -> Stack:
    """Return the stack of `detectors`, in their order; `masks` holds the normal-variation masks by detector."""
    return Stack([measurer_of(one, backbone=backbone, params=params, mask_HW=masks.get(one.name)) for one in detectors])
