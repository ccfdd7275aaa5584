"""What changed in the code between the commits of two versions, as this repository tells it."""

from typing import Any

from zeromiss.registry.facts import git_output
from zeromiss.registry.stored import Stored
from zeromiss.workspace import Workspace

_ROOM = 3  # parts of src/zeromiss/<room>


def compare_code(before: Stored, after: Stored, workspace: Workspace) -> dict[str, Any]:
    """Return the commits that came and went between two versions and the files that differ, by room.

    `commits` and `files` are null, with a `note`, where this repository lacks one of the commits.
    """
    commits = [version.tags.get("git.commit", "none") for version in (before, after)]
    dirty = [version.tags.get("git.dirty") == "true" for version in (before, after)]
    facts = {"before": commits[0], "after": commits[1], "uncommitted_before": dirty[0], "uncommitted_after": dirty[1]}
    unknown = [commit[:12] for commit in commits if git_output(workspace, "cat-file", "-e", f"{commit}^{{commit}}") is None]
    if unknown:
        return facts | {"note": f"commit {' and '.join(unknown)} is not in this repository: fetch it", "commits": None, "undone": None, "files": None}
    came, went = (_log(workspace, *pair) for pair in (commits, commits[::-1]))
    return facts | {"note": "", "commits": came, "undone": went, "files": _files(workspace, *commits)}


def room_of(path: str) -> str:
    """Return the room of a file: src/zeromiss/<room>, or the folder at the top, or the file itself."""
    parts = path.split("/")
    if parts[:2] == ["src", "zeromiss"]:
        return "/".join(parts[:_ROOM])
    return parts[0]


def _log(workspace: Workspace, before: str, after: str) -> list[dict[str, str]]:
    """Return the commits that `after` has and `before` lacks, the latest first."""
    text = (git_output(workspace, "log", "--format=%h%x09%s", f"{before}..{after}") or b"").decode("utf-8", "replace")
    return [dict(zip(("commit", "subject"), line.split("\t", 1), strict=True)) for line in text.splitlines()]


def _files(workspace: Workspace, before: str, after: str) -> dict[str, list[str]]:
    """Return the files that differ between two commits, by room."""
    listed = git_output(workspace, "diff", "--name-only", "--no-renames", "-z", before, after) or b""
    rooms: dict[str, list[str]] = {}
    for path in filter(None, listed.decode("utf-8", "replace").split("\0")):
        rooms.setdefault(room_of(path), []).append(path)
    return rooms
