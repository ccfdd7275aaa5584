"""A folder that replaces another in one step, and survives being killed at any moment."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process; another that asks for it waits. The lock ends with the process."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


class Staging:
    """A sibling of `target` in which its next state is built; used as a context, it leaves nothing behind."""

    def __init__(self, target: Path) -> None:
        """Name the staging folder and the place where the old state waits during the swap."""
        self.target = target
        self.folder = target.with_name(f".{target.name}.staging")
        self.old = target.with_name(f".{target.name}.old")

    def __enter__(self) -> Self:
        """Make the empty staging folder."""
        self.folder.mkdir(parents=True)
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
        """Copy a file's bytes and flush them to disk; the source is only read."""
        with source.open("rb") as reader, self._place(name).open("wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
            writer.flush()
            os.fsync(writer.fileno())

    def write(self, name: str, text: str) -> None:
        """Write a text file and flush it to disk."""
        with self._place(name).open("w", encoding="utf-8", newline="") as writer:
            writer.write(text)
            writer.flush()
            os.fsync(writer.fileno())

    def swap(self) -> None:
        """Put the staging folder in the target's place."""
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
        place.parent.mkdir(parents=True, exist_ok=True)
        return place
