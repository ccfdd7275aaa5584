"""Append-only data sets in Parquet, a folder a day: rows that came stay, and the same row again adds nothing.

A part appears whole under a name made of its rows' keys, and one process at a time appends, so that a kill at any
moment leaves either the part or nothing, and of two at once neither loses a row. Every append opens every part: who
appends a few rows a minute for months lets a part grow, which is replaced in one step by itself with the rows added.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path
from zeromiss.images.staging import locked
from zeromiss.tables import VERSION_KEY, stamp

SCHEMA_VERSION = 1
_DAYS = ds.partitioning(pa.schema([("day", pa.string())]), flavor="hive")
_NAME = 16  # characters of a part's name
_FULL = 4096  # rows of a part that grows no more: 5 MB at 150 metrics, written anew for each few rows


def append(folder: Path, rows: pa.Table, *, key: Sequence[str], grow: bool = False) -> int:
    """Add the rows whose `key` columns (text) are not there yet, each to the day of its `time` in UTC; return how many.

    `grow`: to a part of that day with these columns and fewer than 4096 rows, where there is one. A part that a killed process began is removed. Raises ZeromissError where a part cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        for left in folder.glob("day=*/.*.partial"):
            left.unlink()
        fresh = _unknown(folder, rows, key)
        days = pc.strftime(fresh["time"], format="%Y-%m-%d")
        for day in sorted(set(days.to_pylist())):
            _write(folder / f"day={day}", fresh.filter(pc.equal(days, day)), key, grow=grow)
    return fresh.num_rows


def read(folder: Path, *, since: str | None = None, columns: Sequence[str] | None = None, only: ds.Expression | None = None) -> pa.Table:
    """Return the rows, in the order of their time, with the column `day`; those of day `since` (YYYY-MM-DD) and later.

    A column that only some parts have is null in the others. An empty table without columns where nothing was ever
    appended. Raises ZeromissError for a part that cannot be read or has another schema version.
    """
    parts = sorted(folder.glob("day=*/part-*.parquet"))
    if not parts:
        return pa.table({})
    schema = pa.unify_schemas([_schema(part) for part in parts if since is None or part.parent.name >= f"day={since}"] or [_schema(parts[0])])
    whole = ds.dataset([str(part) for part in parts], schema=schema.append(pa.field("day", pa.string())), partitioning=_DAYS, partition_base_dir=str(folder), format="parquet")
    wanted = ds.field("day") >= (since or "")
    names = None if columns is None else [name for name in dict.fromkeys((*columns, "time")) if name in whole.schema.names]
    return whole.to_table(columns=names, filter=wanted if only is None else wanted & only).sort_by("time")


def _unknown(folder: Path, rows: pa.Table, key: Sequence[str]) -> pa.Table:
    """Return the rows whose key neither the data set nor an earlier row has."""
    known = read(folder, columns=key, only=ds.field(key[0]).isin(rows[key[0]].combine_chunks()))
    seen = set(_keys(known, key)) if known.num_rows else set()
    fresh = []
    for one in _keys(rows, key):
        fresh.append(one not in seen)
        seen.add(one)
    return rows.filter(pa.array(fresh, pa.bool_()))


def _keys(rows: pa.Table, key: Sequence[str]) -> list[tuple[str, ...]]:
    """Return each row's key."""
    return list(zip(*(rows[name].to_pylist() for name in key), strict=True))


def _write(folder: Path, rows: pa.Table, key: Sequence[str], *, grow: bool) -> None:
    """Write one part, whole or not at all."""
    digest = hashlib.sha256(repr(_keys(rows, key)).encode()).hexdigest()[:_NAME]
    part = folder / f"part-{digest}.parquet"
    if grow and (growing := _not_full(folder, rows.schema)) is not None:
        part, rows = growing, pa.concat_tables([pq.ParquetFile(growing).read().replace_schema_metadata(), rows])
    with atomic_path(part) as temporary:
        pq.write_table(rows.cast(stamp(rows.schema, SCHEMA_VERSION)), temporary)


def _not_full(folder: Path, schema: pa.Schema) -> Path | None:
    """Return a part with these columns that may still grow, None where there is none."""
    parts = sorted(folder.glob("part-*.parquet"))
    return next((part for part in parts if _schema(part).equals(schema) and pq.read_metadata(part).num_rows < _FULL), None)


def _schema(part: Path) -> pa.Schema:
    """Return a part's columns, without what is said about them."""
    try:
        schema = pq.read_schema(part)
    except (pa.ArrowInvalid, OSError) as error:
        raise ZeromissError(f"{part} is not a readable Parquet file ({error}): bring it back from a copy, or move it away") from None
    found = (schema.metadata or {}).get(VERSION_KEY, b"none").decode()
    if found != str(SCHEMA_VERSION):
        raise ZeromissError(f"{part} has schema version {found}, this program reads {SCHEMA_VERSION}: use the program that wrote it")
    return schema.remove_metadata()
