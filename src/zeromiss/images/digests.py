"""Hashing and copying batches of files: each file is opened once, and its bytes are read once."""

import hashlib
import os
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from zeromiss.errors import ZeromissError

_BLOCK = 1 << 20
_MANY = 500  # files


class Signature(NamedTuple):
    """What tells a changed file from an unchanged one without reading it: bytes, times in ns, inode.

    `mtime_ns` is the time of writing, which a program can set back; `ctime_ns` that of any change, which none can.
    """

    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int


class Digest(NamedTuple):
    """A file's content, in hexadecimal, and the signature that it had then; `md5` '' where nobody asked for it."""

    sha256: str
    md5: str
    signature: Signature


def signature(stat: os.stat_result) -> Signature:
    """Return a file's signature."""
    return Signature(stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns)


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


def preserve(jobs: list[tuple[str, str, Signature]]) -> list[None]:
    """Write read-only copies: each job is a source, its copy's path in an existing folder, the signature to expect.

    A copy gets its name once it is whole, in place of any other. Where the disk can share blocks between files it
    does. Raises ZeromissError when a source is another than expected, before or after it was copied.
    """
    return [_preserve(*job) for job in jobs]


def flush(paths: Collection[str]) -> None:
    """Return once files and their folders' entries are on the disk.

    One flush of everything takes less time than one for each of many files, but waits for other programs' writes too.
    """
    if len(paths) > _MANY:
        os.sync()
        return
    for path in (*paths, *{os.path.dirname(path) for path in paths}):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _preserve(source: str, target: str, expected: Signature) -> None:
    folder, name = os.path.split(target)
    partial = f"{folder}{os.sep}.{name}.{os.getpid()}.partial"
    reader = os.open(source, os.O_RDONLY)
    try:
        writer = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            copied = _copy_within_kernel(reader, writer, expected.size)
            os.fchmod(writer, 0o444)
        finally:
            os.close(writer)
        if copied != expected.size or signature(os.fstat(reader)) != expected:
            os.unlink(partial)
            raise ZeromissError(f"{source} changed while it was being versioned: version it when nothing writes to it")
    finally:
        os.close(reader)
    os.rename(partial, target)


def _copy_within_kernel(reader: int, writer: int, size: int) -> int:
    """Copy up to `size` bytes and return how many there were."""
    copied = 0
    while copied < size and (step := os.copy_file_range(reader, writer, size - copied)):
        copied += step
    return copied


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
