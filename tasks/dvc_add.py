"""`dvc add` of a product's raw images, with the hashes that the ingest made and a copy by all cores.

DVC hashes small files one after the other, and copies them by threads of one process. What it would write is written
here with its own classes: the objects in the cache, the list of the folder, the pointer for git, and its own memory of
the files, by which a later `dvc status` knows them unread. An object gets its name once it is whole; the raw files are
only read, so that a run that is killed at any moment loses nothing.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvc.repo import locked
from dvc.repo.add import get_or_create_stage
from dvc.repo.scm_context import scm_context
from dvc.rwlock import rwlock
from dvc_data.hashfile.db import add_update_tree
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.meta import Meta
from dvc_data.hashfile.tree import Tree
from dvc_data.hashfile.utils import _tokenize_mtimes

from tasks.versioned import remember_versioned
from zeromiss.errors import ZeromissError

if TYPE_CHECKING:
    from dvc.output import Output
    from dvc.repo import Repo
    from zeromiss.images.digests import Digest

_READ_ONLY = 0o100444  # a whole object
ACT = "versioning the raw images"


def add(repo: "Repo", target: str) -> None:
    """Version the raw folder `target`: afterwards all is as `dvc add` leaves it.

    Where DVC is set to link or to ignore files, and for a folder that holds links, DVC does it all by itself.
    Raises ZeromissError when the disk has no room for the copies, or a file changes meanwhile.
    """
    from zeromiss.files import refuse_full_disk
    from zeromiss.images.known import load
    from zeromiss.workspace import Workspace

    raw, workspace = Path(repo.root_dir) / target, Workspace(root=Path(repo.root_dir))
    known = load(workspace, raw.name)
    if not any(raw.rglob("*")):
        raise ZeromissError(f"{raw} holds no files: ingest the product's images")
    files = _files(raw)
    if files is None or _has_ignore_rules(raw, workspace.root) or repo.cache.repo.cache_types[0] not in ("reflink", "copy"):
        refuse_full_disk(workspace.root, sum(path.stat().st_size for path in raw.rglob("*") if path.is_file()), act=ACT)
        repo.add(target)
        return
    digests = dict(zip(files, known.read(files, title="hash raw images", md5=True), strict=True))
    cache = _add(repo, target, digests)
    remember_versioned(known, workspace, raw, cache)


@locked
@scm_context
def _add(repo: "Repo", target: str, digests: dict[str, "Digest"]) -> str:
    """Do what `dvc add` does, under its locks; return the folder of the cache."""
    from zeromiss.images.digests import flush

    stage = get_or_create_stage(repo, target).stage
    repo.check_graph(stages=[stage])
    out = stage.outs[0]
    out.update_legacy_hash_name()
    linked = repo.config["core"].get("hardlink_lock", False)
    with rwlock(repo.tmp_dir, repo.fs, f"zeromiss ingest {target}", [], [out.fs_path], linked):
        tree = _tree(out.fs_path, digests)
        written = _fill(out.cache, digests)
        add_update_tree(out.cache, tree)
        out.obj, out.hash_info, out.files = tree, tree.hash_info, None
        out.meta = Meta(size=sum(one.signature.size for one in digests.values()), nfiles=len(tree), isdir=True)
        out.ignore()
        _remember(repo, out, digests)
        flush([*written, out.cache.oid_to_path(tree.oid)])  # the objects first, then the pointer to them
        stage.dump()
    return str(out.cache.path)


def _tree(folder: str, digests: dict[str, "Digest"]) -> Tree:
    """Return the list of the folder."""
    tree = Tree()
    for path, digest in digests.items():
        tree.add(tuple(path[len(folder) + 1 :].split(os.sep)), Meta(size=digest.signature.size), HashInfo("md5", digest.md5))
    tree.digest()
    return tree


def _fill(cache: Any, digests: dict[str, "Digest"]) -> list[str]:
    """Copy into the cache what it lacks, by all cores; return the copies' paths."""
    from zeromiss.files import refuse_full_disk
    from zeromiss.images.workers import work

    lacking: dict[str, tuple[str, str, Any]] = {}
    for path, digest in digests.items():
        place = cache.oid_to_path(digest.md5)
        if digest.md5 not in lacking and not _is_whole(place, digest.signature.size):
            lacking[digest.md5] = (path, place, digest.signature)
    if not lacking:
        return []
    for folder in {os.path.dirname(place) for _, place, _ in lacking.values()}:
        cache.makedirs(folder)
    refuse_full_disk(Path(cache.path), sum(noted.size for _, _, noted in lacking.values()), act=ACT)
    work("zeromiss.images.digests:preserve", list(lacking.values()), title="version images", unit="file")
    return [place for _, place, _ in lacking.values()]


def _is_whole(place: str, size: int) -> bool:
    """Return whether an object is there, of the right size, and closed against changes."""
    try:
        found = os.stat(place)
    except FileNotFoundError:
        return False
    return found.st_size == size and found.st_mode == _READ_ONLY


def _remember(repo: "Repo", out: "Output", digests: dict[str, "Digest"]) -> None:
    """Tell DVC's own memory what the files hold, so that it need not read them."""
    infos = {path: os.stat(path) for path in digests}
    items = (
        (path, HashInfo("md5", digests[path].md5), {"ino": stat.st_ino, "mtime": stat.st_mtime, "size": stat.st_size})
        for path, stat in infos.items()
    )
    repo.state.save_many(items, out.fs)
    mtimes = {path: stat.st_mtime for path, stat in infos.items()}
    repo.state.set_link(out.fs_path, os.stat(out.fs_path).st_ino, _tokenize_mtimes(mtimes))


def _files(folder: Path) -> list[str] | None:
    """Return the paths of all files below a folder, None when a link is among them."""
    files, waiting = [], [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
                    return None
                (waiting if entry.is_dir() else files).append(entry.path)
    return sorted(files)


def _has_ignore_rules(raw: Path, root: Path) -> bool:
    """Return whether a .dvcignore on the way to the raw folder or in it says anything."""
    for folder in (raw, *raw.parents[: len(raw.relative_to(root).parts)]):
        file = folder / ".dvcignore"
        if file.is_file() and any(line.strip() and not line.startswith("#") for line in file.read_text().splitlines()):
            return True
    return False
