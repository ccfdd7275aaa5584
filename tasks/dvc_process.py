"""One act of DVC in a process of its own: `python -P tasks/dvc_process.py VERB TARGET`.

Does what `dvc VERB TARGET` does with the same terminal, but ends with the exit code of the stage's own
command, which `dvc repro` hides behind 255, and repeats nothing that the stage has said already.
"""

import logging
import re
import sys
from pathlib import Path
from typing import Any

import psutil
from dvc.exceptions import DvcException, ReproductionError
from dvc.repo import Repo
from dvc.rwlock import RWLOCK_FILE, RWLockFileCorruptedError, _edit_rwlock
from dvc.stage.exceptions import StageCmdFailedError
from dvc.ui import ui

from zeromiss.errors import ZeromissError

FAILED = 2
ABSENT = 3  # the run cache does not hold what was to be brought from it
_CHATTER = ("dvc.dvcfile", "dvc.repo.scm_context")  # lock file written, how to add it to git: after every stage


def main(arguments: list[str]) -> int:
    """Run one act (repro, add, checkout, or one on the remote) on one target and return its exit code."""
    verb, target = arguments
    ui.enable()
    for name in _CHATTER:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        return _act(verb, target)
    except ReproductionError as error:
        cause = error.__cause__
        if isinstance(cause, StageCmdFailedError):
            return _exit_code(cause)
        return _say(cause or error)
    except DvcException as error:
        return _say(error)
    except ZeromissError as error:
        print(f"zeromiss: {error}", file=sys.stderr)
        return FAILED


def _act(verb: str, target: str) -> int:
    """Do the act in the repository of the current folder and return the exit code."""
    with Repo() as repo:
        forget_zombies(repo)
        if verb == "repro":
            repo.reproduce(target, single_item=True)
        elif verb == "add":
            from tasks.dvc_add import add  # the process has the repository on its path

            add(repo, target)
        elif verb == "push":
            from tasks.dvc_push import push

            push(repo, target)
        elif verb == "checkout":
            repo.checkout(targets=[target])
        else:
            from tasks.dvc_remote import ACTS, at_remote

            with at_remote(repo):
                return 0 if ACTS[verb](repo, target) else ABSENT
    return 0


def forget_zombies(repo: Repo) -> None:
    """Take processes that were killed and that nobody has waited for off DVC's list of who is at work.

    DVC takes them for living ones and refuses. The first process of a container often waits for nobody, so that they stay for ever.
    A list that a killed process has left half written goes too.
    """
    try:
        with _edit_rwlock(repo.tmp_dir, repo.fs, repo.config["core"].get("hardlink_lock", False)) as lock:
            lock["read"] = {path: left for path, infos in lock["read"].items() if (left := [info for info in infos if not _is_zombie(info)])}
            lock["write"] = {path: info for path, info in lock["write"].items() if not _is_zombie(info)}
    except RWLockFileCorruptedError:  # its writer was killed in the middle, so that nobody can read it ever again
        Path(repo.tmp_dir, RWLOCK_FILE).unlink()


def _is_zombie(info: dict[str, Any]) -> bool:
    """Return whether a process of DVC's list has ended but is still known to the system."""
    try:
        return psutil.Process(int(info["pid"])).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False  # DVC sees that by itself


def _exit_code(error: StageCmdFailedError) -> int:
    """Return the exit code of the stage's command."""
    found = re.search(r"exited with (-?\d+)$", str(error))
    return int(found.group(1)) if found else FAILED


def _say(error: BaseException) -> int:
    """Print DVC's own refusal in one line."""
    print(f"dvc: {' '.join(str(error).split())}", file=sys.stderr)
    return FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
