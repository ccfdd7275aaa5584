"""Git, as an ingest needs it: one file committed and pushed, whatever else is changed or staged beside it."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zeromiss.errors import ZeromissError

PATIENCE = 30.0  # seconds that another git may hold its locks
_LOCKS = ("index.lock", "HEAD.lock")


def head_text(root: Path, file: Path) -> str | None:
    """Return what a file holds in the last commit, None where it is not in it.

    Raises ZeromissError outside of a repository.
    """
    if _git(root, "rev-parse", "--git-dir").returncode != 0:
        raise ZeromissError(f"{root} is no git repository, where an ingest's commit belongs: make it one with git init and dvc init")
    done = _git(root, "show", f"HEAD:./{file.relative_to(root).as_posix()}")
    return done.stdout if done.returncode == 0 else None


def commit_file(root: Path, file: Path, message: str, *, lock: int) -> None:
    """Commit one file and nothing else; git keeps the descriptor `lock` open until it ends.

    Raises ZeromissError with git's own words when it refuses, as without a name to commit under.
    """
    name = file.relative_to(root).as_posix()
    with _marked(root, file):
        for arguments in (["add", "--", name], ["commit", "--quiet", "--only", "-m", message, "--", name]):
            done, end = _git(root, *arguments, lock=lock), time.monotonic() + PATIENCE
            while done.returncode != 0 and ".lock" in done.stderr and time.monotonic() < end:
                time.sleep(0.2)
                done = _git(root, *arguments, lock=lock)
            if done.returncode != 0:
                raise ZeromissError(f"git could not commit {name}: {_line(done)}; the images are versioned, ingest again to commit them")


def last_commit(root: Path, file: Path) -> str:
    """Return the last commit that changed a file, '' where there is none."""
    return _git(root, "log", "-1", "--format=%H", "--", file.relative_to(root).as_posix()).stdout.strip()


def push(root: Path, *, lock: int) -> str:
    """Push the branch to its remote, or to the only one there is; return where to.

    Raises ZeromissError when no branch or remote says where, and when the remote refuses.
    """
    branch = _git(root, "symbolic-ref", "--short", "HEAD").stdout.strip()
    if not branch:
        raise ZeromissError(f"{root} is on no branch, so that nothing says where to push: git switch BRANCH, then ingest again")
    remotes = _git(root, "remote").stdout.split()
    remote = _git(root, "config", f"branch.{branch}.remote").stdout.strip() or (remotes[0] if len(remotes) == 1 else "")
    if not remote:
        raise ZeromissError(f"the branch {branch} has no remote to push to: git push -u REMOTE {branch} once, then ingest again")
    target = _git(root, "config", f"branch.{branch}.merge").stdout.strip() or f"refs/heads/{branch}"
    done = _git(root, "push", "--quiet", remote, f"HEAD:{target}", lock=lock)
    if done.returncode != 0:
        raise ZeromissError(f"git could not push to {remote}: {_line(done)}; the commit is here, ingest again to push it")
    return remote


@contextmanager
def _marked(root: Path, file: Path) -> Iterator[None]:
    """Mark that a commit is under way, so that the next run can clear what a killed git leaves."""
    marker = root / ".zeromiss" / f"{file.stem}.committing"
    if marker.is_file():
        _clear_locks(root, since=marker.stat().st_mtime)
    marker.parent.mkdir(exist_ok=True)
    marker.write_text("")
    yield
    marker.unlink(missing_ok=True)


def _clear_locks(root: Path, *, since: float) -> None:
    """Remove git's locks that are not older than a killed commit of ours, unless a git is at work in this repository."""
    import psutil

    for process in psutil.process_iter(["name", "cwd"]):
        folder = process.info["cwd"]
        if process.info["name"] == "git" and folder and Path(folder).is_relative_to(root):
            return
    branch = _git(root, "symbolic-ref", "HEAD").stdout.strip()
    for name in (*_LOCKS, *([f"{branch}.lock"] if branch else [])):
        lock = root / _git(root, "rev-parse", "--git-path", name).stdout.strip()
        if lock.is_file() and lock.stat().st_mtime >= since - 1.0:
            lock.unlink(missing_ok=True)


def _git(root: Path, *arguments: str, lock: int | None = None) -> "subprocess.CompletedProcess[str]":
    """Run git in a folder; it asks nobody for a password."""
    keep = () if lock is None else (lock,)
    settings = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        return subprocess.run(["git", *arguments], cwd=root, env=settings, capture_output=True, text=True, check=False, pass_fds=keep)
    except OSError as error:
        raise ZeromissError(f"git cannot be started ({error.strerror}): install it") from None


def _line(done: "subprocess.CompletedProcess[str]") -> str:
    """Return what git complained of, in one line."""
    return " ".join(done.stderr.split()) or f"exit code {done.returncode}"
