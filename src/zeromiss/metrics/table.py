"""The metric table: images are read, measured and written as they come, in memory that stays flat."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from zeromiss import schemas
from zeromiss.detectors.images import ContextReader
from zeromiss.files import atomic_path
from zeromiss.images.reader import ImageReader
from zeromiss.images.references import companion_of
from zeromiss.metrics.columns import KEY_COLUMNS
from zeromiss.metrics.measurement import Measurement, Measures
from zeromiss.tables import stamp

FILE, NATIVE_FILE, NATIVES_FILE = "table.parquet", "native.json", "native.parquet"
THRESHOLD_FILE = "threshold.parquet"  # the same columns of the defects that set the threshold alone; only where there are any
CHUNK = 64  # rows written at a time
Item, Result = TypeVar("Item"), TypeVar("Result")
_TEXT = ("path", "sha256", "label", "defect_type", "part_id")


def table_schema(features: Sequence[str]) -> pa.Schema:
    """Return the table's columns: `KEY_COLUMNS`, then one float64 column a feature; stamped with the version."""
    fields = [pa.field(name, pa.string() if name in _TEXT else pa.float64()) for name in (*KEY_COLUMNS, *features)]
    return stamp(pa.schema(fields), schemas.METRIC_TABLE)


def write_rows(path: Path, rows: Iterable[dict[str, Any]], *, features: Sequence[str], chunk: int = CHUNK) -> int:
    """Write rows as Parquet, `chunk` at a time and atomically; return how many there were."""
    schema, waiting, written = table_schema(features), [], 0
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for row in rows:
            waiting.append(row)
            if len(waiting) == chunk:
                writer.write_table(pa.Table.from_pylist(waiting, schema=schema))
                written, waiting = written + chunk, []
        if waiting or not written:
            writer.write_table(pa.Table.from_pylist(waiting, schema=schema))
    return written + len(waiting)


def read_tensor(path: Path, reader: ImageReader) -> torch.Tensor:
    """Return an image file as float32 (3, H, W) in [0, 1]."""
    return torch.from_numpy(reader.read(path))


def measured(
    manifest: pd.DataFrame, measurer: Measures, *, raw: Path, reader: ImageReader, workers: int | None = None
) -> Iterator[tuple[dict[str, Any], Measurement]]:
    """Yield each image's manifest row and its measurement, in the manifest's order.

    Images judged in tiles are measured one at a time by as many threads as there are workers, others as `in_order` does.
    """
    workers, context_of = workers or cores(), ContextReader(reader)
    if measurer.params.tiles is not None:
        measurer, workers = measurer.on_lanes(workers), 0

    def measure(row: dict[str, Any]) -> tuple[dict[str, Any], Measurement]:
        """Read and measure one row's image."""
        return row, measurer.measure(read_tensor(raw / row["path"], reader), context=context_of(companion_of(row, raw)))

    yield from in_order(measure, manifest.to_dict(orient="records"), workers=workers)


def in_order(work: Callable[[Item], Result], items: Iterable[Item], *, workers: int) -> Iterator[Result]:
    """Yield the result for each item, in their order: `workers` at once, each on one thread; 0: one after the other here.

    At most twice as many results wait, however many items there are. The number of workers changes no bit.
    """
    if not workers:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(max_workers=workers) as pool:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) == 2 * workers:
                yield waiting.popleft().result()
        for future in waiting:
            yield future.result()


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0))


def table_row(row: dict[str, Any], measurement: Measurement) -> dict[str, Any]:
    """Return one row of the table: who the image is, its native score, its features."""
    text = {name: None if pd.isna(row[name]) else str(row[name]) for name in _TEXT}
    return text | {"native_score": measurement.native_score} | measurement.features


def mask_file(detector: str) -> str:
    """Return where, below the metrics or a bundle's folder, a detector's normal-variation mask lies."""
    return f"{detector}/mask.safetensors"


def variation_file(detector: str) -> str:
    """Return where, below the metrics or a bundle's folder, what is known of a detector's normal images lies."""
    return f"{detector}/variation.safetensors"
