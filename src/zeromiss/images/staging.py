"""A folder that replaces another or takes a free name in one step, and survives being killed at any moment."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from zeromiss.images.digests import Digest, digest_for_dvc, flush
from zeromiss.images.workers import work

_SUFFIX = ".staging"
_OLD = "old"
_LOCK = "lock"  # a file and not the folder itself: NFS locks what can be opened for writing


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold `folder` for this process; another that asks for it waits. The lock ends with the process.

    Yields the lock's descriptor: a worker that keeps it open holds the lock until it ends itself.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


class Staging:
    """A folder in which the next state of `target` is built; used as a context, it leaves nothing behind.

    It lies beside `target` as `.<random>.staging` and holds `new`, which is built, and during a swap `old`. A lock in
    it is held until the context ends: any number of processes may build the same target, and each cleans up only
    what nobody holds any more.
    """

    def __init__(self, target: Path) -> None:
        """Name the target; nothing is made before the context is entered."""
        self.target = target
        self._made: set[str] = set()  # folders below `folder`
        self._written: list[str] = []  # files in it that may not be on the disk yet

    def __enter__(self) -> Self:
        """Make the empty folder, once leftovers of killed processes are cleaned up."""
        self.target.parent.mkdir(parents=True, exist_ok=True)
        recover(self.target.parent)
        self._around, self._lock = _hold_new(self.target.parent)
        self.folder = self._around / "new"
        self.folder.mkdir()
        self._made.clear()
        self._written.clear()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what was not swapped in; a target that was moved aside and has no successor comes back."""
        _clean(self._around)
        os.close(self._lock)

    def link(self, source: Path, name: str) -> None:
        """Take over an existing file without copying it, or by a copy where the disk knows no hard links."""
        place = self._place(name)
        try:
            os.link(source, place, follow_symlinks=False)
        except OSError:
            self.copy(source, name)

    def copy(self, source: Path, name: str) -> None:
        """Copy a file's bytes; the source is only read."""
        place = self._place(name)
        shutil.copyfile(source, place)
        self._written.append(str(place))

    def copy_all(self, jobs: list[tuple[str, str, str]], *, keep: tuple[int, ...] = ()) -> list[Digest]:
        """Copy many files, each a source, its name here, and the SHA-256 it must have ('' : any).

        Returns the copies' digests. Workers leave the descriptors in `keep` and the lock open. Raises ZeromissError for a source
        that changed.
        """
        placed = [(source, str(self._place(name)), sha256) for source, name, sha256 in jobs]
        self._written += [place for _, place, _ in placed]
        return work("zeromiss.images.digests:copy", placed, title="copy images", unit="file", keep=(*keep, self._lock))

    def write(self, name: str, text: str) -> Digest:
        """Write a text file and return its digest."""
        place = self._place(name)
        place.write_text(text, encoding="utf-8", newline="")
        self._written.append(str(place))
        return digest_for_dvc([str(place)])[0]

    def swap(self) -> Path:
        """Put the folder in the target's place, once all in it is on the disk, and return it; of two at once the later one stays."""
        flush(self._written)
        while not _move(self.folder, self.target):
            _drop(self._around)  # what was moved aside before: another process has put its own in that place
            aside = self._around / _OLD / self.target.name
            aside.parent.mkdir()
            with suppress(FileNotFoundError):  # another process is between these two steps
                self.target.rename(aside)
        flush_folder(self.target.parent)
        return self.target

    def claim(self) -> Path:
        """Give the folder the target's name, or with -2, -3, ... behind it the first that is free; return its path.

        The name is taken in one step: no two processes get the same, and nothing is ever replaced.
        """
        flush(self._written)
        target, number = self.target, 1
        while not _move(self.folder, target):
            number += 1
            target = self.target.with_name(f"{self.target.name}-{number}")
        flush_folder(target.parent)
        return target

    def _place(self, name: str) -> Path:
        place = self.folder / name
        folder = os.path.dirname(place)
        if folder not in self._made:
            os.makedirs(folder, exist_ok=True)
            self._made.add(folder)
        return place


def recover(parent: Path) -> None:
    """Clean up in a folder after killed processes: what they moved aside comes back, what they built goes.

    A staging folder that a living process holds is left alone.
    """
    for around in parent.glob(f".*{_SUFFIX}"):
        try:
            lock = os.open(around / _LOCK, os.O_RDWR | os.O_CREAT)
        except (FileNotFoundError, NotADirectoryError, PermissionError):  # gone meanwhile, or somebody else's
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _clean(around)
        except BlockingIOError:
            continue
        finally:
            os.close(lock)


def flush_folder(folder: Path) -> None:
    """Return when the names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _hold_new(parent: Path) -> tuple[Path, int]:
    """Make a staging folder under a name of its own; return it and the descriptor of its lock, which is held."""
    while True:
        around = parent / f".{uuid4().hex[:12]}{_SUFFIX}"
        around.mkdir()
        try:
            lock = os.open(around / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # another process took it for a leftover before it was locked
            continue
        fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(around / _LOCK), os.fstat(lock)):
                return around, lock
        os.close(lock)


def _clean(around: Path) -> None:
    """Bring back what was moved aside and has no successor, then remove a staging folder whose lock this process holds."""
    for aside in (around / _OLD).glob("*"):
        _move(aside, around.parent / aside.name)
    _drop(around)
    for folder in around.glob("*/"):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(around, ignore_errors=True)  # with the lock, which comes last


def _drop(around: Path) -> None:
    """Take its name from what was moved aside, in one step: half of it must never come back."""
    with suppress(FileNotFoundError):
        (around / _OLD).rename(around / f"dropped-{uuid4().hex[:12]}")


def _move(folder: Path, target: Path) -> bool:
    """Rename a folder in one step; return False where something has that name, which then stays as it is."""
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            return False
        raise
    return True
