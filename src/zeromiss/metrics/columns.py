"""Names of the metric table's columns, in their one order.

`<detector>.<level>.<metric>[.<aggregate>][.masked]`, for instance `vqgan.patch.ssim.sum.masked`.
"""

from zeromiss.metrics.aggregates import AGGREGATES
from zeromiss.metrics.distances import DISTANCES

IMAGE_METRICS = ("mse", "perceptual_mse", "quantisation_mse", "critic", "critic_hat", "orb", "orb_no_keypoints")
PATCH_METRICS = ("fid", *DISTANCES)
WHOLE_IMAGE = ("difference", "map", "context")  # per-pixel values aggregated over the image
KEY_COLUMNS = ("path", "sha256", "label", "defect_type", "part_id", "native_score")  # before the features


def image_columns(detector: str) -> list[str]:
    """Return the columns of the image level: single metrics, aggregates of the difference, aggregates of two maps.

    The paper has the first two; added are the aggregates of the (unmasked) perceptual anomaly map and of its
    like from the backbone's coarser levels, which see the surroundings of a place (`context`).
    """
    single = [f"{detector}.image.{metric}" for metric in IMAGE_METRICS]
    return single + [f"{detector}.image.{values}.{name}" for values in WHOLE_IMAGE for name in AGGREGATES]


def localised_columns(detector: str, *, masked: bool) -> list[str]:
    """Return the columns of the pixel and patch levels, plain or after the mask."""
    suffix = ".masked" if masked else ""
    pixel = [f"{detector}.pixel.difference.{name}{suffix}" for name in AGGREGATES]
    return pixel + [f"{detector}.patch.{metric}.{name}{suffix}" for metric in PATCH_METRICS for name in AGGREGATES]


def feature_columns(detector: str, *, masked: bool) -> list[str]:
    """Return all columns of one detector; with `masked`, pixel and patch levels exist twice."""
    columns = image_columns(detector) + localised_columns(detector, masked=False)
    return columns + (localised_columns(detector, masked=True) if masked else [])
