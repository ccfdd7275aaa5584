"""Taking in what an inbox holds: complete images join the raw folder, others wait, are left or go to quarantine.

Nothing in the inbox changes. A run that is killed, or stopped by a full disk, leaves the raw folder as it was or whole.
"""

import errno
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from zeromiss.errors import ZeromissError
from zeromiss.files import printable
from zeromiss.images import known as digests
from zeromiss.images.inbox import pending, quarantine
from zeromiss.images.inbox.look import Seen, look, remembered
from zeromiss.images.inbox.place import Found, Place, open_place
from zeromiss.images.inbox.survey import Image, Survey, mask_of, survey
from zeromiss.images.ingest import append, existing
from zeromiss.images.known import Known
from zeromiss.images.raw import Entry
from zeromiss.images.sources.account import UNLABELLED, Account
from zeromiss.images.sources.listing import vocabulary_of
from zeromiss.images.sources.record import Record
from zeromiss.images.staging import Staging, locked, recover
from zeromiss.images.words import counted
from zeromiss.params import Product
from zeromiss.workspace import Workspace

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What became of an inbox's files: how many were added, were there, wait, were left without a label, were refused before.

    `account` says it of all files, `told` are further sentences: about labels, masks and links that a person should look at.
    """

    added: int
    there: int
    waiting: int
    unlabelled: int
    held: int
    refused: tuple[quarantine.Row, ...]
    normals: int
    defects: int
    folders: tuple[str, str]  # raw, quarantine
    account: Account
    told: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return it as sentences."""
        total = f"{self.normals} normal and {self.defects} defective in {self.folders[0]}"
        lines = [f"{counted(self.added, 'image')} added, {self.there} already there: {total}"]
        if self.waiting:
            lines.append(f"{counted(self.waiting, 'file')} not complete yet: left for the next ingest")
        lines += [f"in quarantine: {row.name} {row.reason}" for row in self.refused]
        if self.refused or self.held:
            lines.append(f"{counted(len(self.refused) + self.held, 'file')} in quarantine: see {self.folders[1]}/{quarantine.TABLE}")
        lines += self.told
        if self.unlabelled:
            lines.append(
                f"{counted(self.unlabelled, 'file')} without a label left in the inbox: nothing learns from them; "
                "zeromiss inspect judges them, and good/ or a folder named after the defect gives them a label"
            )
        return [*lines, self.account.sentence()]


@dataclass(kw_only=True)
class _Fate:
    """What becomes of the images that are complete: to be read, there already, in quarantine; and of those that were read."""

    todo: list[Image] = field(default_factory=list)
    strange: list[tuple[Found, str]] = field(default_factory=list)
    there: list[Image] = field(default_factory=list)
    held: int = 0
    new: list[Seen] = field(default_factory=list)
    masked: list[Seen] = field(default_factory=list)  # there already, and their mask comes now
    wrong: list[Seen] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)  # sentences about one content under two kinds of defect


def take(product: Product, workspace: Workspace, address: str) -> Taken:
    """Bring complete images of the inbox at `address` into the product's raw folder.

    A mask that comes after its image joins it there. Raises ZeromissError for an inbox that cannot be read, a full disk, and a raw
    folder that lacks files of its index.
    """
    place, name = open_place(address), product.name
    found = survey_for(product, place)
    _refuse_unsplit(product, found)
    raw, landing = workspace.raw(name), workspace.landing(name)
    raw.parent.mkdir(parents=True, exist_ok=True)
    with locked(raw.parent) as lock, _room(workspace):
        staging = Staging(raw)
        recover(raw.parent)
        known, memory = digests.load(workspace, name), digests.load(workspace, f"{name}.inbox")
        old = existing(raw, known)
        rows = quarantine.read(workspace.quarantine(name))
        fate = _unseen(place, found, memory, {sha256: entry for entry, sha256 in old}, rows)
        seen, busy = look(place, fate.todo, fate.strange, memory, landing=landing, params=product.manifest)
        _judge(fate, seen, old)
        before = {(row.sha256, row.name) for row in rows}
        wrong = [one for one in fate.wrong if (one.sha256, printable(one.found.name)) not in before]
        refused = quarantine.add(workspace.quarantine(name), ((one.file, one.found.name, one.sha256, one.problem) for one in wrong), inbox=address)
        if fate.new or refused:
            pending.load(workspace, name).with_more(address, {one.sha256: one.image.kind or "good" for one in fate.new if one.image}, refused)
        if fate.new or fate.masked:
            masks = {one.sha256: one.mask for one in fate.masked if one.mask}
            append(staging, [entry for entry, _ in old], [(_record(one), one.sha256) for one in fate.new], known, lock=lock, masks=_named(masks, old))
        known.save()
        memory.save()
        shutil.rmtree(landing, ignore_errors=True)
    labels = [entry.label for entry, _ in old] + [one.image.label for one in fate.new if one.image]
    return Taken(
        added=len(fate.new), there=len(fate.there), waiting=len(found.waiting) + len(busy), unlabelled=len(found.unlabelled),
        held=fate.held + len(fate.wrong) - len(refused), refused=tuple(refused),
        normals=labels.count("normal"), defects=labels.count("defect"), folders=(str(raw), str(workspace.quarantine(name))),
        account=_account(place, found, fate, busy), told=tuple(_told(product, place, found, fate)),
    )  # fmt: skip


def survey_for(product: Product, place: Place) -> Survey:
    """Sort the files of a product's inbox as its parameters say."""
    params = product.ingest
    return survey(
        place.files(), now=time.time(), settle_seconds=params.settle_seconds, mask_wait_seconds=params.mask_wait_seconds, vocabulary=vocabulary_of(product)
    )


def _unseen(place: Place, found: Survey, memory: Known, old: dict[str, Entry], rows: Sequence[quarantine.Row]) -> _Fate:
    """Sort out what need not be read: what is a raw image already, with its mask, and what is in quarantine."""
    refused, fate = {(row.sha256, row.name) for row in rows}, _Fate()
    for image in found.images:
        sha256 = remembered(place, image.found, memory)
        entry = old.get(sha256) if sha256 else None
        if entry is not None and (entry.label, entry.defect_type) == (image.label, image.kind) and (entry.mask or image.mask is None):
            fate.there.append(image)
        elif (sha256, printable(image.found.name)) in refused:
            fate.held += 1
        else:
            fate.todo.append(image)
    for one, reason in found.strange:
        if (remembered(place, one, memory), printable(one.name)) in refused:
            fate.held += 1
        else:
            fate.strange.append((one, reason))
    return fate


def _judge(fate: _Fate, seen: Sequence[Seen], old: Sequence[tuple[Entry, str]]) -> None:
    """Sort what was read: new images, those that repeat others of the same label, masks that come late, and what cannot be taken.

    The same content under two labels cannot: all of its files in the inbox are refused until a person mends that. Of two kinds of
    defect the first stays.
    """
    labels = {sha256: {entry.label} for entry, sha256 in old}
    raw = {sha256: entry for entry, sha256 in old}
    for one in seen:
        if one.image is not None and not one.problem:
            labels.setdefault(one.sha256, set()).add(one.image.label)
    new, masked = dict[str, Seen](), dict[str, Seen]()
    for one in seen:
        if one.image is None or one.problem:
            fate.wrong.append(one)
            continue
        entry, twin = raw.get(one.sha256), new.get(one.sha256)
        if len(labels[one.sha256]) > 1:
            other = f"the raw image {entry.path}" if entry else "another file of the inbox"
            fate.wrong.append(one._replace(problem=f"has the same content as {other} under another label: correct one of the labels"))
            continue
        if entry is None and twin is None:
            new[one.sha256] = one
            continue
        fate.there.append(one.image)
        first, kind = (entry.path, entry.defect_type) if entry else (twin.found.name, twin.image.kind) if twin and twin.image else ("", "")
        if kind != one.image.kind:
            fate.kinds.append(f"{one.found.name} ({one.image.kind}) has the same content as {first}, which stays {kind}")
        if entry is not None and not entry.mask and one.mask is not None:
            masked.setdefault(one.sha256, one)
    fate.new, fate.masked = list(new.values()), list(masked.values())


def _named(masks: Mapping[str, Path], old: Sequence[tuple[Entry, str]]) -> dict[str, Path]:
    """Return the masks that join raw images, given by the images' SHA-256, by the paths of those images."""
    return {entry.path: masks[sha256] for entry, sha256 in old if sha256 in masks}


def _account(place: Place, found: Survey, fate: _Fate, busy: Sequence[Found]) -> Account:
    """Say what became of every file of the inbox."""
    taken = [*fate.there, *(one.image for one in fate.new if one.image)]
    return Account(
        place=place.address,
        images=Counter(image.kind for image in taken),
        masks=len({image.mask for image in found.images if image.mask}),
        waiting=len(found.waiting) + len(found.maskless) + len(busy),
        ignored=found.ignored + Counter({UNLABELLED: len(found.unlabelled)}),
        refused={"in quarantine": fate.held + len(fate.wrong), "whose label is asked about": sum(map(len, found.asked.values())), "links or no plain files": len(place.others)},
    )


def _told(product: Product, place: Place, found: Survey, fate: _Fate) -> Iterator[str]:
    """Yield what a person should look at: labels that are asked about, masks, kinds, and links."""
    for sentence, files in found.asked.items():
        yield f"{sentence} ({counted(len(files), 'file')} left in the inbox)"
    if found.maskless:
        first, hours = found.maskless[0].name, product.ingest.mask_wait_seconds / 3600
        yield (
            f"{counted(len(found.maskless), 'defect')} without a mask, {first} first: add {mask_of(first)}; {hours:g} hours after its last change "
            "(ingest.mask_wait_seconds) an image is taken without one"
        )
    late = {one.name for one in found.late} & {one.found.name for one in fate.new}
    if late:
        yield f"{counted(len(late), 'defect')} taken without a mask, {min(late)} first: {mask_of(min(late))} did not come in time, and joins it when it does"
    if fate.masked:
        yield f"{counted(len(fate.masked), 'mask')} joined to images that were taken before, {fate.masked[0].found.name} first"
    doubts = [f"{one.found.name} {one.doubt}" for one in (*fate.new, *fate.masked) if one.doubt]
    if doubts:
        yield f"{counted(len(doubts), 'mask')} to look at: {doubts[0]}"
    if fate.kinds:
        yield f"{counted(len(fate.kinds), 'image')} under two kinds of defect: {fate.kinds[0]}"
    if place.others:
        yield f"{counted(len(place.others), 'link or special file', 'links or special files')} left in the inbox, {place.others[0]} first: put the file itself there"


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
