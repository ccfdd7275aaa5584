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

    Raises ZeromissError when the remote cannot be written to, and when objects are missing there after the push.
    """
    from zeromiss.files import write_json
    from zeromiss.workspace import Workspace

    workspace, product = Workspace(root=Path(repo.root_dir)), Path(target).name
    name = repo.config["core"].get("remote")
    if name:
        try:
            repo.push(targets=[f"{target}.dvc"])
            lacking = _send_again(repo, f"{target}.dvc", name)
        except Exception as error:  # of DVC, of the file system, of the store's client
            told = " ".join(str(error).split()) or type(error).__name__
            raise ZeromissError(f"{target} could not be pushed to the DVC remote {name}: {told}; it is versioned here, ingest again to push it") from error
        if lacking:
            raise ZeromissError(f"the DVC remote {name} lacks {lacking} objects of {target} after the push: look after its disk, then ingest again")
    pointer = workspace.raw(product).with_suffix(".dvc").read_text(encoding="utf-8")
    write_json(_file(workspace, product), {"pointer": pointer, "settings": settings(workspace), "remote": name}, schema_version=SCHEMA_VERSION)


def _send_again(repo: "Repo", pointer: str, name: str) -> int:
    """Send what the remote has lost, which DVC takes to be there because it sent it once; return how many objects it lacks still."""
    remote = repo.cloud.get_remote(name, "push")
    if remote.worktree or remote.fs.version_aware:
        return 0  # such a remote knows files by their names
    lacking: list[str] = []
    for stage in repo.stage.collect(pointer):
        cache, oids = stage.outs[0].cache, _oids(stage.outs[0])
        if lost := sorted(oids - set(remote.odb.oids_exist(list(oids)))):
            remote.odb.add([cache.oid_to_path(oid) for oid in lost], cache.fs, lost)
            lacking += set(lost) - set(remote.odb.oids_exist(lost))
    return len(lacking)


def _oids(out: "Output") -> set[str]:
    """Return the hashes of a folder's list and of the files that it names."""
    return {out.hash_info.value, *(info.value for _, _, info in out.get_obj())}


def _file(workspace: "Workspace", product: str) -> Path:
    return workspace.root / ".zeromiss" / f"{product}.pushed.json"
