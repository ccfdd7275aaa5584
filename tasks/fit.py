"""What a worker does for one stage: the commit and its data brought, the stage run, its outputs pushed."""

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.checkpoints import kept, keeper_of
from tasks.commits import take_commit
from tasks.pipeline import act, run_stage
from tasks.versioning import environment
from zeromiss.errors import ZeromissError

if TYPE_CHECKING:
    from tasks.checkpoints import Keeper

TRACKING = "MLFLOW_TRACKING_URI"


@task(cache_policy=NO_CACHE, persist_result=False)
def check_worker(clone: Path, commit: str) -> None:
    """Take the commit up in the worker's clone; raise ZeromissError when this machine cannot work for another."""
    refuse_own_store("the worker in " + str(clone))
    take_commit(clone, commit)


def refuse_own_store(who: str) -> None:
    """Raise ZeromissError unless a tracking server is named: in a store of its own nobody else would find a stage's run."""
    if not os.environ.get(TRACKING):
        raise ZeromissError(
            f"{who} has no {TRACKING}, so that a stage's run would be written where no audit finds it: name the server that all machines use"
        )


@task(cache_policy=NO_CACHE, persist_result=False)
def bring_data(stage: str, clone: Path) -> None:
    """Bring all that the stage depends on from DVC's remote; raise StageFailed when it is not to be had."""
    act("prepare", stage, clone, environment())


@task(cache_policy=NO_CACHE, persist_result=False)
def bring_state(stage: str, clone: Path, say: Callable[[str], None]) -> "Keeper | None":
    """Bring the state that a killed training of just this left in the remote, and return what keeps it from now on."""
    keeper = keeper_of(stage, clone, say=say)
    if keeper is not None and (steps := keeper.bring()):
        say(f"goes on from the state after {steps} steps")
    return keeper


def train_on(stage: str, clone: Path, *, parent: str, keeper: "Keeper | None", every: float) -> None:
    """Run the stage in a slot of the GPU, its state copied to the remote meanwhile; raise StageFailed when it fails."""
    with kept(keeper, every=every) if keeper else nullcontext():
        run_stage.with_options(name=stage, tags={"gpu"})(stage, str(clone), worker="gpu", parent=parent)


@task(cache_policy=NO_CACHE, persist_result=False)
def give_data(stage: str, clone: Path) -> None:
    """Push what the stage made; raise StageFailed when the remote does not take it."""
    act("send", stage, clone, environment())
