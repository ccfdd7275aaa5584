"""Files that outlive a run: written whole or not at all, each with a schema version."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zeromiss.errors import ZeromissError

_BLOCK = 1 << 20
SPARE = 64 << 20  # bytes that stay free on a disk whatever is copied


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary neighbour of `path` that replaces it when the block ends well.

    The file is flushed to disk before it gets its name; on any exception it is removed and
    whatever stood at `path` before stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
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

    Raises ZeromissError when the file is missing, is not JSON or has another schema version.
    """
    try:
        payload = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ZeromissError(f"{path} is missing: run the stage that writes it") from None
    except json.JSONDecodeError as error:
        raise ZeromissError(f"{path} is not valid JSON ({error}): write it anew") from None
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


def refuse_full_disk(folder: Path, needed: int, *, act: str) -> None:
    """Raise ZeromissError, naming the `act`, unless the disk of `folder` holds `needed` bytes more and some to spare."""
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE:
        raise ZeromissError(
            f"the disk of {folder} has {free >> 20} MiB free and {act} needs {-(-(needed + SPARE) >> 20)} MiB: make room, nothing was changed"
        )
