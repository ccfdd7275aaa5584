"""Files that outlive a run: written whole or not at all, each with a schema version."""

import hashlib
import json
import os
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any
from uuid import uuid4

from zeromiss.errors import ZeromissError

_BLOCK = 1 << 20
_SUFFIX = 20  # bytes of a suffix that a shortened name keeps
SPARE = 64 << 20  # bytes that stay free on a disk whatever is copied


def printable(name: str) -> str:
    """Return a file's name or a sentence with one as text that every format and terminal holds.

    Bytes that are no UTF-8 become \\xNN, control characters and lone surrogates their Python escapes; all else stays.
    """
    return "".join(_escaped(one) if unicodedata.category(one) in ("Cc", "Cs") else one for one in name)


def short_name(name: str, *, max_bytes: int = 180) -> str:
    """Return a file's name, printable, of at most `max_bytes` bytes: the middle of a longer one gives way to a hash.

    The suffix stays; names that differ stay different, and what is put around them finds room in the 255 bytes of a name.
    """
    name = printable(name)
    if len(name.encode()) <= max_bytes:
        return name
    suffix = PurePath(name).suffix if len(PurePath(name).suffix.encode()) <= _SUFFIX else ""
    end = f"-{hashlib.sha256(name.encode()).hexdigest()[:12]}{suffix}"
    return name.encode()[: max_bytes - len(end.encode())].decode(errors="ignore") + end


def _escaped(character: str) -> str:
    """Return the escape of one character."""
    if "\udc80" <= character <= "\udcff":  # a byte of a name that is no UTF-8, as Python keeps it
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary neighbour of `path` that replaces it when the block ends well.

    The file is flushed to disk before it gets its name; on any exception it is removed and
    whatever stood at `path` before stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid4().hex[:12]}.partial")  # of any number of writers; short, whatever the name
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, payload: dict[str, Any], *, schema_version: int) -> None:
    """Write `payload` with its `schema_version` as readable JSON, atomically; NaN is refused."""
    with atomic_path(path) as temporary:
        text = json.dumps({"schema_version": schema_version} | payload, indent=2, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path, *, schema_version: int) -> dict[str, Any]:
    """Read what `write_json` wrote.

    Raises ZeromissError when the file is missing, cannot be read, is not JSON, holds no object or has another schema version.
    """
    try:
        payload = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ZeromissError(f"{path} is missing: run the stage that writes it") from None
    except OSError as error:
        raise ZeromissError(f"{path} cannot be read ({error.strerror})") from None
    except RecursionError:
        raise ZeromissError(f"{path} is not valid JSON (it is nested too deep): write it anew") from None
    except ValueError as error:  # no JSON, no UTF-8, or a number of thousands of digits
        raise ZeromissError(f"{path} is not valid JSON ({' '.join(str(error).split())[:200]}): write it anew") from None
    if not isinstance(payload, dict):
        raise ZeromissError(f"{path} holds no JSON object: write it anew")
    found = payload.get("schema_version")
    if found != schema_version:
        raise ZeromissError(
            f"{path} has schema version {found}, this program reads {schema_version}: write it anew"
        )
    return payload


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def refuse_full_temporary_folder() -> None:
    """Raise ZeromissError where nothing can be written to the folder of temporary files: services that start there only time out."""
    folder = Path(os.environ.get("TMPDIR") or tempfile.gettempdir())
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_BLOCK))
    except OSError as error:
        raise ZeromissError(f"temporary files cannot be written to {folder} ({error.strerror}): make room, or let TMPDIR name another folder") from None


def refuse_full_disk(folder: Path, needed: int, *, act: str) -> None:
    """Raise ZeromissError, naming the `act`, unless the disk of `folder` holds `needed` bytes more and some to spare."""
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE:
        raise ZeromissError(
            f"the disk of {folder} has {free >> 20} MiB free and {act} needs {-(-(needed + SPARE) >> 20)} MiB: make room, nothing was changed"
        )
