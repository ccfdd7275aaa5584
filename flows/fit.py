"""Fit: one stage on a worker, in the worker's own clone of the repository.

It is given a commit and a stage, and no path: what the stage reads comes through DVC's remote, and so does what it made.
"""

from functools import partial
from pathlib import Path

from prefect import flow, get_run_logger

from tasks.fit import bring_data, bring_state, check_worker, give_data, train_on
from tasks.worktree import reserved
from zeromiss.errors import ZeromissError


@flow(name="fit", persist_result=False)
def fit(product: str, commit: str, stage: str, root: str = ".", parent: str = "", every: float = 30.0) -> None:
    """Run the stage `stage` (its address, as vqgan@solar_cell) of a commit in this clone, `root`, and push what it made.

    `parent`: the run of MLflow's that the stage's own nests under. `every`: seconds between two copies of a training's
    state to the remote, from where it goes on after a kill, here or on another machine. Raises StageFailed when the
    stage fails and ZeromissError for what any other step refuses, each with the sentence that the stage's owner is told.
    """
    clone = Path(root).resolve()
    if stage.rpartition("@")[2] != product:
        raise ZeromissError(f"stage {stage!r} is no stage of product {product!r}: name it as vqgan@{product}")
    say = partial(get_run_logger().getChild("zeromiss").info, "%s: %s", stage)
    with reserved(clone / ".zeromiss" / "fit", "a run or another stage"):
        check_worker(clone, commit)
        bring_data(stage, clone)
        keeper = bring_state(stage, clone, say)
        train_on(stage, clone, parent=parent, keeper=keeper, every=every)
        give_data(stage, clone)
