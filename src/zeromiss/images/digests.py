"""Hashing and copying batches of files: each file is opened once, and its bytes are read once."""

import hashlib
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from zeromiss.errors import ZeromissError

_BLOCK = 1 << 20


class Signature(NamedTuple):
    """What tells a changed file from an unchanged one without reading it: bytes, time of change in ns, inode."""

    size: int
    mtime_ns: int
    inode: int


class Digest(NamedTuple):
    """A file's content, in hexadecimal, and the signature that it had then; `md5` '' where nobody asked for it."""

    sha256: str
    md5: str
    signature: Signature


def signature(stat: os.stat_result) -> Signature:
    """Return a file's signature."""
    return Signature(stat.st_size, stat.st_mtime_ns, stat.st_ino)


def digest(paths: list[str]) -> list[Digest]:
    """Return the SHA-256 of each file."""
    return [_digest(path, with_md5=False) for path in paths]


def digest_for_dvc(paths: list[str]) -> list[Digest]:
    """Return the SHA-256 of each file, and the MD5 by which DVC knows it."""
    return [_digest(path, with_md5=True) for path in paths]


def copy(jobs: list[tuple[str, str, str]]) -> list[Digest]:
    """Copy files: each job is source, target (a new file in an existing folder), and the SHA-256 to expect.

    Returns the digests of the copies, with MD5. Raises ZeromissError when a source holds something else by now.
    """
    return [_copy(*job) for job in jobs]


def _copy(source: str, target: str, expected: str) -> Digest:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    reader = os.open(source, os.O_RDONLY)
    try:
        writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            for block in _blocks(reader, os.fstat(reader).st_size):
                sha256.update(block)
                md5.update(block)
                _write(writer, block)
            found = signature(os.fstat(writer))
        finally:
            os.close(writer)
    finally:
        os.close(reader)
    if expected and sha256.hexdigest() != expected:
        raise ZeromissError(f"{source} changed while it was being copied: ingest it when nothing writes to it")
    return Digest(sha256.hexdigest(), md5.hexdigest(), found)


def _digest(path: str, *, with_md5: bool) -> Digest:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    updates: list[Callable[[bytes], None]] = [sha256.update, *([md5.update] if with_md5 else [])]
    reader = os.open(path, os.O_RDONLY)
    try:
        found = signature(os.fstat(reader))  # before reading: whoever writes meanwhile changes it
        for block in _blocks(reader, found.size):
            for update in updates:
                update(block)
    finally:
        os.close(reader)
    return Digest(sha256.hexdigest(), md5.hexdigest() if with_md5 else "", found)


def _blocks(handle: int, size: int) -> Iterator[bytes]:
    """Yield a file's bytes; a small file takes one call of the system."""
    if size < _BLOCK:
        block = os.read(handle, size + 1)
        yield block
        if len(block) == size:
            return
    while block := os.read(handle, _BLOCK):
        yield block


def _write(handle: int, block: bytes) -> None:
    """Write all of a block."""
    written = os.write(handle, block)
    while written < len(block):
        written += os.write(handle, block[written:])
