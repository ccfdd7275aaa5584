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
from zeromiss.files import atomic_path, printable, short_name
from zeromiss.images.passed_over import is_passed_over, reason_to_pass_over
from zeromiss.images.staging import Staging
from zeromiss.inspection.companions import CompanionOf
from zeromiss.inspection.inspector import Examination, Inspector
from zeromiss.inspection.overlay import write_overlay
from zeromiss.inspection.pictures import NotInspectable, Repeats
from zeromiss.inspection.rows import FILE as ROWS
from zeromiss.inspection.rows import verdict_row, verdict_table
from zeromiss.inspection.verdict import ERROR, Verdict
from zeromiss.tables import stamp

SCHEMA_VERSION = 3
VERDICTS = "verdicts.parquet"
OVERLAYS = "overlays"
_PATCH = pa.struct([("x", pa.int32()), ("y", pa.int32()), ("size", pa.int32()), ("distance", pa.float64())])
_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("verdict", pa.string()),  # normal, abnormal or error
        ("score", pa.float64()),  # null for an error
        ("probability", pa.float64()),  # of a defect; null for an error, and where the bundle has no calibration
        ("threshold", pa.float64()),
        ("outside", pa.string()),  # why it lies outside of all normal parts; empty where it does not, and for an error
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
    folder: Path | None = None  # where they were written


def inspect_paths(
    inspector: Inspector,
    paths: Sequence[Path],
    *,
    out: Path | None = None,
    free_name: bool = False,
    overlays: bool = True,
    boxes: int = 25,
    progress: bool = True,
    companion_of: CompanionOf = lambda _: None,
    again: bool = False,
) -> BatchResult:
    """Judge every image in `paths`, files or folders of them; `companion_of` gives each file's reference and design.

    An image that is the one before it again is an error, unless they are judged `again`, in whatever order.

    With `out`, writes verdicts.parquet there, rows.parquet for the data set of all verdicts, and, with `overlays`,
    one PNG an image that shows its `boxes` most distant patches; the folder appears when all is written. It replaces an earlier
    inspection; with `free_name` it gets a number behind its name instead where that is taken.
    Raises ZeromissError for a missing path, a folder without a file to judge, or an `out` that holds something else than an earlier inspection.
    """
    files = find_files(paths)
    if out is not None and not free_name and out.exists() and not (out / VERDICTS).is_file():
        raise ZeromissError(f"{out} exists and holds no earlier inspection: name another folder to write to")
    results: list[Verdict | InspectionError] = []
    names: list[str] = []
    kept: list[dict[str, Any]] = []
    written: Path | None = None
    with nullcontext() if out is None else Staging(out) as staging:
        folder = staging.folder if staging is not None and overlays else None
        examined = _examined(inspector, files, companion_of)
        taken: set[str] = set()
        repeats = Repeats()
        for file in tqdm(files, unit="image", desc="inspect", disable=not progress):
            one = next(examined) if again else _new(next(examined), repeats)
            result, name = _result(one, file, folder, boxes=boxes, taken=taken)
            if staging is not None and not isinstance(one, ZeromissError):
                kept.append(verdict_row(one, inspector.features))
            results.append(result)
            names.append(name)
            taken.add(name)
        if staging is not None:
            _write_rows(staging.folder / VERDICTS, [_row(*pair, inspector) for pair in zip(results, names, strict=True)])
            with atomic_path(staging.folder / ROWS) as temporary:
                pq.write_table(verdict_table(kept, inspector.features), temporary)
            written = staging.claim() if free_name else staging.swap()
    return BatchResult(
        verdicts=tuple(one for one in results if isinstance(one, Verdict)),
        errors=tuple(one for one in results if isinstance(one, InspectionError)),
        folder=written,
    )


def find_files(paths: Iterable[Path]) -> list[Path]:
    """Return every file to judge, each once; folders are searched recursively, links followed, names sorted.

    In folders all that `reason_to_pass_over` names is left out. Anything else is judged, or becomes an error row: a picture with an
    unusual suffix must not be passed over.
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
        folders[:] = sorted(name for name in folders if not is_passed_over(name))
        for name in sorted(names):
            if not reason_to_pass_over((name,)):
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


def _new(examined: Examination | ZeromissError, repeats: Repeats) -> Examination | ZeromissError:
    """Return an examination, or why it cannot count: its image is the one before it again."""
    if isinstance(examined, ZeromissError):
        return examined
    try:
        repeats.check(printable(examined.verdict.path), examined.image_CHW.numpy())
    except NotInspectable as error:
        return error
    return examined


def _result(
    examined: Examination | ZeromissError, file: Path, folder: Path | None, *, boxes: int, taken: set[str]
) -> tuple[Verdict | InspectionError, str]:
    """Return a file's result and the name of its overlay, drawn below `folder` ('' where none is)."""
    if isinstance(examined, ZeromissError):
        return InspectionError(path=printable(str(file)), error=printable(str(examined))), ""
    if folder is None:
        return examined.verdict, ""
    name = f"{OVERLAYS}/{_free_name(file, examined.verdict.verdict, taken)}"
    write_overlay(folder / name, examined, boxes=boxes)
    return examined.verdict, name


def _free_name(file: Path, verdict: str, taken: set[str]) -> str:
    """Return an overlay's file name that no other overlay has; abnormal ones come first when sorted."""
    stem = re.sub(r"[^\w.-]", "_", short_name(file.stem)) or "image"
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
        "outside": "",
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
