"""What measuring one image gives, whatever detector looked at it.

Axes: C channels, H, W pixels, Q patches, boxes (x0, y0, x1, y1) half open.
"""

from dataclasses import dataclass
from typing import Protocol, Self

from torch import Tensor

from zeromiss.detectors.base import NO_CONTEXT, Context
from zeromiss.metrics.perceive import Features
from zeromiss.stage_params import MetricsParams


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What is known of one image. Where the mask is on, boxes, distances, score and map are masked.

    Of several detectors at once: `features` of all, all else of the first; `members` has each for itself.
    """

    detector: str
    features: dict[str, float]  # by column name, in the table's order
    boxes_Q4: Tensor  # int64, the largest distance first
    distances_Q: Tensor  # of each box: the map's mean in it; patch distance "fid" where a variation of normal images is not known
    native_score: float  # higher = more abnormal
    map_HW: Tensor  # per-pixel anomaly map (higher = more abnormal)
    image_hat_CHW: Tensor | None  # reconstruction in [0, 1]; None where nothing is redrawn
    difference_HW: Tensor | None  # |x - x_hat| averaged over channels, unmasked
    members: tuple["Measurement", ...] = ()

    def each(self) -> tuple["Measurement", ...]:
        """Return the measurement by each detector."""
        return self.members or (self,)


class Measures(Protocol):
    """Whatever measures images, by one detector or several; safe to share between threads."""

    params: MetricsParams
    columns: list[str]  # of `Measurement.features`

    def on_lanes(self, count: int) -> Self:
        """Return one with the same networks that shares each image's work among `count` threads."""

    def measure(self, image_CHW: Tensor, features: Features | None = None, context: Context = NO_CONTEXT) -> Measurement:
        """Measure one float32 RGB image (3, H, W) in [0, 1]; the same image and context give the same bits every time.

        `features`: its backbone's maps, where several read them; `context`: its reference and design.
        """
