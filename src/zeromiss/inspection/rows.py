"""What stays of every verdict: a row with the metrics that the composite score rests on, in a data set by day.

    sha256         of the image file's bytes: what judgements join by
    name           of the file
    time           when it was judged, UTC
    model_version  that judged it
    score, threshold, verdict
    seconds        from file to verdict
    <metric>       one column a metric that this version's classifier reads
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from zeromiss.inspection.inspector import Examination
from zeromiss.inspection.ledger import append

FILE = "rows.parquet"  # in an inspection's folder
FACTS = {
    "sha256": pa.string(), "name": pa.string(), "time": pa.timestamp("us", tz="UTC"), "model_version": pa.string(), "score": pa.float64(),
    "threshold": pa.float64(), "verdict": pa.string(), "seconds": pa.float64(),
}  # fmt: skip
KEY = ("sha256", "model_version")


def verdict_row(examined: Examination, features: Sequence[str], *, name: str | None = None) -> dict[str, Any]:
    """Return an examination as a row, judged now; `name` of the image, where it isn't the file's."""
    verdict = examined.verdict
    facts = {
        "sha256": verdict.sha256, "name": Path(verdict.path).name if name is None else name, "time": datetime.now(UTC), "model_version": verdict.model.version,
        "score": verdict.score, "threshold": verdict.threshold, "verdict": verdict.verdict, "seconds": examined.seconds,
    }  # fmt: skip
    return facts | {name: float(examined.measurement.features[name]) for name in features}


def verdict_table(rows: Sequence[dict[str, Any]], features: Sequence[str]) -> pa.Table:
    """Return rows as a table with a column a metric."""
    return pa.Table.from_pylist(list(rows), schema=pa.schema(FACTS | dict.fromkeys(features, pa.float64())))


def keep(dataset: Path, rows: pa.Table, *, grow: bool = False) -> int:
    """Add rows to a product's data set; an image that the same version judged before adds none. Return how many came.

    `grow`: to a part that is there, as `append` does it, for who brings a few rows again and again.
    """
    return append(dataset, rows, key=KEY, grow=grow)


def keep_folder(dataset: Path, folder: Path) -> int:
    """Add the rows of an inspection's folder to a product's data set; return how many came."""
    return keep(dataset, pq.read_table(folder / FILE))
