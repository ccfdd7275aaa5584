"""Several detectors measure the same image: their columns side by side in one row."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor

from zeromiss.backbones.base import Backbone
from zeromiss.backbones.faster import faster
from zeromiss.detectors.base import NO_CONTEXT, Context, Detector, redraws
from zeromiss.metrics.measure import Measurer
from zeromiss.metrics.measure_map import MapMeasurer
from zeromiss.metrics.measurement import Measurement, Measures
from zeromiss.metrics.perceive import Features
from zeromiss.metrics.threads import one_thread
from zeromiss.metrics.variation import Variation
from zeromiss.stage_params import MetricsParams


class Stack:
    """Measures by each of its members in turn; boxes, score and map are the first one's."""

    def __init__(self, members: Sequence[Measures], *, backbone: Backbone | None = None) -> None:
        """Keep at least one member; `backbone`: whose maps they share, None where each sends an image through its own."""
        self.members, self._backbone = list(members), backbone
        self.params = self.members[0].params
        self.columns = [name for member in self.members for name in member.columns]

    def on_lanes(self, count: int) -> Self:
        """Return a stack whose members share each image's work among `count` threads."""
        return type(self)([member.on_lanes(count) for member in self.members], backbone=self._backbone)

    @one_thread()
    @torch.inference_mode()
    def measure(self, image_CHW: Tensor, features: Features | None = None, context: Context = NO_CONTEXT) -> Measurement:
        """Measure one float32 RGB image (3, H, W) in [0, 1] by every member, sent through the shared backbone once; raises what a member raises."""
        if features is None and self._backbone is not None:
            features = Features(image_CHW, self._backbone)
        found = tuple(member.measure(image_CHW, features, context) for member in self.members)
        features = {name: value for one in found for name, value in one.features.items()}
        return replace(found[0], features=features, members=found)


def measurer_of(
    detector: Detector, *, backbone: Backbone, params: MetricsParams, mask_HW: Tensor | None, variation: Variation | None = None
) -> Measures:
    """Return what measures by one detector; the mask is for those that reconstruct."""
    if redraws(detector):
        return Measurer(detector=detector, backbone=backbone, params=params, mask_HW=mask_HW, variation=variation)
    return MapMeasurer(detector=detector, params=params, variation=variation, backbone=backbone)


def stack_of(
    detectors: Sequence[Detector],
    *,
    backbone: Backbone,
    params: MetricsParams,
    masks: Mapping[str, Tensor],
    variations: Mapping[str, Variation] | None = None,
) -> Stack:
    """Return the stack of `detectors`, in their order.

    `masks` holds the normal-variation masks and `variations` what else is known of normal images, by detector; without
    the latter there are the paper's metrics alone.
    """
    found = variations or {}
    members = [measurer_of(one, backbone=backbone, params=params, mask_HW=masks.get(one.name), variation=found.get(one.name)) for one in detectors]
    return Stack(members, backbone=_shared(members, backbone, params))


def _shared(members: Sequence[Measures], backbone: Backbone, params: MetricsParams) -> Backbone | None:
    """Return the backbone that sends an image through once for all, None where it has one reader at most or images come in tiles.

    It is the very one of the first member that reconstructs, so that the bits are those of that member alone.
    """
    readers = [member for member in members if isinstance(member, Measurer) or member.shares]
    if params.tiles is not None or len(readers) < 2:
        return None
    own = [member.backbone for member in readers if isinstance(member, Measurer)]
    return own[0] if own else faster(backbone, fold_norms=True).to(memory_format=torch.channels_last)
