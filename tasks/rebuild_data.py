"""What DVC knows of a commit in a worktree: its stages, and the data of one version brought there from the cache."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeromiss.errors import ZeromissError

if TYPE_CHECKING:
    from dvc.output import Output
    from dvc.repo import Repo
    from dvc.stage import Stage

LAST = "bundle"  # the last stage that is made again: what comes after it shows, and judges nothing
_RUNS = "data/11_runs/"  # ids of runs and seconds: never twice the same
_SHARED = ("core", "cache", "remote")  # sections of DVC's settings that belong to this machine, not to a commit


@dataclass(frozen=True, kw_only=True)
class Step:
    """A stage as the commit's dvc.yaml has it: its address, its command, its outputs (paths in the workspace)."""

    target: str
    command: str
    outputs: tuple[str, ...]

    @property
    def compared(self) -> tuple[str, ...]:
        """The outputs that hold results."""
        return tuple(output for output in self.outputs if not output.startswith(_RUNS))


def settings(root: Path) -> dict[str, Any]:
    """Return this repository's cache and remotes, for use in a worktree: the commit's own may have moved since."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        found = {name: dict(repo.config[name]) for name in _SHARED}
        found["cache"]["dir"] = repo.cache.local_cache_dir
    return found


def steps(code: Path, product: str, config: dict[str, Any]) -> list[Step]:
    """Return the stages that lead to the product's bundle, each after those it depends on.

    Raises ZeromissError when the commit's dvc.yaml has no such stage or cannot be read.
    """
    import networkx
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(code), config=config) as repo:
            graph = repo.index.graph
            ends = [stage for stage in graph if stage.addressing == f"{LAST}@{product}" or stage.addressing.endswith(f":{LAST}@{product}")]
            if not ends:
                raise ZeromissError(f"the commit's dvc.yaml has no stage {LAST} for {product!r}, so that nothing can be made again")
            needed = graph.subgraph({ends[0], *networkx.descendants(graph, ends[0])})
            place = {stage: number for number, stage in enumerate(repo.index.stages)}
            ordered = networkx.lexicographical_topological_sort(needed.reverse(), key=place.__getitem__)
            return [_step(stage, code) for stage in ordered if stage.cmd]
    except DvcException as error:
        raise ZeromissError(f"the commit's dvc.yaml cannot be read by DVC: {' '.join(str(error).split())}") from None


def bring(code: Path, paths: list[str], config: dict[str, Any]) -> dict[str, str]:
    """Bring the outputs `paths` (in the workspace) to the worktree, from the cache or a remote; return path -> why for the rest.

    What is brought is what was versioned: every file is hashed.
    """
    from dvc.repo import Repo

    missing = {}
    with Repo(str(code), config=config) as repo:
        found = {_relative(out, code): out for stage in repo.index.stages for out in stage.outs}
        for path in paths:
            why = _bring(repo, found[path]) if path in found else "the version's dvc.lock does not name it"
            if why:
                missing[path] = why
    return missing


def _bring(repo: "Repo", out: "Output") -> str:
    """Bring one output; return why it is not there as it was, empty where it is."""
    why = _checkout(out)
    if why and repo.config["remote"]:
        _fetch(repo, out)
        why = _checkout(out)
    if why:
        out.remove()
    return why


def _fetch(repo: "Repo", out: "Output") -> None:
    """Fetch what the cache lacks of an output from the remote; what is still missing is told after the next checkout."""
    from contextlib import suppress

    from dvc.exceptions import DvcException

    with suppress(DvcException):
        repo.fetch(targets=[out.fs_path])


def _checkout(out: "Output") -> str:
    """Write one output's files and hash them; return what is wrong, empty where nothing is."""
    from dvc.exceptions import DvcException

    if not out.hash_info:
        return "it has no version"
    listing = out.get_obj()
    if listing is None:
        return "DVC's cache no longer holds it"
    try:
        out.checkout(force=True)
    except DvcException:
        return "DVC's cache no longer holds all of it"
    folder = Path(out.fs_path)
    expected = {folder.joinpath(*key): info.value for key, _, info in listing} if out.is_dir_checksum else {folder: out.hash_info.value}
    for path, md5 in sorted(expected.items()):
        if not path.is_file() or _md5(path) != md5:
            return f"DVC's cache holds another {path.relative_to(folder.parent)} than was versioned"
    return ""


def _md5(path: Path) -> str:
    """Return a file's MD5 as DVC computes it."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "md5").hexdigest()


def _step(stage: "Stage", code: Path) -> Step:
    """Return a stage in plain words."""
    command = stage.cmd if isinstance(stage.cmd, str) else " && ".join(stage.cmd)
    return Step(target=stage.addressing.rpartition(":")[2], command=command, outputs=tuple(_relative(out, code) for out in stage.outs))


def _relative(out: "Output", code: Path) -> str:
    """Return an output's path in the workspace."""
    return Path(out.fs_path).relative_to(code).as_posix()
