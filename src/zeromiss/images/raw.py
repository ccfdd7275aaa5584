"""A product's raw folder: `images/`, `masks/`, `references/` and `index.csv`, which says what is known of each image."""

import csv
import io
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path

from zeromiss.errors import ZeromissError

INDEX = "index.csv"
LABELS = ("normal", "defect")


@dataclass(frozen=True, kw_only=True, order=True, slots=True)
class Entry:
    """One line of the index; paths are relative to the raw folder, with forward slashes.

    `label` is normal or defect, `defect_type` '' for normal, `mask` '' where there is none, `source_split` train,
    test or ''. `reference` is the picture that the part is compared with and `design` the name of its layout, '' where
    the source gives none.
    """

    path: str
    label: str
    defect_type: str
    part_id: str
    mask: str
    source_split: str
    reference: str = ""
    design: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of the image, its mask and its reference, where there are such."""
        return tuple(filter(None, (self.path, self.mask, self.reference)))


COLUMNS = tuple(field.name for field in fields(Entry))
ADDED = ("reference", "design")  # columns of an index in which an image has one of the two, and of no other
values = attrgetter(*COLUMNS)  # of an entry, in their order


def read_index(folder: Path) -> list[Entry]:
    """Return the entries of a raw folder, in the file's order.

    Raises ZeromissError when the index is missing or has other columns.
    """
    path = folder / INDEX
    try:
        reader = csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ZeromissError(f"{path} is missing: ingest the product's images, or fetch them with dvc pull") from None
    columns = tuple(next(reader, ()))
    if columns not in (COLUMNS, COLUMNS[: -len(ADDED)]):
        raise ZeromissError(f"{path} must have the columns {', '.join(COLUMNS)}: ingest into an empty folder")
    entries = []
    for row in filter(None, reader):
        if len(row) != len(columns):
            raise ZeromissError(f"{path}, line {reader.line_num}: expected {len(columns)} values: mend the line")
        entries.append(Entry(**dict(zip(columns, row, strict=True))))
    return entries


def index_text(entries: list[Entry]) -> str:
    """Return the index as text, sorted by path: the same entries give the same bytes."""
    handle = io.StringIO()
    columns = COLUMNS if any(entry.reference or entry.design for entry in entries) else COLUMNS[: -len(ADDED)]
    writer = csv.writer(handle, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(values(entry)[: len(columns)] for entry in sorted(entries, key=values))
    return handle.getvalue()
