"""What comes with an image beside its label: the picture that this part is compared with, and the name of its design.

A reference is a golden sample or a CAD rendering of that very part. A product may hold several designs (layouts), each with
normal images of its own. Raw folders keep references once, however many images share one.
"""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeromiss.errors import ZeromissError

if TYPE_CHECKING:
    from zeromiss.images.known import Known
    from zeromiss.images.raw import Entry
    from zeromiss.images.sources.record import Record
    from zeromiss.params import Product

FOLDER = "references"
NEEDING = "reference"  # the detector that compares an image with its reference


@dataclass(frozen=True, kw_only=True)
class Companion:
    """What comes with an image file: the file of its reference, and the name of its design ('': none)."""

    reference: Path | None = None
    design: str = ""


def companion_of(row: Mapping[str, Any], raw: Path) -> Companion:
    """Return what comes with the image of a row of the manifest, or of an index, whose paths lie below `raw`."""
    reference = row.get("reference") or ""
    return Companion(reference=raw / reference if reference else None, design=row.get("design") or "")


def indexed(path: Path) -> Companion:
    """Return what comes with an image file by the index of the raw folder that it lies in; nothing for one that lies in none."""
    for folder in path.absolute().parents:
        index = folder / "index.csv"
        if index.is_file():
            return _companions(folder, index.stat().st_mtime_ns).get(path.absolute().relative_to(folder).as_posix(), Companion())
    return Companion()


@lru_cache(maxsize=8)
def _companions(raw: Path, _: int) -> dict[str, Companion]:
    """Return what comes with each image of a raw folder, by its path in the index; none where the index is another kind of file."""
    from zeromiss.images.raw import read_index

    try:
        entries = read_index(raw)
    except ZeromissError:
        return {}
    return {entry.path: companion_of({"reference": entry.reference, "design": entry.design}, raw) for entry in entries}


class References:
    """Names references in a raw folder, each content once, and lists what has to be copied there."""

    def __init__(self, raw: Path, old: Sequence["Entry"], known: "Known") -> None:
        """Begin with those that the `old` entries name."""
        self._known = known
        self._names = {digest: name for name, digest in _digests(raw, old, known).items()}
        self.jobs: list[tuple[str, str, str]] = []  # source, name in the raw folder, expected SHA-256

    def name(self, file: Path | None) -> str:
        """Return the name that a reference has, or gets, below the raw folder; '' for None."""
        if file is None:
            return ""
        sha256 = self._known.read([str(file)], title="hash references")[0].sha256
        if sha256 not in self._names:
            name = f"{FOLDER}/{file.stem}{file.suffix.lower()}"
            if name in self._names.values():
                stem, suffix = posixpath.splitext(name)
                name = f"{stem}-{sha256[:8]}{suffix}"
            self._names[sha256] = name
            self.jobs.append((str(file), name, sha256))
        return self._names[sha256]


def check_references(product: "Product", records: Sequence["Record"], raw: Path, old: Sequence[tuple["Entry", str]], known: "Known") -> None:
    """Check references and designs of a source's records beside the `old` images of the raw folder, each with its SHA-256.

    Raises ZeromissError when only some images have a design, or have a reference although a detector needs one of each; when a
    reference is an image of the set; when an image that is known has another reference or design.
    """
    rows = [(record.name, record.reference, record.design) for record in records]
    refuse_gaps([*((entry.path, entry.reference, entry.design) for entry, _ in old), *rows], product)
    if not any(reference or design for _, reference, design in rows):
        return
    named = {str(record.file): record for record in records}
    own = dict(zip(named, (digest.sha256 for digest in known.read(list(named), title="hash source images")), strict=True))
    references = {str(record.reference) for record in records if record.reference}
    ordered = sorted(references)
    content = dict(zip(ordered, (digest.sha256 for digest in known.read(ordered, title="hash references")), strict=True))
    kept = _digests(raw, [entry for entry, _ in old], known)
    images = {sha256: str(raw / entry.path) for entry, sha256 in old} | {sha256: file for file, sha256 in own.items()}
    for file, sha256 in content.items():
        if sha256 in images:
            raise ZeromissError(
                f"the reference {file} is also the image {images[sha256]}: a part compared with itself never differs, so take that image out of "
                "the list or give another reference"
            )
    before = {sha256: (entry, kept.get(entry.reference, "")) for entry, sha256 in old}
    for file, record in named.items():
        entry, reference = before.get(own[file], (None, ""))
        if entry is not None and (entry.design, reference) != (record.design, content.get(str(record.reference), "")):
            raise ZeromissError(
                f"{file} is known as {raw / entry.path} with another reference or design: remove the folder {raw} and ingest all images again"
            )


def refuse_gaps(rows: Sequence[tuple[str, object, str]], product: "Product") -> None:
    """Raise ZeromissError when only some images have a design, or not all a reference where a detector compares with it.

    rows: name, reference and design of each image, empty where there is none.
    """
    without = [name for name, _, design in rows if not design]
    if 0 < len(without) < len(rows):
        raise ZeromissError(f"{without[0]} has no design and other images have one: name the design of every image, or of none")
    lacking = [name for name, reference, _ in rows if not reference]
    if lacking and NEEDING in product.detectors:
        more = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
        raise ZeromissError(
            f"{lacking[0]}{more} has no reference, and the detector {NEEDING} compares every image with its own: give the column reference a path in "
            f"each line of the CSV file, or take {NEEDING} out of products.{product.name}.detectors"
        )


def _digests(raw: Path, entries: Sequence["Entry"], known: "Known") -> dict[str, str]:
    """Return the SHA-256 of each reference that entries name, by name."""
    names = sorted({entry.reference for entry in entries if entry.reference})
    return dict(zip(names, (digest.sha256 for digest in known.read([str(raw / name) for name in names], title="hash references")), strict=True))
