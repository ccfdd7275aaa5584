"""Ingest: a source's images become a product's raw folder, whole or not at all.

Everything is built in a staging folder beside the raw folder and swapped in by renaming. Image bytes are copied
unchanged; whether an image can be judged is for the manifest's checks to say.
"""

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path, sha256_file
from zeromiss.images.raw import INDEX, Entry, index_text, read_index
from zeromiss.images.sources.listing import drawing_recipe, list_source
from zeromiss.images.sources.record import Listing, Record
from zeromiss.images.staging import Staging, locked
from zeromiss.params import Product
from zeromiss.workspace import Workspace

RECIPE = "drawn.json"  # of a raw folder whose images were drawn: by which parameters
_SPARE = 64 << 20  # bytes that must stay free


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
        return [f"{self.added} images added, {self.known} already there: {total} in {self.folder}", *self.notes]


def ingest(product: Product, workspace: Workspace, folder: Path | None = None) -> IngestReport:
    """Bring the images of the product's source (or of `folder`) into its raw folder.

    Images are told apart by content: new ones are added, known ones counted, none is ever deleted or changed. The
    same source gives the same bytes and the same index on every machine; nothing is written when nothing is new.
    Images that nobody has judged go to the product's incoming folder. Drawn boards are not drawn again while the raw
    folder was made from the same parameters; to have them drawn anew, delete it.

    Raises ZeromissError for what the source refuses, for content that is known under another label, for a raw
    folder that lacks files of its index, and for a full disk; the raw folder is then as before.
    """
    raw = workspace.raw(product.name)
    raw.parent.mkdir(parents=True, exist_ok=True)
    with locked(raw.parent), tempfile.TemporaryDirectory(prefix="zeromiss-") as scratch:
        staging = Staging(raw)
        staging.recover()
        old = _existing(raw)
        recipe = drawing_recipe(product) if folder is None else None
        if recipe is not None and _is_drawn(recipe, raw, workspace.incoming(product.name), product.source.incoming):
            listing = Listing(records=[], notes=[f"the boards in {raw} were drawn with the same parameters before"])
        else:
            listing = list_source(product, root=workspace.root, folder=folder, scratch=Path(scratch))
        new = _unknown(listing.records, raw, old)
        if new:
            _refuse_full_disk(raw.parent, [file for record, _ in new for file in (record.file, record.mask) if file])
            _build(staging, raw, [entry for entry, _ in old], new, recipe)
        incoming = _put_incoming(workspace.incoming(product.name), listing.incoming)
    entries = read_index(raw)
    return IngestReport(
        folder=raw,
        added=len(new),
        known=len(listing.records) - len(new) if listing.records else len(old),
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


def _existing(raw: Path) -> list[tuple[Entry, str]]:
    """Return what the raw folder holds, each image with the SHA-256 of its bytes."""
    if not raw.exists() or not any(raw.iterdir()):
        return []
    entries = read_index(raw)
    for entry in entries:
        for name in filter(None, (entry.path, entry.mask)):
            if not (raw / name).is_file():
                raise ZeromissError(f"{raw / name} is missing but its index names it: restore it with dvc checkout")
    return list(zip(entries, _hashes([raw / entry.path for entry in entries], "known"), strict=True))


def _unknown(records: list[Record], raw: Path, old: list[tuple[Entry, str]]) -> list[tuple[Record, str]]:
    """Return the records whose content is new, with its hash; of equal content in the source the first stands."""
    labels = {digest: (entry.label, raw / entry.path) for entry, digest in old}
    new = []
    for record, digest in zip(records, _hashes([record.file for record in records], "source"), strict=True):
        if digest not in labels:
            labels[digest] = (record.label, record.file)
            new.append((record, digest))
        elif labels[digest][0] != record.label:
            label, file = labels[digest]
            raise ZeromissError(
                f"{record.file} is labelled {record.label} but has the same content as {file}, which is labelled "
                f"{label}: correct one of the labels"
            )
    return new


def _hashes(files: list[Path], what: str) -> list[str]:
    """Return the SHA-256 of each file, several at a time."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(tqdm(pool.map(sha256_file, files), total=len(files), desc=f"hash {what} images", unit="file"))


def _refuse_full_disk(folder: Path, files: list[Path]) -> None:
    """Raise ZeromissError unless the disk has room for the new files and DVC's copy of them."""
    needed = 2 * sum(file.stat().st_size for file in files) + _SPARE
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ZeromissError(
            f"the disk of {folder} has {free >> 20} MiB free and this ingest needs {-(-needed >> 20)} MiB "
            "(the images, and the copy that DVC keeps): make room, nothing was changed"
        )


def _build(
    staging: Staging, raw: Path, old: list[Entry], new: list[tuple[Record, str]], recipe: str | None
) -> None:
    """Put old and new files and the index into the staging folder, then swap it in."""
    with staging:
        for entry in old:
            for name in filter(None, (entry.path, entry.mask)):
                staging.link(raw / name, name)
        taken = {_stem(entry.path) for entry in old}
        added = []
        for record, digest in tqdm(new, desc="copy images", unit="file"):
            entry = _entry(record, digest, taken)
            taken.add(_stem(entry.path))
            staging.copy(record.file, entry.path)
            if record.mask is not None:
                staging.copy(record.mask, entry.mask)
            added.append(entry)
        staging.write(INDEX, index_text(old + added))
        if recipe is not None:
            staging.write(RECIPE, recipe)
        elif (raw / RECIPE).is_file():
            staging.link(raw / RECIPE, RECIPE)
        staging.swap()


def _stem(path: str) -> str:
    """Return a path without its ending: an image's mask and part are named after it."""
    return str(PurePosixPath(path).with_suffix(""))


def _entry(record: Record, digest: str, taken: set[str]) -> Entry:
    """Name a new image: as the source suggests, with its hash behind where another image has that name."""
    name = PurePosixPath(record.name)
    if _stem(f"images/{name}") in taken:
        name = name.with_name(f"{name.stem}-{digest[:8]}{name.suffix}")
    mask = f"masks/{_stem(str(name))}_mask{record.mask.suffix.lower()}" if record.mask else ""
    return Entry(
        path=f"images/{name}",
        label=record.label,
        defect_type=record.defect_type,
        part_id=record.part_id or _stem(str(name)),
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
