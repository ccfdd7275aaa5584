"""Ingest: a source's images become a product's raw folder, whole or not at all.

Everything is built in a staging folder beside the raw folder and swapped in by renaming. Image bytes are copied
unchanged; whether an image can be judged is for the manifest's checks to say. Files that are known by their
signatures are not read again.
"""

import os
import posixpath
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path, refuse_full_disk
from zeromiss.images import known as memory
from zeromiss.images.digests import Digest
from zeromiss.images.known import Known
from zeromiss.images.raw import INDEX, Entry, index_text, read_index
from zeromiss.images.references import References, check_references
from zeromiss.images.unchanged import IngestReport, asked, remember, unchanged
from zeromiss.images.sources.listing import drawing_recipe, list_source
from zeromiss.images.sources.record import Listing, Record
from zeromiss.images.staging import Staging, locked
from zeromiss.params import Product
from zeromiss.workspace import Workspace

RECIPE = "drawn.json"  # of a raw folder whose images were drawn: by which parameters


def ingest(product: Product, workspace: Workspace, folder: Path | None = None) -> IngestReport:
    """Bring the images of the product's source (or of `folder`) into its raw folder.

    Images are told apart by content: new ones are added, known ones counted, none is ever deleted or changed. The
    same source gives the same bytes and the same index on every machine; nothing is written when nothing is new.
    Images that nobody has judged go to the product's incoming folder. Drawn boards are not drawn again while the raw
    folder was made from the same parameters; to have them drawn anew, delete it.

    Raises ZeromissError for what the source refuses, for content that is known under another label, with another reference
    or design, for references and designs that only some images have or that are images of the set, for a raw
    folder that lacks files of its index, and for a full disk; the raw folder is then as before.
    """
    raw = workspace.raw(product.name)
    raw.parent.mkdir(parents=True, exist_ok=True)
    with locked(raw.parent) as lock, tempfile.TemporaryDirectory(prefix="zeromiss-") as scratch:
        staging = Staging(raw)
        staging.recover()
        if same := unchanged(product, workspace, folder):
            return same
        started, known = time.time_ns(), memory.load(workspace, product.name)
        old = existing(raw, known)
        recipe = drawing_recipe(product) if folder is None else None
        if recipe is not None and _is_drawn(recipe, raw, workspace.incoming(product.name), product.source.incoming):
            listing = Listing(records=[], notes=[f"the boards in {raw} were drawn with the same parameters before"])
        else:
            listing = list_source(product, root=workspace.root, folder=folder, scratch=Path(scratch))
        new = _unknown(listing.records, raw, old, known)
        check_references(product, listing.records, raw, old, known)
        if new:
            append(staging, [entry for entry, _ in old], new, known, recipe=recipe, lock=lock)
        incoming = _put_incoming(workspace.incoming(product.name), listing.incoming)
        report = _report(raw, listing, added=len(new), before=len(old), incoming=incoming)
        remember(known, report, listing, asked(product, folder), started=started)
    return report


def append(
    staging: Staging, old: list[Entry], new: list[tuple[Record, str]], known: Known, *, recipe: str | None = None, lock: int
) -> None:
    """Add records, each with its SHA-256, to the `old` images of the raw folder, and note what is known of all files.

    Raises ZeromissError for a full disk and a source file that changed; the raw folder is then as before.
    """
    raw = staging.target
    copied = sum(os.stat(file).st_size for record, _ in new for file in record.files)
    refuse_full_disk(raw.parent, 2 * copied, act="this ingest (the images, and the copy that DVC keeps)")
    written = _build(staging, old, new, References(raw, old, known), recipe, lock)
    known.renew(str(raw / name) for entry in old for name in entry.files)
    known.note(written)


def _report(raw: Path, listing: Listing, *, added: int, before: int, incoming: int) -> IngestReport:
    """Say what was done, and what the raw folder holds now."""
    entries = read_index(raw)
    return IngestReport(
        folder=raw,
        added=added,
        known=len(listing.records) - added if listing.records else before,
        normals=sum(entry.label == "normal" for entry in entries),
        defects=sum(entry.label == "defect" for entry in entries),
        incoming=incoming,
        notes=tuple(listing.notes),
    )


def _is_drawn(recipe: str, raw: Path, incoming: Path, unjudged: int) -> bool:
    """Return whether the raw folder was drawn by this recipe and its unjudged images are still there."""
    if not (raw / RECIPE).is_file() or (raw / RECIPE).read_text(encoding="utf-8") != recipe:
        return False
    return unjudged == 0 or (incoming.is_dir() and len(list(incoming.iterdir())) >= unjudged)


def existing(raw: Path, known: Known) -> list[tuple[Entry, str]]:
    """Return what the raw folder holds, each image with the SHA-256 of its bytes."""
    if not raw.exists() or not any(raw.iterdir()):
        return []
    entries = read_index(raw)
    for entry in entries:
        for name in entry.files:
            if not os.path.isfile(raw / name):
                raise ZeromissError(f"{raw / name} is missing but its index names it: restore it with dvc checkout")
    digests = known.read([str(raw / entry.path) for entry in entries], title="hash known images", md5=True)
    return [(entry, digest.sha256) for entry, digest in zip(entries, digests, strict=True)]


def _unknown(
    records: list[Record], raw: Path, old: list[tuple[Entry, str]], known: Known
) -> list[tuple[Record, str]]:
    """Return the records whose content is new, with its hash; of equal content in the source the first stands."""
    labels = {digest: (entry.label, raw / entry.path) for entry, digest in old}
    new = []
    for record, digest in zip(records, known.read([str(record.file) for record in records], title="hash source images")):
        sha256 = digest.sha256
        if sha256 not in labels:
            labels[sha256] = (record.label, record.file)
            new.append((record, sha256))
        elif labels[sha256][0] != record.label:
            label, file = labels[sha256]
            raise ZeromissError(
                f"{record.file} is labelled {record.label} but has the same content as {file}, which is labelled "
                f"{label}: correct one of the labels"
            )
    return new


def _build(
    staging: Staging, old: list[Entry], new: list[tuple[Record, str]], references: References, recipe: str | None, lock: int
) -> dict[str, Digest]:
    """Put old and new files and the index into the staging folder, then swap it in; return what was written."""
    raw = staging.target
    with staging:
        for name in dict.fromkeys(name for entry in old for name in entry.files):  # a reference may be that of many images
            staging.link(raw / name, name)
        added, jobs = _named(new, {_stem(entry.path) for entry in old}, references)
        written = dict(zip((name for _, name, _ in jobs), staging.copy_all(jobs, keep=(lock,)), strict=True))
        written[INDEX] = staging.write(INDEX, index_text(old + added))
        if recipe is not None:
            written[RECIPE] = staging.write(RECIPE, recipe)
        elif (raw / RECIPE).is_file():
            staging.link(raw / RECIPE, RECIPE)
        staging.swap()
    return {str(raw / name): digest for name, digest in written.items()}


def _named(new: list[tuple[Record, str]], taken: set[str], references: References) -> tuple[list[Entry], list[tuple[str, str, str]]]:
    """Name new images; return their entries, and what to copy: source, name in the raw folder, expected SHA-256."""
    added, jobs = [], []
    for record, sha256 in new:
        entry = replace(_entry(record, sha256, taken), reference=references.name(record.reference), design=record.design)
        taken.add(_stem(entry.path))
        added.append(entry)
        jobs.append((str(record.file), entry.path, sha256))
        if record.mask is not None:
            jobs.append((str(record.mask), entry.mask, ""))
    return added, jobs + references.jobs


def _stem(path: str) -> str:
    """Return a path without its ending: an image's mask and part are named after it."""
    return posixpath.splitext(path)[0]


def _entry(record: Record, sha256: str, taken: set[str]) -> Entry:
    """Name a new image: as the source suggests, with its hash behind where another image has that name."""
    name = record.name
    if _stem(f"images/{name}") in taken:
        stem, suffix = posixpath.splitext(name)
        name = f"{stem}-{sha256[:8]}{suffix}"
    mask = f"masks/{_stem(name)}_mask{record.mask.suffix.lower()}" if record.mask else ""
    return Entry(
        path=f"images/{name}",
        label=record.label,
        defect_type=record.defect_type,
        part_id=record.part_id or _stem(name),
        mask=mask,
        source_split=record.source_split,
    )


def _put_incoming(folder: Path, files: list[tuple[Path, str]]) -> int:
    """Copy the files that the incoming folder lacks; return how many images the source put there in all."""
    for file, name in files:
        if not (folder / name).exists():
            with atomic_path(folder / name) as temporary:
                shutil.copyfile(file, temporary)
    return len(files)
