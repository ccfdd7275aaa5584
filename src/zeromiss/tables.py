"""Parquet tables that outlive a run: written whole or not at all, with a schema version."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path

VERSION_KEY = b"zeromiss.schema_version"


def stamp(schema: pa.Schema, schema_version: int) -> pa.Schema:
    """Return `schema` with the version in its metadata (what a streaming writer opens with)."""
    return schema.with_metadata((schema.metadata or {}) | {VERSION_KEY: str(schema_version).encode()})


def write_table(path: Path, frame: pd.DataFrame, *, schema_version: int) -> None:
    """Write `frame` as Parquet, atomically, without its index."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    with atomic_path(path) as temporary:
        pq.write_table(table.cast(stamp(table.schema, schema_version)), temporary)


def read_table(path: Path, *, schema_version: int) -> pd.DataFrame:
    """Read what `write_table` (or a stamped streaming writer) wrote.

    Raises ZeromissError when the file is missing, unreadable or has another schema version.
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise ZeromissError(f"{path} is missing: run the stage that writes it") from None
    except pa.ArrowInvalid as error:
        raise ZeromissError(f"{path} is not a readable Parquet file ({error}): write it anew") from None
    found = (table.schema.metadata or {}).get(VERSION_KEY, b"none").decode()
    if found != str(schema_version):
        raise ZeromissError(
            f"{path} has schema version {found}, this program reads {schema_version}: write it anew"
        )
    return table.to_pandas()
