"""What a metric table must be before anything learns from it, checked by Great Expectations."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from zeromiss.errors import ZeromissError
from zeromiss.metrics.aggregates import AGGREGATES
from zeromiss.metrics.columns import KEY_COLUMNS
from zeromiss.quality import validate

if TYPE_CHECKING:  # slow to import
    from great_expectations.expectations import Expectation

LARGEST = 1e300  # no number of the table is larger; infinity is
FLAGS = ("orb_no_keypoints",)
ABOVE_ZERO = ("mse", "perceptual_mse", "quantisation_mse", "map", "fid", "frechet")
ABOVE_ZERO += ("canberra", "euclidean", "wasserstein", "minkowski", "cityblock")
BOUNDS = {  # largest value of the metrics that are bounded on both sides; the smallest is 0
    "orb": 1.0,
    "difference": 1.0,
    "ssim": 2.0,
    "braycurtis": 1.0,
    "cosine": 2.0,
    "hamming": 1.0,
    "chebyshev": 1.0,
    "correlation": 2.0,
    "jensenshannon": 1.0,
}
_ROUNDING = 1e-6


def value_range(column: str) -> tuple[float, float]:
    """Return the smallest and largest value a column of the table may have.

    The sum of a bounded metric is bounded by nothing but its count, and is only held to be finite and not negative.
    """
    parts = column.split(".")
    metric = parts[2] if len(parts) > 2 else ""
    if metric in BOUNDS:
        is_sum = len(parts) > 3 and parts[3] == AGGREGATES[0]
        return -_ROUNDING, LARGEST if is_sum else BOUNDS[metric] + _ROUNDING
    lowest = 0.0 if metric in ABOVE_ZERO or column == "native_score" else -LARGEST
    return lowest, LARGEST


def profile(frame: pd.DataFrame, features: Sequence[str]) -> pd.DataFrame:
    """Return one row a numeric column: its extremes, where they lie, how many values are missing, its range.

    Hundreds of columns are checked through it at once: an expectation a column and kind takes a minute.
    """
    rows = []
    for column in ("native_score", *features):
        values, (low, high) = frame[column], value_range(column)
        missing = values.isna()
        filled = values.fillna(low)
        rows.append(
            {
                "column": column,
                "missing": int(missing.sum()),
                "smallest": float(filled.min()),
                "largest": float(filled.max()),
                "between": bool(column.split(".")[-1] not in FLAGS or filled.isin((0.0, 1.0)).all()),
                "low": low,
                "high": high,
                "path_missing": str(frame["path"][missing.idxmax()]) if missing.any() else "",
                "path_smallest": str(frame["path"][filled.idxmin()]),
                "path_largest": str(frame["path"][filled.idxmax()]),
            }
        )
    return pd.DataFrame(rows)


def row_expectations(images: int) -> list["Expectation"]:
    """Return what is expected of the rows: one an image, with a path of its own and a known label."""
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectTableRowCountToEqual(value=images, meta={"says": f"it must have one row for each of the {images} images"}),
        gxe.ExpectColumnValuesToNotBeNull(column="path", meta={"says": "an image has no path"}),
        gxe.ExpectColumnValuesToBeUnique(column="path", meta={"says": "an image has two rows"}),
        gxe.ExpectColumnValuesToNotBeNull(column="label", meta={"says": "an image has no label"}),
        gxe.ExpectColumnValuesToBeInSet(
            column="label", value_set=["normal", "defect"], meta={"says": "a label is neither normal nor defect"}
        ),
    ]


def column_expectations() -> list["Expectation"]:
    """Return what is expected of a `profile`: nothing missing, all finite and in range, flags 0 or 1."""
    import great_expectations.expectations as gxe

    def at_least(larger: str, smaller: str, says: str, place: str) -> "Expectation":
        """Return the expectation that one column is at least another."""
        return gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A=larger, column_B=smaller, or_equal=True, meta={"says": says, "place": place}
        )

    return [
        gxe.ExpectColumnValuesToBeInSet(
            column="missing", value_set=[0], meta={"says": "is missing or no number", "place": "path_missing"}
        ),
        at_least("smallest", "low", "lies below its smallest possible value", "path_smallest"),
        at_least("high", "largest", "lies above its largest possible value or is infinite", "path_largest"),
        gxe.ExpectColumnValuesToBeInSet(
            column="between", value_set=[True], meta={"says": "is a flag and neither 0 nor 1", "place": "path_largest"}
        ),
    ]


def check_table(frame: pd.DataFrame, *, features: Sequence[str], images: int, docs: Path) -> None:
    """Check a metric table of `images` rows and write Data Docs: `docs` about rows, `docs`/columns about columns.

    Raises ZeromissError, naming the first failure and its page, when the table is not as expected.
    """
    for failure in validate(frame[list(KEY_COLUMNS)], row_expectations(images), name="metrics", docs=docs):
        path = f": {frame['path'].iloc[failure.rows[0]]}" if failure.rows else f" (it has {failure.observed})"
        raise _refusal(f"{failure.meta['says']}{path}", docs)
    columns, docs = profile(frame, features), docs / "columns"
    identify = ("column", "path_missing", "path_smallest", "path_largest")
    for failure in validate(columns, column_expectations(), name="metrics columns", docs=docs, identify=identify):
        worst = columns.iloc[failure.rows[0]]
        raise _refusal(f"{worst['column']} {failure.meta['says']} in {worst[failure.meta['place']]}", docs)


def _refusal(what: str, docs: Path) -> ZeromissError:
    """Return the error about an unsound table."""
    return ZeromissError(
        f"the metric table is not sound: {what}; see {docs / 'index.html'}, then mend the image or train the detector again"
    )
