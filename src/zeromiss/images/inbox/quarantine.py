"""Images that cannot be taken: a copy of each, and a row that says which, why and when.

The inbox keeps the file itself. To have one looked at again, delete its row.
"""

import csv
import io
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path, sha256_file

TABLE = "quarantine.csv"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One refusal: the file's name below its inbox, its SHA-256, why, when (UTC), the inbox, and the copy's name."""

    name: str
    sha256: str
    reason: str
    time: str
    inbox: str
    copy: str


COLUMNS = tuple(field.name for field in fields(Row))


def read(folder: Path) -> list[Row]:
    """Return the rows of a quarantine, none where there is no table.

    Raises ZeromissError for a table with other columns.
    """
    path = folder / TABLE
    if not path.is_file():
        return []
    reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise ZeromissError(f"{path} must have the columns {', '.join(COLUMNS)}: move it away")
    return [Row(**row) for row in reader]


def add(folder: Path, refused: Iterable[tuple[Path, str, str, str]], *, inbox: str) -> list[Row]:
    """Copy files into a quarantine, then write their rows; each is a file, its name in the inbox, SHA-256 and reason.

    A file that changed since it was hashed is left out: it is another file by now. Returns the new rows.
    """
    rows, now = [], datetime.now(UTC).isoformat(timespec="seconds")
    for file, name, sha256, reason in refused:
        copy = f"{sha256[:16]}_{PurePosixPath(name).name}"
        if _keep(file, folder / copy, sha256):
            rows.append(Row(name=name, sha256=sha256, reason=reason, time=now, inbox=inbox, copy=copy))
    if rows:
        with atomic_path(folder / TABLE) as temporary:
            temporary.write_text(_text([*read(folder), *rows]), encoding="utf-8", newline="")
    return rows


def _keep(file: Path, copy: Path, sha256: str) -> bool:
    """Copy a file whole; return whether the copy has the hash."""
    if copy.is_file() and sha256_file(copy) == sha256:
        return True
    with atomic_path(copy) as temporary:
        shutil.copyfile(file, temporary)
    if sha256_file(copy) == sha256:
        return True
    os.unlink(copy)
    return False


def _text(rows: Iterable[Row]) -> str:
    """Return the table."""
    handle = io.StringIO()
    writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return handle.getvalue()
