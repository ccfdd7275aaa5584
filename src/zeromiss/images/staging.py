"""A folder that replaces another in one step, and survives being killed at any moment."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from zeromiss.images.digests import Digest, digest_for_dvc, flush
from zeromiss.images.workers import work


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
    """A sibling of `target` in which its next state is built; used as a context, it leaves nothing behind."""

    def __init__(self, target: Path) -> None:
        """Name the staging folder and the place where the old state waits during the swap."""
        self.target = target
        self.folder = target.with_name(f".{target.name}.staging")
        self.old = target.with_name(f".{target.name}.old")
        self._made: set[str] = set()  # folders below the staging folder
        self._written: list[str] = []  # files in it that may not be on the disk yet

    def __enter__(self) -> Self:
        """Make the empty staging folder."""
        self.folder.mkdir(parents=True)
        self._made.clear()
        self._written.clear()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what was not swapped in."""
        self.recover()

    def recover(self) -> None:
        """Clean up after a killed process: bring back an old state whose successor never arrived, drop leftovers."""
        if self.old.exists() and not self.target.exists():
            self.old.rename(self.target)
        for leftover in (self.folder, self.old):
            if leftover.exists():
                shutil.rmtree(leftover)

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

        Returns the copies' digests. Workers leave the descriptors in `keep` open. Raises ZeromissError for a source
        that changed.
        """
        placed = [(source, str(self._place(name)), sha256) for source, name, sha256 in jobs]
        self._written += [place for _, place, _ in placed]
        return work("zeromiss.images.digests:copy", placed, title="copy images", unit="file", keep=keep)

    def write(self, name: str, text: str) -> Digest:
        """Write a text file and return its digest."""
        place = self._place(name)
        place.write_text(text, encoding="utf-8", newline="")
        self._written.append(str(place))
        return digest_for_dvc([str(place)])[0]

    def swap(self) -> None:
        """Put the staging folder in the target's place, once all in it is on the disk."""
        flush(self._written)
        if self.target.exists():
            self.target.rename(self.old)
        self.folder.rename(self.target)
        parent = os.open(self.target.parent, os.O_RDONLY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)

    def _place(self, name: str) -> Path:
        place = self.folder / name
        folder = os.path.dirname(place)
        if folder not in self._made:
            os.makedirs(folder, exist_ok=True)
            self._made.add(folder)
        return place
