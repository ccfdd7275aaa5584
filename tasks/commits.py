"""The commit that two machines work on: known to both through git, with nothing in the folder that it does not hold.

DVC's lock file is left out: a run writes it, and what it says travels in the run cache.
"""

from pathlib import Path

from tasks.worktree import NO_HOOKS, git, line
from zeromiss.errors import ZeromissError

_LOCK = "dvc.lock"
_BUT_LOCK = ("--", ".", f":!{_LOCK}")


def shared_commit(product: str, root: Path) -> str:
    """Return the commit that another machine can take up to do what would be done here.

    Raises ZeromissError where there is none: files are changed or not in git, or the commit has not been pushed.
    """
    commit = git(root, "rev-parse", "--verify", "HEAD").stdout.strip()
    if not commit:
        raise ZeromissError(f"{root} has no commit that a worker could check out: git init, commit and push")
    changed = git(root, "status", "--porcelain", *_BUT_LOCK).stdout.splitlines()
    if changed:
        rest = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise ZeromissError(
            f"{changed[0][3:]}{rest} in {root} is not as in commit {commit[:12]}, which is all that a worker sees: commit and push it, or stash it"
        )
    pointer = f"data/01_raw/{product}.dvc"
    if git(root, "ls-files", "--error-unmatch", pointer).returncode != 0:
        raise ZeromissError(f"{pointer} is not in git, so that a worker would find no images: zeromiss ingest {product}, then commit and push it")
    if not git(root, "remote").stdout.strip():
        raise ZeromissError(f"{root} has no git remote that a worker could fetch commit {commit[:12]} from: git remote add, then push")
    if not _is_pushed(root, commit):
        raise ZeromissError(f"commit {commit[:12]} is on no branch of a git remote, so that no worker can fetch it: git push")
    return commit


def take_commit(root: Path, commit: str) -> None:
    """Fetch a commit and check it out in this clone, which a worker has for itself.

    Raises ZeromissError when it is not to be had, and when somebody's changes would be lost.
    """
    if git(root, "rev-parse", "HEAD").stdout.strip() != commit:
        fetched = git(root, *NO_HOOKS, "fetch", "--quiet", "--all")
        if git(root, "cat-file", "-e", f"{commit}^{{commit}}").returncode != 0:
            why = f" ({line(fetched)})" if fetched.returncode != 0 else ""
            raise ZeromissError(f"commit {commit[:12]} is in none of the git remotes of the worker's clone {root}{why}: git push it first")
    changed = git(root, "status", "--porcelain", "--untracked-files=no", *_BUT_LOCK).stdout.splitlines()
    if changed:
        raise ZeromissError(f"{changed[0][3:]} is changed in the worker's clone {root}: give the worker a clone of its own, or undo the change")
    if git(root, "checkout", "--quiet", "HEAD", "--", _LOCK).returncode != 0:
        (root / _LOCK).unlink(missing_ok=True)
    done = git(root, *NO_HOOKS, "checkout", "--quiet", "--detach", commit)
    if done.returncode != 0:
        raise ZeromissError(f"git could not check out commit {commit[:12]} in the worker's clone {root}: {line(done)}")


def _is_pushed(root: Path, commit: str) -> bool:
    """Return whether a remote's branch holds the commit, as far as is known, and if not so, after a fetch."""
    for fetch in (False, True):
        if fetch:
            git(root, *NO_HOOKS, "fetch", "--quiet", "--all")
        if git(root, "branch", "--remotes", "--contains", commit).stdout.strip():
            return True
    return False
