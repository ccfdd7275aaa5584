"""Where an inbox lies: a folder of this machine, or any place that fsspec reads, such as s3://BUCKET/PREFIX.

A place is only read here; the one thing that changes it is `remove`, of a file that is still the one that was listed.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from zeromiss.errors import ZeromissError
from zeromiss.images.digests import Signature, flush, signature

_AT_ONCE = 64  # objects fetched together


class Found(NamedTuple):
    """A file of an inbox: its name below it with forward slashes, and what stays the same while its content does."""

    name: str
    signature: Signature

    @property
    def size(self) -> int:
        """Return its bytes."""
        return self.signature.size

    @property
    def changed(self) -> float:
        """Return the time of its last change, seconds since 1970: on a disk the one that no program can set back."""
        return (self.signature.ctime_ns or self.signature.mtime_ns) / 1e9


class Place(Protocol):
    """What an inbox can do, wherever it lies."""

    address: str
    copies: int  # of an image that an ingest needs room for on this machine

    def files(self) -> list[Found]:
        """Return all its files, by name."""

    def fetch(self, found: Sequence[Found], landing: Path) -> list[Path]:
        """Return where each file can be read on this machine, fetched into `landing` where it must be."""

    def busy(self, found: Found) -> bool:
        """Return whether a file changed since it was listed, or somebody on this machine has it open to write."""

    def remove(self, found: Found) -> bool:
        """Remove a file that did not change since it was listed; return whether it was removed."""


def open_place(address: str) -> Place:
    """Return the inbox at an address: a folder's path, or a URL that fsspec knows.

    Raises ZeromissError for a folder that is missing, and a kind of URL that cannot be read.
    """
    if "://" not in address or address.startswith("file://"):
        folder = Path(address.removeprefix("file://"))
        if not folder.is_dir():
            raise ZeromissError(f"the inbox {folder} is no folder: make it, or mend the argument or ingest.inbox in params.yaml")
        return Folder(folder)
    import fsspec  # slow to import, needed for buckets alone

    try:
        system, path = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise ZeromissError(f"the inbox {address} cannot be read: {' '.join(str(error).split())} (s3:// needs pip install dvc-s3)") from None
    return Bucket(address.rstrip("/"), system, path.rstrip("/"))


class Folder:
    """A folder of this machine. Links and what is no plain file are passed over."""

    copies = 2  # raw and DVC's

    def __init__(self, folder: Path) -> None:
        """Name the folder."""
        self.folder, self.address = folder, str(folder)

    def files(self) -> list[Found]:
        """Return all files below it."""
        return sorted(self._walk(str(self.folder), ""))

    def fetch(self, found: Sequence[Found], landing: Path) -> list[Path]:
        """Return where the files lie: they are read in place."""
        return [self.folder / one.name for one in found]

    def busy(self, found: Found) -> bool:
        """Return whether a file is another than listed, or is open to write (told by the kernel, for its own machine)."""
        try:
            handle = os.open(self.folder / found.name, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return True
        try:
            return signature(os.fstat(handle)) != found.signature or _is_written(handle)
        finally:
            os.close(handle)

    def remove(self, found: Found) -> bool:
        """Remove a file that is neither changed nor being written."""
        if self.busy(found):
            return False
        (self.folder / found.name).unlink()
        return True

    def _walk(self, folder: str, prefix: str) -> Iterator[Found]:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        yield from self._walk(entry.path, f"{prefix}{entry.name}/")
                    elif entry.is_file(follow_symlinks=False):
                        yield Found(f"{prefix}{entry.name}", signature(entry.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    continue  # renamed by whoever wrote it: the next run finds it


class Bucket:
    """A prefix of an object store, or another place that fsspec reads. Credentials are the store's own variables."""

    copies = 3  # landed, raw and DVC's

    def __init__(self, address: str, system: Any, path: str) -> None:
        """Keep the address and what fsspec opened."""
        self.address, self._system, self._path = address, system, path

    def files(self) -> list[Found]:
        """Return all objects below the prefix."""
        with self._told():
            self._system.invalidate_cache()
            if not self._system.exists(self._path):
                self._system.ls(self._path.split("/")[0])  # says what is wrong with the bucket; a prefix may be empty
                return []
            listed = self._system.find(self._path, detail=True)
        start = len(self._path) + 1
        found = (Found(path[start:], self._signature(info)) for path, info in listed.items() if info["type"] == "file")
        return sorted(one for one in found if one.name and not one.name.endswith("/"))

    def fetch(self, found: Sequence[Found], landing: Path) -> list[Path]:
        """Fetch the objects that the landing folder lacks; each gets its name there once it is whole."""
        from tqdm import tqdm

        landing.mkdir(parents=True, exist_ok=True)
        places = [landing / self._landed(one) for one in found]
        lacking = [(one, place) for one, place in zip(found, places, strict=True) if not place.is_file()]
        with tqdm(total=sum(one.size for one, _ in lacking), desc="fetch images", unit="B", unit_scale=True, dynamic_ncols=True) as bar:
            for start in range(0, len(lacking), _AT_ONCE):
                bar.update(self._fetch(lacking[start : start + _AT_ONCE]))
        return places

    def busy(self, found: Found) -> bool:
        """Return whether an object is gone or another than listed."""
        with self._told():
            try:
                return self._signature(self._system.info(f"{self._path}/{found.name}", refresh=True)) != found.signature
            except FileNotFoundError:
                return True

    def remove(self, found: Found) -> bool:
        """Remove an object that is still the one that was listed."""
        if self.busy(found):
            return False
        with self._told():
            self._system.rm_file(f"{self._path}/{found.name}")
        return True

    def _fetch(self, batch: list[tuple[Found, Path]]) -> int:
        """Fetch some objects and return how many bytes."""
        partial = [f"{place}.partial" for _, place in batch]
        with self._told():
            self._system.get([f"{self._path}/{one.name}" for one, _ in batch], partial)
        for (one, place), part in zip(batch, partial, strict=True):
            if not os.path.isfile(part) or os.path.getsize(part) != one.size:
                raise ZeromissError(f"{self.address}/{one.name} changed while it was fetched: ingest again when nothing writes to it")
            os.replace(part, place)
        flush([str(place) for _, place in batch])
        return sum(one.size for one, _ in batch)

    def _landed(self, found: Found) -> str:
        """Name an object on this machine by all that tells it from others."""
        key = hashlib.sha256(f"{self.address}\0{found.name}\0{tuple(found.signature)}".encode()).hexdigest()
        return key[:32] + os.path.splitext(found.name)[1].lower()

    def _signature(self, info: dict[str, Any]) -> Signature:
        """Return size, time of change and, in place of an inode, a number made of the ETag."""
        etag = int(hashlib.sha256(str(info.get("ETag", "")).encode()).hexdigest()[:15], 16)
        return Signature(int(info["size"] or 0), _nanoseconds(info, self.address), etag, 0)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say in one sentence what the store refuses."""
        try:
            yield
        except FileNotFoundError as error:
            raise ZeromissError(f"the inbox {self.address} is missing ({error}): make it, or mend ingest.inbox") from None
        except (ZeromissError, KeyboardInterrupt):
            raise
        except OSError as error:
            if error.errno is not None and error.filename is not None:
                raise  # of this machine's disk
            raise self._unread(error) from None
        except Exception as error:
            if type(error).__module__.split(".")[0] not in ("botocore", "aiobotocore", "aiohttp", "s3fs", "gcsfs", "adlfs"):
                raise
            raise self._unread(error) from None

    def _unread(self, error: Exception) -> ZeromissError:
        told = " ".join(str(error).split()) or type(error).__name__
        return ZeromissError(f"the inbox {self.address} cannot be read ({told}): look after its address, credentials and network")


def _is_written(handle: int) -> bool:
    """Return whether a process of this machine has the file open to write; False where the disk cannot tell."""
    try:
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def _nanoseconds(info: dict[str, Any], address: str) -> int:
    """Return an object's time of change in ns since 1970, whichever way its store tells it."""
    for key in ("LastModified", "mtime", "modified", "last_modified", "updated", "created"):
        value = info.get(key)
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return int(value.timestamp() * 1e9)
        if isinstance(value, int | float):
            return int(value * 1e9)
    raise ZeromissError(f"the inbox {address} tells no file's time of change, so that nothing says when a file is complete: use a folder or s3://")
