"""The metric table: images are read, measured and written as they come, in memory that stays flat."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from zeromiss.files import atomic_path
from zeromiss.images.reader import ImageReader
from zeromiss.metrics.columns import KEY_COLUMNS
from zeromiss.metrics.measurement import Measurement, Measures
from zeromiss.tables import stamp

SCHEMA_VERSION = 1
FILE, NATIVE_FILE, NATIVES_FILE = "table.parquet", "native.json", "native.parquet"
NATIVE_SCHEMA = 2  # of the two files of native scores: how well they rank, and the scores themselves
CHUNK = 64  # rows written at a time
_TEXT = ("path", "sha256", "label", "defect_type", "part_id")


def table_schema(features: Sequence[str]) -> pa.Schema:
    """Return the table's columns: `KEY_COLUMNS`, then one float64 column a feature; stamped with the version."""
    fields = [pa.field(name, pa.string() if name in _TEXT else pa.float64()) for name in (*KEY_COLUMNS, *features)]
    return stamp(pa.schema(fields), SCHEMA_VERSION)


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
    """Return an image file as float32 (3, size, size) in [0, 1]."""
    return torch.from_numpy(reader.read(path))


def measured(
    manifest: pd.DataFrame, measurer: Measures, *, raw: Path, reader: ImageReader, workers: int | None = None
) -> Iterator[tuple[dict[str, Any], Measurement]]:
    """Yield each image's manifest row and its measurement, in the manifest's order.

    `workers` images (default: one a core) are measured at once, each on one thread, and at most twice as
    many measurements wait, however many images there are. Images judged in tiles are measured one at a time
    by that many threads. The number of workers changes no bit.
    """
    workers = workers or len(os.sched_getaffinity(0))
    if measurer.params.tiles is not None:
        measurer, workers = measurer.on_lanes(workers), 0

    def measure(row: dict[str, Any]) -> Measurement:
        """Read and measure one row's image."""
        return measurer.measure(read_tensor(raw / row["path"], reader))

    if not workers:
        for row in manifest.to_dict(orient="records"):
            yield row, measure(row)
        return
    with ThreadPoolExecutor(max_workers=workers) as pool:
        waiting: deque[tuple[dict[str, Any], Future[Measurement]]] = deque()
        for row in manifest.to_dict(orient="records"):
            waiting.append((row, pool.submit(measure, row)))
            if len(waiting) == 2 * workers:
                first, future = waiting.popleft()
                yield first, future.result()
        for row, future in waiting:
            yield row, future.result()


def table_row(row: dict[str, Any], measurement: Measurement) -> dict[str, Any]:
    """Return one row of the table: who the image is, its native score, its features."""
    text = {name: None if pd.isna(row[name]) else str(row[name]) for name in _TEXT}
    return text | {"native_score": measurement.native_score} | measurement.features


def mask_file(detector: str) -> str:
    """Return where, below the metrics or a bundle's folder, a detector's normal-variation mask lies."""
    return f"{detector}/mask.safetensors"
