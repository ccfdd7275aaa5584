"""What two machines hand over through DVC's remote: data, outputs, and the run cache that says which command made them.

An output is known by the stage that made it and by all that stage depended on. So the machine that goes on from it needs
no lock file of the machine that made it: it asks the run cache, as `dvc pull --run-cache` and `dvc repro` would together,
but fetches only what this one stage made.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dvc.exceptions import DvcException
from dvc.repo import locked
from dvc.repo.scm_context import scm_context

from zeromiss.errors import ZeromissError

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import Stage


@contextmanager
def at_remote(repo: "Repo") -> Iterator[None]:
    """Turn what goes wrong on the way to the remote into a sentence; DVC's own refusals stay as they are."""
    try:
        yield
    except (DvcException, ZeromissError):
        raise
    except Exception as error:  # each kind of storage has errors of its own
        name = repo.config["core"].get("remote")
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ZeromissError(f"DVC's remote {name!r} cannot be used ({reason}): mend its address or credentials, see dvc remote list") from error


def restore(repo: "Repo", target: str) -> bool:
    """Bring one stage up to date from the run cache, never by its command; return whether that could be done."""
    return _restore(repo, _stage(repo, target))


def prepare(repo: "Repo", target: str) -> bool:
    """Bring all that a stage depends on: raw data by their version, other stages' outputs from the run cache.

    Raises ZeromissError for a stage that the run cache does not hold: nothing is made here that another machine made.
    """
    repo.stage_cache.pull(None)
    for stage in before(repo, _stage(repo, target)):
        if not stage.cmd:
            repo.pull(targets=[stage.addressing])
        elif not _restore(repo, stage):
            raise ZeromissError(
                f"{stage.addressing} is not in the run cache of DVC's remote, so that {target} has nothing to begin with: "
                "start the run again where it came from"
            )
    return True


def send_before(repo: "Repo", target: str) -> bool:
    """Push all that a stage depends on, and the run cache."""
    return _send(repo, [stage.addressing for stage in before(repo, _stage(repo, target))])


def send(repo: "Repo", target: str) -> bool:
    """Push what a stage made, and the run cache."""
    return _send(repo, [target])


ACTS: dict[str, Callable[["Repo", str], bool]] = {"restore": restore, "prepare": prepare, "send-before": send_before, "send": send}


def before(repo: "Repo", stage: "Stage") -> list["Stage"]:
    """Return the stages that a stage depends on, data sources included, each after its own."""
    import networkx

    graph = repo.index.graph  # an edge leads from a stage to what it depends on
    needed = networkx.descendants(graph, stage)
    return [one for one in networkx.topological_sort(graph.reverse()) if one in needed]


def _stage(repo: "Repo", target: str) -> "Stage":
    (stage,) = repo.stage.collect(target)
    return stage


def _send(repo: "Repo", targets: list[str]) -> bool:
    repo.push(targets=targets, run_cache=True)
    return True


@locked
@scm_context
def _restore(repo: "Repo", stage: "Stage") -> bool:
    """Do what `dvc repro --pull` does of a stage up to the point where it would run the command."""
    from dvc.rwlock import rwlock
    from dvc.stage.cache import RunCacheNotFoundError

    if not stage.changed():
        return True
    repo.stage_cache.pull(None)
    reads, writes = [one.fs_path for one in stage.deps], [one.fs_path for one in stage.outs]
    linked, name = repo.config["core"].get("hardlink_lock", False), " ".join(sys.argv)  # the name DVC's own steps below lock by
    with rwlock(repo.tmp_dir, repo.fs, name, reads, writes, linked):
        stage.remove_outs()
        try:
            repo.stage_cache.restore(stage, pull=True)
        except RunCacheNotFoundError:
            return False
        stage.save(run_cache=False)
        stage.commit()
    stage.dump(update_pipeline=False)
    return True
