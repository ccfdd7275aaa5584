"""Judging files and folders: every file gets a verdict or an error, none is left out silently."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path
from zeromiss.inspection.companions import CompanionOf
from zeromiss.inspection.folders import atomic_folder
from zeromiss.inspection.inspector import Examination, Inspector
from zeromiss.inspection.overlay import write_overlay
from zeromiss.inspection.rows import FILE as ROWS
from zeromiss.inspection.rows import verdict_row, verdict_table
from zeromiss.inspection.verdict import ERROR, Verdict
from zeromiss.tables import stamp

SCHEMA_VERSION = 2
VERDICTS = "verdicts.parquet"
OVERLAYS = "overlays"
# Files that are plainly no photographs. Anything else in a folder is judged, or becomes an error row: a
# picture with an unusual suffix must not be passed over.
NO_IMAGES = frozenset(
    {".csv", ".db", ".html", ".ini", ".json", ".log", ".md", ".parquet", ".pdf", ".txt", ".xml", ".yaml", ".yml"}
)
_PATCH = pa.struct([("x", pa.int32()), ("y", pa.int32()), ("size", pa.int32()), ("distance", pa.float64())])
_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("verdict", pa.string()),  # normal, abnormal or error
        ("score", pa.float64()),  # null for an error
        ("probability", pa.float64()),  # of a defect; null for an error, and where the bundle has no calibration
        ("threshold", pa.float64()),
        ("error", pa.string()),  # empty unless the verdict is error
        ("sha256", pa.string()),  # empty for an error
        ("model_name", pa.string()),
        ("model_version", pa.string()),
        ("overlay", pa.string()),  # relative to this table, empty where none was drawn
        ("width", pa.int32()),  # of the image as inspected
        ("height", pa.int32()),
        ("to_file", pa.list_(pa.list_(pa.float64()))),  # takes a place (x, y, 1) of it to that in the file; null for an error
        ("patches", pa.list_(_PATCH)),
    ]
)


@dataclass(frozen=True, kw_only=True)
class InspectionError:
    """A file that could not be judged, and why: to be looked at by a person, like an abnormal one."""

    path: str
    error: str


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """Verdicts and errors in the order of the files; together they are all files found."""

    verdicts: tuple[Verdict, ...]
    errors: tuple[InspectionError, ...]


def inspect_paths(
    inspector: Inspector,
    paths: Sequence[Path],
    *,
    out: Path | None = None,
    overlays: bool = True,
    boxes: int = 25,
    progress: bool = True,
    companion_of: CompanionOf = lambda _: None,
) -> BatchResult:
    """Judge every image in `paths`, files or folders of them; `companion_of` gives each file's reference and design.

    With `out`, writes verdicts.parquet there, rows.parquet for the data set of all verdicts, and, with `overlays`,
    one PNG an image that shows its `boxes` most distant patches; the folder appears when all is written. Raises ZeromissError for a missing path, a
    folder without a file to judge, or an `out` that holds something else than an earlier inspection.
    """
    files = find_files(paths)
    if out is not None and out.exists() and not (out / VERDICTS).is_file():
        raise ZeromissError(f"{out} exists and holds no earlier inspection: name another folder to write to")
    results: list[Verdict | InspectionError] = []
    names: list[str] = []
    kept: list[dict[str, Any]] = []
    with nullcontext() if out is None else atomic_folder(out) as draft:
        folder = draft if overlays else None
        examined = _examined(inspector, files, companion_of)
        taken: set[str] = set()
        for file in tqdm(files, unit="image", desc="inspect", disable=not progress):
            one = next(examined)
            result, name = _result(one, file, folder, boxes=boxes, taken=taken)
            if draft is not None and not isinstance(one, ZeromissError):
                kept.append(verdict_row(one, inspector.features))
            results.append(result)
            names.append(name)
            taken.add(name)
        if draft is not None:
            _write_rows(draft / VERDICTS, [_row(*pair, inspector) for pair in zip(results, names, strict=True)])
            with atomic_path(draft / ROWS) as temporary:
                pq.write_table(verdict_table(kept, inspector.features), temporary)
    return BatchResult(
        verdicts=tuple(one for one in results if isinstance(one, Verdict)),
        errors=tuple(one for one in results if isinstance(one, InspectionError)),
    )


def find_files(paths: Iterable[Path]) -> list[Path]:
    """Return every file to judge, each once; folders are searched recursively, links followed, names sorted.

    Hidden files and folders are left out, and in folders the suffixes of `NO_IMAGES`.
    Raises ZeromissError for a missing path, a folder without a file to judge, or no path at all.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if not path.exists():
            raise ZeromissError(f"{path} does not exist: name an image file or a folder of images")
        here = list(_walk(path)) if path.is_dir() else [path]
        if not here:
            raise ZeromissError(f"{path} holds no images: name a folder with at least one image file")
        for file in here:
            found.setdefault(file.resolve(), file)
    if not found:
        raise ZeromissError("no image was named: give at least one file or folder")
    return list(found.values())


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files to judge below `folder`; a folder that is linked in a circle is visited once."""
    seen: set[Path] = set()
    for root, folders, names in os.walk(folder, onerror=_cannot_list, followlinks=True):
        real = Path(root).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() not in NO_IMAGES:
                yield Path(root) / name


def _cannot_list(error: OSError) -> None:
    """Refuse to go on past a folder that cannot be listed: its images would be missed."""
    raise ZeromissError(f"{error.filename} cannot be listed ({error.strerror}): allow reading it") from None


def _examined(inspector: Inspector, files: Sequence[Path], companion_of: CompanionOf) -> Iterator[Examination | ZeromissError]:
    """Yield each file's examination or error: several files at once, one alone with all cores."""
    if len(files) > 1:
        yield from inspector.examine_many(files, companion_of=companion_of)
        return
    for file in files:
        try:
            yield inspector.examine(file, companion=companion_of(file))
        except ZeromissError as error:
            yield error


def _result(
    examined: Examination | ZeromissError, file: Path, folder: Path | None, *, boxes: int, taken: set[str]
) -> tuple[Verdict | InspectionError, str]:
    """Return a file's result and the name of its overlay, drawn below `folder` ('' where none is)."""
    if isinstance(examined, ZeromissError):
        return InspectionError(path=str(file), error=str(examined)), ""
    if folder is None:
        return examined.verdict, ""
    name = f"{OVERLAYS}/{_free_name(file, examined.verdict.verdict, taken)}"
    write_overlay(folder / name, examined, boxes=boxes)
    return examined.verdict, name


def _free_name(file: Path, verdict: str, taken: set[str]) -> str:
    """Return an overlay's file name that no other overlay has; abnormal ones come first when sorted."""
    stem = re.sub(r"[^\w.-]", "_", file.stem) or "image"
    name, number = f"{verdict}-{stem}.png", 1
    while f"{OVERLAYS}/{name}" in taken:
        number += 1
        name = f"{verdict}-{stem}-{number}.png"
    return name


def _row(result: Verdict | InspectionError, overlay: str, inspector: Inspector) -> dict[str, Any]:
    """Return a result as a row of the table."""
    model = {"model_name": inspector.model.name, "model_version": inspector.model.version}
    if isinstance(result, Verdict):
        row = result.to_json()
        del row["model"]
        return row | model | {"overlay": overlay, "error": ""}
    return model | {
        "path": result.path,
        "verdict": ERROR,
        "score": None,
        "probability": None,
        "threshold": inspector.threshold,
        "error": result.error,
        "sha256": "",
        "overlay": "",
        "width": inspector.size.width,
        "height": inspector.size.height,
        "to_file": None,
        "patches": [],
    }


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the table with its schema version."""
    schema = stamp(_SCHEMA, SCHEMA_VERSION)
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), temporary)
