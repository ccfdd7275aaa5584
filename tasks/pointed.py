"""What a pointer of DVC stands for, read from its cache without DVC, which takes a second to start."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeromiss.errors import ZeromissError

if TYPE_CHECKING:
    from zeromiss.workspace import Workspace

_CACHE = (".dvc", "cache", "files", "md5")


def objects(workspace: "Workspace", product: str, pointer: str) -> dict[str, Path] | None:
    """Return the cache's file for each path of the raw folder that a pointer's text stands for; None where its list is not there."""
    from ruamel.yaml import YAML

    from zeromiss.images.known import load

    note = load(workspace, product, digests=False).notes.get("versioned")
    cache = Path(note["cache"]) if note else workspace.root.joinpath(*_CACHE)
    oid = str(YAML(typ="safe").load(pointer)["outs"][0]["md5"])
    if not _object(cache, oid).is_file():
        return None
    listed: list[dict[str, Any]] = json.loads(_object(cache, oid).read_text(encoding="utf-8"))
    return {one["relpath"]: _object(cache, one["md5"]) for one in listed}


def mend_pointer(workspace: "Workspace", product: str) -> None:
    """Put git's last pointer in the place of one that says nothing: DVC was killed while it wrote it, and the next `dvc add` writes it anew."""
    from tasks.git import head_text
    from zeromiss.files import atomic_path

    pointer = workspace.raw(product).with_suffix(".dvc")
    if not pointer.is_file() or _names_data(pointer.read_text(encoding="utf-8")):
        return
    text = head_text(workspace.root, pointer)
    if text is None:
        pointer.unlink()
        return
    with atomic_path(pointer) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _names_data(text: str) -> bool:
    """Return whether a pointer's text is whole: DVC writes the path last."""
    from ruamel.yaml import YAML, YAMLError

    try:
        content = YAML(typ="safe").load(text)
    except YAMLError:
        return False
    outs = content.get("outs") if isinstance(content, dict) else None
    return isinstance(outs, list) and bool(outs) and isinstance(outs[0], dict) and {"md5", "path"} <= outs[0].keys()


def refuse_stale(workspace: "Workspace", product: str) -> None:
    """Raise ZeromissError unless the raw folder holds every image of the pointer that git has: adding to less would lose some.

    A pointer that another machine moved on, and that `git pull` brought, is such a case.
    """
    from zeromiss.images.known import load
    from zeromiss.images.raw import INDEX, read_index

    raw = workspace.raw(product)
    pointer = raw.with_suffix(".dvc")
    if not pointer.is_file():
        return
    text, note = pointer.read_text(encoding="utf-8"), load(workspace, product, digests=False).notes.get("versioned")
    if (raw / INDEX).is_file() and note is not None and note["pointer"] == text:
        return
    there = {entry.path for entry in read_index(raw)} if (raw / INDEX).is_file() else set()
    found = objects(workspace, product, text)
    if found is None or not found[INDEX].is_file() or not {path for path in found if path.startswith("images/")} <= there:
        raise ZeromissError(f"{raw} is not what {pointer.name} stands for: bring its images here with dvc pull {pointer}, then ingest again")


def _object(cache: Path, oid: str) -> Path:
    """Return where an object lies."""
    return cache / oid[:2] / oid[2:]
