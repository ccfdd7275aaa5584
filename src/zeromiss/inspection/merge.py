"""Inspections of parts of a job, put together as if one machine had judged all files."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path
from zeromiss.inspection.batch import OVERLAYS, VERDICTS, _free_name
from zeromiss.inspection.folders import atomic_folder
from zeromiss.inspection.rows import FILE as ROWS
from zeromiss.inspection.verdict import ERROR


@dataclass(frozen=True, kw_only=True)
class Merged:
    """What an inspection came to."""

    verdicts: tuple[str, ...]  # normal, abnormal or error, in the order of the files
    failures: tuple[str, ...]  # a sentence for each file that could not be judged


def merge_folders(parts: Sequence[Path], out: Path) -> Merged:
    """Move the inspections in `parts` (folders of `inspect_paths`) into one at `out`, in their order, whole or not at all.

    Table and overlays are those that `inspect_paths` gives for all files at once. Raises ZeromissError for a part
    that is not there.
    """
    taken: set[str] = set()
    with atomic_folder(out) as draft:
        tables = [_take(part, draft, taken) for part in parts]
        table = pa.concat_tables(tables)
        with atomic_path(draft / VERDICTS) as temporary:
            pq.write_table(table, temporary)
        with atomic_path(draft / ROWS) as temporary:
            pq.write_table(pa.concat_tables([pq.read_table(part / ROWS) for part in parts]), temporary)
    for part in parts:
        shutil.rmtree(part)
    verdicts, errors = table.column("verdict").to_pylist(), table.column("error").to_pylist()
    return Merged(
        verdicts=tuple(verdicts), failures=tuple(text for verdict, text in zip(verdicts, errors, strict=True) if verdict == ERROR)
    )


def _take(part: Path, draft: Path, taken: set[str]) -> pa.Table:
    """Copy a part's overlays under names that are free in the whole and return its table with these names."""
    if not (part / VERDICTS).is_file():
        raise ZeromissError(
            f"{part} holds no verdicts although a worker has written them: share the workspace's folder with the workers' machines"
        )
    table, names = pq.read_table(part / VERDICTS), []
    for path, verdict, overlay in zip(*(table.column(name).to_pylist() for name in ("path", "verdict", "overlay")), strict=True):
        name = f"{OVERLAYS}/{_free_name(Path(path), verdict, taken)}" if overlay else ""
        if name:
            taken.add(name)
            (draft / OVERLAYS).mkdir(exist_ok=True)
            shutil.copyfile(part / overlay, draft / name)
        names.append(name)
    return table.set_column(table.schema.get_field_index("overlay"), table.schema.field("overlay"), pa.array(names, pa.string()))
