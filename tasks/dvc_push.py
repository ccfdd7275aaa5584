"""`dvc push` of a product's raw images to the default remote, and a look whether every object is there."""

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.versioned import settings
from zeromiss.errors import ZeromissError

if TYPE_CHECKING:
    from dvc.output import Output
    from dvc.repo import Repo
    from zeromiss.workspace import Workspace

SCHEMA_VERSION = 1


def is_pushed(workspace: "Workspace", product: str) -> bool:
    """Return whether the pointer's objects were pushed, or there was no remote, with DVC's settings as they are now."""
    from zeromiss.files import read_json

    file = _file(workspace, product)
    if not file.is_file():
        return False
    note = read_json(file, schema_version=SCHEMA_VERSION)
    return note["pointer"] == workspace.raw(product).with_suffix(".dvc").read_text(encoding="utf-8") and note["settings"] == settings(workspace)


def push(repo: "Repo", target: str) -> None:
    """Push what the pointer of the raw folder `target` stands for, if a default remote is set, and note that it is there.

    Raises DvcException when the remote cannot be reached, ZeromissError when objects are missing after the push.
    """
    from zeromiss.files import write_json
    from zeromiss.workspace import Workspace

    workspace, product = Workspace(root=Path(repo.root_dir)), Path(target).name
    name = repo.config["core"].get("remote")
    if name:
        repo.push(targets=[f"{target}.dvc"])
        if lacking := _lacking(repo, f"{target}.dvc", name, again=True):
            raise ZeromissError(f"the DVC remote {name} lacks {len(lacking)} objects of {target} after the push: look after its disk, then ingest again")
    pointer = workspace.raw(product).with_suffix(".dvc").read_text(encoding="utf-8")
    write_json(_file(workspace, product), {"pointer": pointer, "settings": settings(workspace), "remote": name}, schema_version=SCHEMA_VERSION)


def _lacking(repo: "Repo", pointer: str, name: str, *, again: bool) -> set[str]:
    """Return the objects that the remote lacks; with `again` they are pushed once more, DVC's own memory of it cleared."""
    from dvc_data.hashfile.db import get_index

    remote = repo.cloud.get_remote(name, "push")
    if remote.worktree or remote.fs.version_aware:
        return set()  # such a remote knows files by their names
    oids = {oid for stage in repo.stage.collect(pointer) for oid in _oids(stage.outs[0])}
    lacking = oids - set(remote.odb.oids_exist(list(oids)))
    if lacking and again:
        get_index(remote.odb).clear()
        repo.push(targets=[pointer])
        return _lacking(repo, pointer, name, again=False)
    return lacking


def _oids(out: "Output") -> set[str]:
    """Return the hashes of a folder's list and of the files that it names."""
    return {out.hash_info.value, *(info.value for _, _, info in out.get_obj())}


def _file(workspace: "Workspace", product: str) -> Path:
    return workspace.root / ".zeromiss" / f"{product}.pushed.json"
