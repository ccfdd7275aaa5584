"""What is known of files by their signatures, so that unchanged ones are not read again.

Kept in `.zeromiss/PRODUCT.sqlite` beside the data, out of git. Losing it costs time and nothing else: a file whose
size, times or inode are others than noted is read.
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zeromiss.files import atomic_path
from zeromiss.images.digests import Digest, Signature, signature
from zeromiss.images.workers import work
from zeromiss.workspace import Workspace

SCHEMA_VERSION = 1
SETTLED = 2_000_000_000  # ns: a file younger than this may change again within one tick of the disk's clock


@dataclass(kw_only=True)
class Known:
    """Digests by absolute path, and notes by name; see `load` and `save`.

    `changed` says whether anything differs from what was loaded.
    """

    file: Path
    digests: dict[str, Digest] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    changed: bool = False

    def of(self, path: str, *, md5: bool = False) -> Digest | None:
        """Return a file's digest while its signature is the noted one; with `md5` only if that is known too.

        Raises FileNotFoundError when there is no such file.
        """
        noted, stat = self.digests.get(path), os.stat(path)
        if noted is None or noted.signature != signature(stat) or (md5 and not noted.md5):
            return None
        return noted

    def read(self, paths: Sequence[str], *, title: str, md5: bool = False) -> list[Digest]:
        """Return the digests of files, reading only those that are new or changed since they were noted."""
        found = [self.of(path, md5=md5) for path in paths]
        unread = [path for path, digest in zip(paths, found, strict=True) if digest is None]
        started = time.time_ns()
        job = "zeromiss.images.digests:digest_for_dvc" if md5 else "zeromiss.images.digests:digest"
        fresh = dict(zip(unread, work(job, unread, title=title, unit="file") if unread else [], strict=True))
        self.note({path: digest for path, digest in fresh.items() if settled(digest.signature, started)})
        return [digest or fresh[path] for path, digest in zip(paths, found, strict=True)]

    def note(self, digests: dict[str, Digest]) -> None:
        """Keep digests of files."""
        self.changed |= bool(digests)
        self.digests |= digests

    def renew(self, paths: Iterable[str]) -> None:
        """Take over the new signatures of files that were linked under our own lock: nothing but that changed them."""
        for path in paths:
            noted, found = self.digests.get(path), signature(os.stat(path))
            if noted is not None and noted.signature[:3] == found[:3] and noted.signature != found:
                self.note({path: noted._replace(signature=found)})

    def remark(self, name: str, value: Any) -> None:
        """Keep a note that JSON can hold."""
        if self.notes.get(name) != value:
            self.changed = True
            self.notes[name] = value

    def forget_all_but(self, paths: Iterable[str]) -> None:
        """Drop the digests of all other files."""
        kept = {path: self.digests[path] for path in paths if path in self.digests}
        self.changed |= len(kept) < len(self.digests)
        self.digests = kept

    def save(self) -> None:
        """Write what is known, whole or not at all, unless nothing changed."""
        if not self.changed:
            return
        rows = ((path, one.sha256, one.md5, *one.signature) for path, one in self.digests.items())
        with atomic_path(self.file) as temporary, closing(sqlite3.connect(temporary, isolation_level=None)) as base:
            base.execute("PRAGMA journal_mode = OFF")
            base.execute("PRAGMA synchronous = OFF")
            base.execute("BEGIN")
            base.execute("CREATE TABLE file (path, sha256, md5, size, mtime_ns, inode, ctime_ns)")
            base.execute("CREATE TABLE note (name, value)")
            base.executemany("INSERT INTO file VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            notes = [(name, json.dumps(value)) for name, value in self.notes.items()]
            base.executemany("INSERT INTO note VALUES (?, ?)", notes)
            base.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            base.execute("COMMIT")
        self.changed = False


def load(workspace: Workspace, product: str, *, digests: bool = True) -> Known:
    """Return what is known of a product's files: nothing where nothing was kept, or in another version's form.

    Without `digests` only the notes are read.
    """
    known = Known(file=workspace.root / ".zeromiss" / f"{product}.sqlite")
    try:
        with _opened(known.file) as base:
            if base.execute("PRAGMA user_version").fetchone() != (SCHEMA_VERSION,):
                return known
            known.notes = {name: json.loads(value) for name, value in base.execute("SELECT name, value FROM note")}
            rows = base.execute("SELECT path, sha256, md5, size, mtime_ns, inode, ctime_ns FROM file") if digests else ()
            known.digests = {path: Digest(sha256, md5, Signature(*noted)) for path, sha256, md5, *noted in rows}
    except (sqlite3.Error, ValueError):  # missing or damaged: as good as lost
        return Known(file=known.file)
    return known


def all_unchanged(file: Path) -> bool:
    """Return whether every file noted in a file that `save` wrote is there and has its signature."""
    with _opened(file) as base:
        try:
            for path, *noted in base.execute("SELECT path, size, mtime_ns, inode, ctime_ns FROM file"):
                stat = os.stat(path)
                if [stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns] != noted:
                    return False
        except OSError:
            return False
    return True


def settled(found: Signature, now: int) -> bool:
    """Return whether a file's last change lies far enough before `now` (ns) that a later one cannot look the same."""
    return max(found.mtime_ns, found.ctime_ns) < now - SETTLED


def _opened(file: Path) -> closing[sqlite3.Connection]:
    """Open a file to read; sqlite3.Error when there is none."""
    return closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True))
