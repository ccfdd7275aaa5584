"""Whether an ingest would find anything new, told from signatures alone: no file is opened, no list is read."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeromiss.images import known as memory
from zeromiss.images.digests import signature
from zeromiss.images.known import Known, settled
from zeromiss.images.sources.record import Listing
from zeromiss.images.words import counted
from zeromiss.params import Product
from zeromiss.workspace import Workspace

_NOTE = "last ingest"


@dataclass(frozen=True, kw_only=True)
class IngestReport:
    """What an ingest did: images added, images already there, what the folder now holds, and notes for the user."""

    folder: Path
    added: int
    known: int
    normals: int
    defects: int
    incoming: int
    notes: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Return whether the raw folder is another than before."""
        return self.added > 0

    def lines(self) -> list[str]:
        """Return the report as sentences."""
        total = f"{self.normals} normal and {self.defects} defective"
        return [f"{counted(self.added, 'image')} added, {self.known} already there: {total} in {self.folder}", *self.notes]


def unchanged(product: Product, workspace: Workspace, folder: Path | None) -> IngestReport | None:
    """Return the report of an ingest that would change nothing; None when that takes a closer look.

    It would change nothing when the same was asked for last time, and since then neither the source's lists, folders
    and images nor any file of the raw folder changed, came or went, and no image is gone from the incoming folder.
    """
    known = memory.load(workspace, product.name, digests=False)
    note = known.notes.get(_NOTE)
    raw, incoming = workspace.raw(product.name), workspace.incoming(product.name)
    if note is None or note["request"] != asked(product, folder):
        return None
    if not all(_has(path, noted) for path, noted in note["read"].items()):
        return None
    if not all((incoming / name).is_file() for name in note["incoming"]):
        return None
    if files_below(raw) != note["files"] or not memory.all_unchanged(known.file):
        return None
    counts = {name: note[name] for name in ("known", "normals", "defects")}
    return IngestReport(folder=raw, added=0, incoming=len(note["incoming"]), notes=tuple(note["notes"]), **counts)


def remember(known: Known, report: IngestReport, listing: Listing, request: dict[str, Any], *, started: int) -> None:
    """Keep digests, and what a later `unchanged` asks for: only where every signature can be relied on.

    `started` is a time in ns before the source was listed: what changed after it may have been listed otherwise.
    """
    sources = [str(record.file) for record in listing.records]
    inside = [path for path in known.digests if path.startswith(f"{report.folder}{os.sep}")]
    known.forget_all_but([*inside, *sources])
    masks = {file for record in listing.records for file in record.files if file != record.file}  # and references
    read = {str(path): signature(os.stat(path)) for path in (*listing.read, *masks, *(file for file, _ in listing.incoming))}
    files = files_below(report.folder)
    reliable = (
        bool(listing.read)
        and all(settled(found, started) for found in read.values())
        and all(path in known.digests for path in sources)
        and len(inside) == files
    )
    note = {
        "request": request,
        "read": read,
        "incoming": [name for _, name in listing.incoming],
        "files": files,
        "known": report.added + report.known,
        "normals": report.normals,
        "defects": report.defects,
        "notes": report.notes,
    }
    known.remark(_NOTE, json.loads(json.dumps(note)) if reliable else None)
    known.save()


def asked(product: Product, folder: Path | None) -> dict[str, Any]:
    """Return what decides which source an ingest reads, and how."""
    return {"source": product.source.model_dump(mode="json"), "seed": product.seed, "folder": str(folder or "")}


def files_below(folder: Path) -> int:
    """Return how many files a folder and its folders hold."""
    return sum(len(files) for _, _, files in os.walk(folder))


def _has(path: str, noted: list[int]) -> bool:
    """Return whether a file or folder still has its signature."""
    try:
        return list(signature(os.stat(path))) == noted
    except OSError:
        return False
