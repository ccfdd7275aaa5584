"""A CSV file of path,label[,part_id][,mask][,reference][,design]; paths are relative to the file."""

import csv
import os
import re
from itertools import zip_longest
from pathlib import Path

from zeromiss.errors import ZeromissError
from zeromiss.images.load import SUFFIXES
from zeromiss.images.sources.record import Listing, Record, check_mask, check_reference, known_kinds

COLUMNS = ("path", "label", "part_id", "mask", "reference", "design")
DESIGN = re.compile(r"[\w.-]{1,40}", re.ASCII)  # becomes part of file names
_NORMAL = frozenset({"normal", "good", "0"})
_DEFECT = frozenset({"defect", "1"})
_UNCLEAR = frozenset({"", "ok", "pass", "true", "false", "none", "null", "nan", "unknown", "?"})


def list_csv(path: Path) -> Listing:
    """List the images a CSV names.

    A label is `normal`, `good` or `0`; `defect` or `1`; or the name of a defect type. Capitals don't matter.

    Raises ZeromissError naming the line for an unknown column or label, a missing image, mask or reference, a name that is
    none for a design, or a part of two designs.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ZeromissError(f"{path} does not exist: give a CSV file with the columns path and label") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ZeromissError(f"{path} cannot be read as UTF-8 text: {error}") from None
    reader = csv.reader(text.splitlines(), skipinitialspace=True)
    columns = next(reader, [])
    _check_columns(path, columns)
    records = [_record(path, reader.line_num, _row(path, reader.line_num, columns, row)) for row in reader if row]
    if not records:
        raise ZeromissError(f"{path} names no images: add a line for each")
    _check_references(path, records)
    return Listing(records=records, read=[path])


def _check_columns(path: Path, columns: list[str]) -> None:
    """Raise ZeromissError when a column is missing or not known."""
    for needed in ("path", "label"):
        if needed not in columns:
            raise ZeromissError(f"{path} has no column {needed!r}: its first line must name path and label")
    for column in columns:
        if column not in COLUMNS:
            raise ZeromissError(f"{path} has an unknown column {column!r}: known are {', '.join(COLUMNS)}")


def _row(table: Path, line: int, columns: list[str], row: list[str]) -> dict[str, str]:
    """Return a line's values by column, '' where the line ends early."""
    if len(row) > len(columns):
        raise ZeromissError(f"{table}, line {line}: more values than columns: put quotes around a value with a comma")
    return {column: value.strip() for column, value in zip_longest(columns, row, fillvalue="")}


def _record(table: Path, line: int, value: dict[str, str]) -> Record:
    """Describe the image of one line."""
    given = Path(value["path"])
    image = table.parent / given
    if not value["path"] or not os.path.isfile(image):
        raise ZeromissError(f"{table}, line {line}: the image {value['path']!r} is missing beside it")
    if image.suffix.lower() not in SUFFIXES:
        raise ZeromissError(f"{table}, line {line}: {value['path']} is no image of a known kind ({known_kinds()})")
    defect_type = _defect_type(table, line, value["label"])
    mask = table.parent / value["mask"] if value.get("mask") else None
    if mask is not None:
        if not defect_type:
            raise ZeromissError(f"{table}, line {line}: a normal image has no mask: remove it or mend the label")
        check_mask(image, mask)
    return Record(
        file=image,
        label="defect" if defect_type else "normal",
        defect_type=defect_type,
        part_id=value.get("part_id", ""),
        mask=mask,
        source_split="",
        name=_name(given),
        reference=table.parent / value["reference"] if value.get("reference") else None,
        design=_design(table, line, value.get("design", "")),
    )


def _design(table: Path, line: int, name: str) -> str:
    """Return the name of a design if it is one."""
    if name and not DESIGN.fullmatch(name):
        raise ZeromissError(f"{table}, line {line}: the design {name!r} is no name: use up to 40 letters, digits, dots, dashes and underscores")
    return name


def _check_references(table: Path, records: list[Record]) -> None:
    """Raise ZeromissError for a reference that cannot be read, each looked at once, and for a part that has two designs."""
    designs: dict[str, str] = {}
    for record in records:
        known = designs.setdefault(record.part_id, record.design)
        if record.part_id and known != record.design:
            raise ZeromissError(f"{table}: the part {record.part_id} has the designs {known!r} and {record.design!r}: a part has one, mend the lines")
    for reference, record in {record.reference: record for record in records if record.reference}.items():
        check_reference(reference, of=f"{table}, image {record.name}")


def _defect_type(table: Path, line: int, label: str) -> str:
    """Return the defect type that a label stands for, '' for normal."""
    word = label.lower()
    if word in _NORMAL:
        return ""
    if word in _DEFECT:
        return "defect"
    if word in _UNCLEAR or not word[0].isalpha():
        raise ZeromissError(
            f"{table}, line {line}: the label {label!r} is not known: write normal, defect or the defect's name"
        )
    return word


def _name(given: Path) -> str:
    """Return the path below the CSV's folder, or the bare file name where it leads out of that folder."""
    return given.name if given.is_absolute() or ".." in given.parts else given.as_posix()
