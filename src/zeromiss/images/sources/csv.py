"""A CSV file of path,label[,part_id][,mask][,reference][,design]; paths are relative to the file."""

import csv
import os
import re
from collections import Counter
from itertools import zip_longest
from pathlib import Path

from zeromiss.errors import ZeromissError
from zeromiss.images.load import SUFFIXES
from zeromiss.images.passed_over import reason_to_pass_over
from zeromiss.images.sources.account import UNLABELLED as UNLABELLED_REASON
from zeromiss.images.sources.account import Account
from zeromiss.images.sources.record import Listing, Record, check_mask, check_reference, known_kinds
from zeromiss.images.vocabulary import NORMAL, UNLABELLED, Vocabulary

COLUMNS = ("path", "label", "part_id", "mask", "reference", "design")
DESIGN = re.compile(r"[\w.-]{1,40}", re.ASCII)  # becomes part of file names
UNNAMED = "that no line names"  # a reason why images are ignored


def list_csv(path: Path, *, vocabulary: Vocabulary | None = None) -> Listing:
    """List the images a CSV names; `vocabulary` reads their labels.

    Images beside them that no line names are counted, and so are those without a label.

    Raises ZeromissError naming the line for an unknown column, one that is there twice, a label that is asked about, a missing image, mask
    or reference, a name that is none for a design, a part of two designs, or an image that two lines label otherwise.
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
    vocabulary = vocabulary or Vocabulary()
    lines = [_line(path, reader.line_num, _row(path, reader.line_num, columns, row), vocabulary) for row in reader if row]
    if not lines:
        raise ZeromissError(f"{path} names no images: add a line for each")
    _refuse_contradictions(path, lines)
    records = [record for _, record, _ in lines if record.label != UNLABELLED]
    _check_references(path, records)
    notes = [note for *_, note in lines if note]
    folders = sorted({record.file.parent for _, record, _ in lines})
    return Listing(records=records, notes=notes, read=[path, *folders], account=_account(path, [record for _, record, _ in lines], folders))


def _account(table: Path, records: list[Record], folders: list[Path]) -> Account:
    """Say what became of every file that a CSV names, and of all others in the `folders` of its images."""
    images = {os.path.abspath(record.file): record for record in records}
    companions = {os.path.abspath(file) for record in records for file in record.files}
    masks = {os.path.abspath(record.mask) for record in records if record.mask}
    ignored = Counter({UNLABELLED_REASON: sum(record.label == UNLABELLED for record in images.values())})
    for folder in folders:
        for entry in os.scandir(folder):
            if not entry.is_dir() and os.path.abspath(entry.path) not in companions:
                ignored[reason_to_pass_over((entry.name,)) or UNNAMED] += 1
    taken = [record for record in images.values() if record.label != UNLABELLED]
    ignored["references"] += len(companions - set(images) - masks)
    return Account(place=f"{table.name} and the folders of its images", images=Counter(record.defect_type for record in taken), masks=len(masks - set(images)), ignored=ignored)


def _refuse_contradictions(table: Path, lines: list[tuple[int, Record, str]]) -> None:
    """Raise ZeromissError when two lines give one image different labels."""
    first: dict[str, tuple[int, Record]] = {}
    for line, record, _ in lines:
        before, known = first.setdefault(os.path.realpath(record.file), (line, record))
        if (known.label, known.defect_type) != (record.label, record.defect_type):
            labels = f"{known.defect_type or known.label} and {record.defect_type or record.label}"
            raise ZeromissError(f"{table}, lines {before} and {line}: {record.name} has the labels {labels}: an image has one, remove a line")


def _check_columns(path: Path, columns: list[str]) -> None:
    """Raise ZeromissError when a column is missing, not known, or there twice."""
    mark = next((mark for mark in (";", "\t", "|") if len(columns) == 1 and mark in columns[0]), None)
    if mark is not None:
        raise ZeromissError(f"{path} separates its columns with {mark!r}: save it with commas between them")
    for needed in ("path", "label"):
        if needed not in columns:
            raise ZeromissError(f"{path} has no column {needed!r}: its first line must name path and label")
    for column in columns:
        if column not in COLUMNS:
            raise ZeromissError(f"{path} has an unknown column {column!r}: known are {', '.join(COLUMNS)}")
        if columns.count(column) > 1:
            raise ZeromissError(f"{path} has the column {column!r} {columns.count(column)} times: nothing says which one counts, remove the others")


def _row(table: Path, line: int, columns: list[str], row: list[str]) -> dict[str, str]:
    """Return a line's values by column, '' where the line ends early."""
    if len(row) > len(columns):
        raise ZeromissError(f"{table}, line {line}: more values than columns: put quotes around a value with a comma")
    return {column: value.strip() for column, value in zip_longest(columns, row, fillvalue="")}


def _line(table: Path, line: int, value: dict[str, str], vocabulary: Vocabulary) -> tuple[int, Record, str]:
    """Return a line's number, the image that it describes, and what a person should look at ('' for nothing)."""
    given = Path(value["path"])
    image = table.parent / given
    if not value["path"] or not os.path.isfile(image):
        raise ZeromissError(f"{table}, line {line}: the image {value['path']!r} is missing beside it")
    if image.suffix.lower() not in SUFFIXES:
        raise ZeromissError(f"{table}, line {line}: {value['path']} is no image of a known kind ({known_kinds()})")
    label = vocabulary.read(value["label"], where=f"{table}, line {line}")
    note = ""
    mask = table.parent / value["mask"] if value.get("mask") else None
    if mask is not None:
        if label.label == NORMAL:
            raise ZeromissError(f"{table}, line {line}: a normal image has no mask: remove it or mend the label")
        note = check_mask(image, mask)
    record = Record(
        file=image,
        label=label.label,
        defect_type=label.kind,
        part_id=value.get("part_id", ""),
        mask=mask,
        source_split="",
        name=_name(given),
        reference=table.parent / value["reference"] if value.get("reference") else None,
        design=_design(table, line, value.get("design", "")),
    )
    return line, record, note


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


def _name(given: Path) -> str:
    """Return the path below the CSV's folder, or the bare file name where it leads out of that folder."""
    return given.name if given.is_absolute() or ".." in given.parts else given.as_posix()
