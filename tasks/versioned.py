"""Whether raw images are versioned already, told without DVC, which takes a second to start."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zeromiss.images.known import Known
    from zeromiss.workspace import Workspace

_NOTE = "versioned"
_SETTINGS = (".dvc/config", ".dvc/config.local", ".dvcignore")


def remember_versioned(known: "Known", workspace: "Workspace", raw: Path, cache: str) -> None:
    """Keep what `is_versioned` asks for, after the raw folder was versioned into the folder `cache`."""
    pointer = raw.with_suffix(".dvc").read_text(encoding="utf-8")
    files = len(_inside(known, raw))
    known.remark(_NOTE, {"pointer": pointer, "cache": cache, "files": files, "settings": settings(workspace)})
    known.save()


def nothing_new(product: str, folder: Path | None, root: Path) -> list[str] | None:
    """Return what there is to say of an ingest that would change nothing; None when it might change something."""
    from zeromiss.images.unchanged import unchanged
    from zeromiss.params import load_product
    from zeromiss.workspace import Workspace

    workspace = Workspace(root=root)
    report = unchanged(load_product(workspace.params_file, product), workspace, folder)
    return report.lines() if report and is_versioned(workspace, product) else None


def is_versioned(workspace: "Workspace", product: str) -> bool:
    """Return whether git's pointer, DVC's settings and every object in its cache are as after the last versioning.

    Says nothing of the raw files themselves: see `zeromiss.images.unchanged`.
    """
    from zeromiss.images.known import load

    known = load(workspace, product)
    note, raw = known.notes.get(_NOTE), workspace.raw(product)
    pointer = raw.with_suffix(".dvc")
    if note is None or not pointer.is_file() or pointer.read_text(encoding="utf-8") != note["pointer"]:
        return False
    if note["settings"] != settings(workspace):
        return False
    objects = _inside(known, raw)
    return 0 < len(objects) == note["files"] and set(objects) <= _objects(note["cache"])


def _inside(known: "Known", raw: Path) -> list[str]:
    """Return the MD5 of every known file of the raw folder."""
    return [digest.md5 for path, digest in known.digests.items() if path.startswith(f"{raw}{os.sep}")]


def _objects(cache: str) -> set[str]:
    """Return the hashes of the objects in a cache."""
    found = set()
    for folder, _, names in os.walk(cache):
        found |= {folder[-2:] + name for name in names}
    return found


def settings(workspace: "Workspace") -> dict[str, Any]:
    """Return the texts of DVC's settings that belong to the repository, None for a file that is not there."""
    files = {name: workspace.root / name for name in _SETTINGS}
    return {name: file.read_text(encoding="utf-8") if file.is_file() else None for name, file in files.items()}
