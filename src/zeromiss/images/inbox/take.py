"""Taking in what an inbox holds: complete images join the raw folder, others wait, are left or go to quarantine.

Nothing in the inbox changes. A run that is killed, or stopped by a full disk, leaves the raw folder as it was or whole.
"""

import errno
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from zeromiss.errors import ZeromissError
from zeromiss.images import known as digests
from zeromiss.images.inbox import pending, quarantine
from zeromiss.images.inbox.look import Seen, look, remembered
from zeromiss.images.inbox.place import Found, Place, open_place
from zeromiss.images.inbox.survey import Image, Survey, survey
from zeromiss.images.ingest import append, existing
from zeromiss.images.known import Known
from zeromiss.images.raw import Entry
from zeromiss.images.sources.record import Record
from zeromiss.images.staging import Staging, locked
from zeromiss.images.words import counted
from zeromiss.params import Product
from zeromiss.workspace import Workspace

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What became of an inbox's files: how many were added, were there, wait, were left without a label, were refused before."""

    added: int
    there: int
    waiting: int
    unlabelled: int
    held: int
    refused: tuple[quarantine.Row, ...]
    normals: int
    defects: int
    folders: tuple[str, str]  # raw, quarantine

    def lines(self) -> list[str]:
        """Return it as sentences."""
        total = f"{self.normals} normal and {self.defects} defective in {self.folders[0]}"
        lines = [f"{counted(self.added, 'image')} added, {self.there} already there: {total}"]
        if self.waiting:
            lines.append(f"{counted(self.waiting, 'file')} not complete yet: left for the next ingest")
        lines += [f"in quarantine: {row.name} {row.reason}" for row in self.refused]
        if self.refused or self.held:
            lines.append(f"{counted(len(self.refused) + self.held, 'file')} in quarantine: see {self.folders[1]}/{quarantine.TABLE}")
        if self.unlabelled:
            lines.append(
                f"{counted(self.unlabelled, 'file')} without a label left in the inbox: nothing learns from them; "
                "zeromiss inspect judges them, and good/ or a folder named after the defect gives them a label"
            )
        return lines


def take(product: Product, workspace: Workspace, address: str) -> Taken:
    """Bring complete images of the inbox at `address` into the product's raw folder.

    Raises ZeromissError for an inbox that cannot be read, a full disk, and a raw folder that lacks files of its index.
    """
    place, name = open_place(address), product.name
    found = survey(place.files(), now=time.time(), settle_seconds=product.ingest.settle_seconds)
    _refuse_unsplit(product, found)
    raw, landing = workspace.raw(name), workspace.landing(name)
    raw.parent.mkdir(parents=True, exist_ok=True)
    with locked(raw.parent) as lock, _room(workspace):
        staging = Staging(raw)
        staging.recover()
        known, memory = digests.load(workspace, name), digests.load(workspace, f"{name}.inbox")
        old = existing(raw, known)
        rows = quarantine.read(workspace.quarantine(name))
        todo, strange, there, held = _unseen(place, found, memory, {sha256: entry.label for entry, sha256 in old}, rows)
        seen, busy = look(place, todo, strange, memory, landing=landing, params=product.manifest)
        new, again, wrong = _judged(seen, old)
        wrong = [one for one in wrong if (one.sha256, one.found.name) not in {(row.sha256, row.name) for row in rows}]
        refused = quarantine.add(workspace.quarantine(name), ((one.file, one.found.name, one.sha256, one.problem) for one in wrong), inbox=address)
        if new or refused:
            pending.load(workspace, name).with_more(address, {one.sha256: one.image.kind or "good" for one in new if one.image}, refused)
        if new:
            append(staging, [entry for entry, _ in old], [(_record(one), one.sha256) for one in new], known, lock=lock)
        known.save()
        memory.save()
        shutil.rmtree(landing, ignore_errors=True)
    labels = [entry.label for entry, _ in old] + [one.image.label for one in new if one.image]
    return Taken(
        added=len(new), there=there + again, waiting=len(found.waiting) + len(busy), unlabelled=len(found.unlabelled),
        held=held + len(seen) - len(new) - again - len(refused), refused=tuple(refused),
        normals=labels.count("normal"), defects=labels.count("defect"), folders=(str(raw), str(workspace.quarantine(name))),
    )  # fmt: skip


def _unseen(
    place: Place, found: Survey, memory: Known, labels: dict[str, str], rows: Sequence[quarantine.Row]
) -> tuple[list[Image], list[tuple[Found, str]], int, int]:
    """Return what has to be read, and how many need not: those that are raw images already, and those in quarantine."""
    refused = {(row.sha256, row.name) for row in rows}
    images, strange, there, held = [], [], 0, 0
    for image in found.images:
        sha256 = remembered(place, image.found, memory)
        if sha256 and labels.get(sha256) == image.label:
            there += 1
        elif (sha256, image.found.name) in refused:
            held += 1
        else:
            images.append(image)
    for one, reason in found.strange:
        if (remembered(place, one, memory), one.name) in refused:
            held += 1
        else:
            strange.append((one, reason))
    return images, strange, there, held


def _judged(seen: Sequence[Seen], old: Sequence[tuple[Entry, str]]) -> tuple[list[Seen], int, list[Seen]]:
    """Return new images, how many repeat others of the same label, and what cannot be taken.

    The same content under two labels cannot: all of its files in the inbox are refused until a person mends that.
    """
    labels = {sha256: {entry.label} for entry, sha256 in old}
    raw = {sha256: entry.path for entry, sha256 in old}
    for one in seen:
        if one.image is not None and not one.problem:
            labels.setdefault(one.sha256, set()).add(one.image.label)
    new, again, wrong = dict[str, Seen](), 0, list[Seen]()
    for one in seen:
        if one.image is None or one.problem:
            wrong.append(one)
        elif len(labels[one.sha256]) > 1:
            other = f"the raw image {raw[one.sha256]}" if one.sha256 in raw else "another file of the inbox"
            wrong.append(one._replace(problem=f"has the same content as {other} under another label: correct one of the labels"))
        elif one.sha256 in raw or one.sha256 in new:
            again += 1
        else:
            new[one.sha256] = one
    return list(new.values()), again, wrong


def _record(one: Seen) -> Record:
    """Describe an image as a source does."""
    image = one.image
    assert image is not None
    return Record(file=one.file, label=image.label, defect_type=image.kind, part_id="", mask=one.mask, source_split=image.split, name=image.name)


def _refuse_unsplit(product: Product, found: Survey) -> None:
    """Raise ZeromissError when the product keeps its source's split and the inbox tells none."""
    stray = next((image.found.name for image in found.images if not image.split), None)
    if product.manifest.split == "official" and stray is not None:
        raise ZeromissError(f"{stray} lies in no train/ or test/ of the inbox, which manifest.split official needs: sort the inbox by them")


@contextmanager
def _room(workspace: Workspace) -> Iterator[None]:
    """Say in one sentence that the disk filled up meanwhile."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        if not isinstance(error, sqlite3.Error) and error.errno not in _FULL:
            raise
        raise ZeromissError(f"the disk of {workspace.root} filled up ({error}): make room and ingest again, no image is lost") from None
