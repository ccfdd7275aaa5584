"""Names of the metric table's columns, in their one order.

`<detector>.<level>.<metric>[.<aggregate>][.masked]`, for instance `vqgan.patch.ssim.sum.masked`; statistics of a map are
`<detector>.map.<map>.<statistic>`, and what differs in the most abnormal cells is `<detector>.residual.<number>`.
"""

from collections.abc import Collection, Sequence

import numpy as np

from zeromiss.errors import ZeromissError
from zeromiss.metrics.aggregates import AGGREGATES
from zeromiss.metrics.distances import DISTANCES
from zeromiss.metrics.map_statistics import STATISTICS

OWN_METRICS = ("quantisation_mse", "critic", "critic_hat")  # that only some detectors' reconstructions come with
IMAGE_METRICS = ("mse", "perceptual_mse", "quantisation_mse", "critic", "critic_hat", "orb", "orb_no_keypoints")
PATCH_METRICS = ("fid", *DISTANCES)
WHOLE_IMAGE = ("difference", "map", "context")  # per-pixel values aggregated over the image
MASKED = ".masked"  # how the columns that were measured after the mask end
UNSTATED = ("skewness", "kurtosis", "blob_count")  # statistics of a map that need not rise with abnormality
RESIDUAL = "residual"  # level of the columns of the mean whitened difference of the worst cells: signed, numbered
KEY_COLUMNS = ("path", "sha256", "label", "defect_type", "part_id", "native_score")  # before the features


def image_columns(detector: str, own: Collection[str] = OWN_METRICS) -> list[str]:
    """Return the columns of the image level: single metrics, aggregates of the difference, aggregates of two maps.

    The paper has the first two; added are the aggregates of the (unmasked) perceptual anomaly map and of its
    like from the backbone's coarser levels, which see the surroundings of a place (`context`). `own`: those of
    OWN_METRICS that the detector has.
    """
    single = [f"{detector}.image.{metric}" for metric in IMAGE_METRICS if metric in own or metric not in OWN_METRICS]
    return single + [f"{detector}.image.{values}.{name}" for values in WHOLE_IMAGE for name in AGGREGATES]


def score_columns(detector: str, score_names: Sequence[str] | None) -> list[str]:
    """Return the columns of a detector's own scores, the native one first; none where it has no score of its own."""
    return [] if score_names is None else [f"{detector}.image.{name}" for name in ("score", *score_names)]


def localised_columns(detector: str, *, masked: bool) -> list[str]:
    """Return the columns of the pixel and patch levels, plain or after the mask."""
    suffix = MASKED if masked else ""
    pixel = [f"{detector}.pixel.difference.{name}{suffix}" for name in AGGREGATES]
    return pixel + [f"{detector}.patch.{metric}.{name}{suffix}" for metric in PATCH_METRICS for name in AGGREGATES]


def feature_columns(
    detector: str, *, masked: bool, own: Collection[str] = OWN_METRICS, score_names: Sequence[str] | None = None
) -> list[str]:
    """Return all columns of a detector that redraws; with `masked`, pixel and patch levels exist twice."""
    columns = image_columns(detector, own) + score_columns(detector, score_names) + localised_columns(detector, masked=False)
    return columns + (localised_columns(detector, masked=True) if masked else [])


def map_columns(detector: str, score_names: Sequence[str]) -> list[str]:
    """Return all columns of a detector that gives a score and a map: its scores, aggregates of the map and of its largest pixels."""
    aggregated = [f"{detector}.{level}.map.{name}" for level in ("image", "pixel") for name in AGGREGATES]
    return score_columns(detector, score_names) + aggregated


def variation_columns(detector: str, maps: Sequence[str], dims: int) -> list[str]:
    """Return the columns of maps of cells or pixels, all statistics of each, and of the `dims` numbers of the residual vector."""
    statistics = [f"{detector}.map.{name}.{statistic}" for name in maps for statistic in STATISTICS]
    return statistics + [f"{detector}.{RESIDUAL}.{number:03d}" for number in range(dims)]


def named(columns: Sequence[str], numbers: np.ndarray) -> dict[str, float]:
    """Return the values by column name.

    Raises ZeromissError naming the first that is not finite.
    """
    features = dict(zip(columns, numbers.tolist(), strict=True))
    for name, value in features.items():
        if not np.isfinite(value):
            raise ZeromissError(f"{name} is {value}: the detector or the backbone does not give finite values; train it again")
    return features


def log_odds_column(detector: str) -> str:
    """Return the column that a detector's residual columns become before a classifier sees them."""
    return f"{detector}.{RESIDUAL}.log_odds"


def residual_blocks(columns: Sequence[str]) -> dict[str, list[int]]:
    """Return, by detector, the places of its residual columns `<detector>.residual.<nnn>`."""
    blocks: dict[str, list[int]] = {}
    for place, name in enumerate(columns):
        detector, _, rest = name.partition(".")
        level, _, number = rest.partition(".")
        if level == RESIDUAL and number.isdecimal():
            blocks.setdefault(detector, []).append(place)
    return blocks


def rises(column: str) -> bool:
    """Whether a column is stated to rise with abnormality: distances, and statistics that no defect can lower.

    False where nothing is stated: the critic's outputs, the smallest difference of an image, the shape of a map's distribution,
    the number of its blobs (a defect may join two), signed residuals, and every column that is not of this table.
    """
    parts = column.removesuffix(MASKED).split(".")
    if len(parts) < 3:
        return False
    level, metric, statistic = parts[1], parts[2], parts[-1]
    if level == "image":
        return metric not in ("critic", "critic_hat", "orb_no_keypoints") and not (metric in WHOLE_IMAGE and statistic == "min")
    if level == RESIDUAL:
        return statistic == "log_odds"
    return level in ("pixel", "patch") or (level == "map" and statistic not in UNSTATED)
