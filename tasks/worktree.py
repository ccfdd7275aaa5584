"""A commit's files in a folder of their own, by `git worktree`: the repository's files and index stay as they are."""

import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zeromiss.errors import ZeromissError

NO_HOOKS = ("-c", "core.hooksPath=/dev/null")  # DVC's own hook would check out all data of all products


@contextmanager
def reserved(folder: Path, what: str) -> Iterator[None]:
    """Hold `folder` for this process; the lock ends with it, however it ends.

    Raises ZeromissError when another process holds it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ZeromissError(f"{what} is at work in {folder} already: wait until it has ended") from None
        yield


def add_worktree(root: Path, folder: Path, commit: str) -> Path:
    """Put the files of `commit` into `folder`, which is made anew, and return where the workspace of `root` lies in it.

    Raises ZeromissError when the commit is not in this repository.
    """
    if git(root, "cat-file", "-e", f"{commit}^{{commit}}").returncode != 0:
        raise ZeromissError(f"commit {commit[:12]} is not in the repository {root}: fetch it with git fetch, from where the model was made")
    remove_worktree(root, folder)
    done = git(root, *NO_HOOKS, "worktree", "add", "--detach", "--force", str(folder), commit)
    if done.returncode != 0:
        raise ZeromissError(f"git could not put commit {commit[:12]} into {folder}: {line(done)}")
    return folder / git(root, "rev-parse", "--show-prefix").stdout.strip()


def remove_worktree(root: Path, folder: Path) -> None:
    """Remove a folder that `add_worktree` made, whole or in part, and git's note of it."""
    shutil.rmtree(folder, ignore_errors=True)
    git(root, "worktree", "prune")


def apply_patch(tree: Path, patch: Path) -> None:
    """Apply what `git diff` printed to the worktree at `tree`.

    Raises ZeromissError when it does not fit.
    """
    done = git(tree, "apply", "--whitespace=nowarn", str(patch))
    if done.returncode != 0:
        raise ZeromissError(f"{patch} does not fit the commit: {line(done)}")


def git(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run git in a folder."""
    try:
        return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ZeromissError(f"git cannot be started ({error.strerror}): install it") from None


def line(done: "subprocess.CompletedProcess[str]") -> str:
    """Return what git complained of, in one line."""
    return " ".join(done.stderr.split()) or f"exit code {done.returncode}"
