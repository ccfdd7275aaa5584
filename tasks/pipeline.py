"""The pipeline as DVC knows it: its order, its state, and running one stage of it.

The order and `meta.worker` are read from dvc.yaml through DVC; nobody types them a second time.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.at_work import gpu_slot
from tasks.failure import StageFailed
from tasks.hearing import Sentences, forward
from zeromiss.errors import ZeromissError

PROCESS = Path(__file__).with_name("dvc_process.py")
TRAIN = "train"  # the flow of a stage that names none
PATIENCE = 20.0  # seconds that a stopped stage gets to end


def _again(_task: object, _run: object, state: object) -> bool:
    """Say whether to try a stage again: only if a signal ended it. A refusal is final."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, StageFailed) and error.killed


@task(cache_policy=NO_CACHE, persist_result=False)
def stage_order(product: str, root: str, flow: str = TRAIN) -> list[tuple[str, str]]:
    """Return (target, worker) of the product's stages that a flow runs, each after those it depends on.

    A stage whose `meta.flow` names a flow is run by that flow alone, together with the stages it depends on; all
    others are the training flow's. Raises ZeromissError when dvc.yaml has no such stage for the product or cannot be read.
    """
    return read_order(product, Path(root), flow)


def read_order(product: str, root: Path, flow: str = TRAIN) -> list[tuple[str, str]]:
    """Return what `stage_order` returns, without Prefect."""
    import networkx
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            graph = repo.index.graph.reverse()
            place = {stage: number for number, stage in enumerate(repo.index.stages)}
            ordered = networkx.lexicographical_topological_sort(graph, key=place.__getitem__)
            mine = [stage for stage in ordered if stage.addressing.endswith(f"@{product}")]
            own = [stage for stage in mine if (stage.meta or {}).get("flow", TRAIN) == flow]
            needed = set(own) if flow == TRAIN else {*own, *(one for stage in own for one in networkx.ancestors(graph, stage))}
            mine = [stage for stage in mine if stage in needed]
    except DvcException as error:
        raise ZeromissError(f"{root / 'dvc.yaml'} cannot be read by DVC: {' '.join(str(error).split())}") from None
    if not mine:
        raise ZeromissError(f"{root / 'dvc.yaml'} has no stage for {product!r}: add it with zeromiss product add")
    return [(stage.addressing, str((stage.meta or {}).get("worker", "cpu"))) for stage in mine]


@task(cache_policy=NO_CACHE, persist_result=False, retries=1, retry_condition_fn=_again)
def run_stage(target: str, root: str, *, worker: str, parent: str, cluster: str | None = None) -> None:
    """Bring one stage up to date: `dvc repro --single-item TARGET` with this terminal.

    The stage's run nests under the run `parent`; it divides its work on `cluster` (None: as params.yaml says). A
    stage on a GPU holds a slot of Prefect's concurrency limit `gpu` meanwhile, where such a limit has been set.
    Raises StageFailed when it fails.
    """
    settings = {"ZEROMISS_PARENT_RUN": parent} | ({"ZEROMISS_CLUSTER": cluster} if cluster else {})
    if worker == "gpu":
        with gpu_slot():
            act("repro", target, Path(root), settings)
    else:
        act("repro", target, Path(root), settings)


@task(cache_policy=NO_CACHE, persist_result=False)
def changed_stages(targets: list[str], root: str) -> list[str]:
    """Return those of `targets` that `dvc status` finds changed."""
    from dvc.repo import Repo

    with Repo(root) as repo:
        return sorted(repo.status(targets=targets))


def act(verb: str, target: str, root: Path, settings: dict[str, str], *, pass_fds: tuple[int, ...] = ()) -> None:
    """Run one act of DVC, which keeps the descriptors `pass_fds` open until it ends; raise StageFailed when it fails."""
    sentences = Sentences()
    code = process(verb, target, root, settings, listen=sentences.listener(), pass_fds=pass_fds)
    if code != 0:
        raise StageFailed(target, code, sentences.last)


def process(
    verb: str, target: str, root: Path, settings: dict[str, str], *,
    silent: bool = False, listen: Callable[[bytes], None] | None = None, pass_fds: tuple[int, ...] = (),
) -> int:  # fmt: skip
    """Start DVC's process, this interpreter's commands first on its path, and return its exit code."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} if silent else {}
    return wait_for([sys.executable, "-P", str(PROCESS), verb, target], root, {**os.environ, **settings}, listen=listen, pass_fds=pass_fds, **quiet)


def wait_for(
    command: list[str] | str, folder: Path, environment: dict[str, str], *, listen: Callable[[bytes], None] | None = None, **streams: Any
) -> int:
    """Run a command (a text: by the shell) in a folder, end it in good order when stopped, and return its exit code.

    This interpreter's commands come first on its path, and it takes no part in a run of MLflow's. `listen` gets a copy of
    what it writes to standard error.
    """
    environment = {name: value for name, value in environment.items() if name != "MLFLOW_RUN_ID"}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    sys.stdout.flush()
    streams |= {"stderr": subprocess.PIPE} if listen else {}
    child = subprocess.Popen(command, cwd=folder, env=environment, shell=isinstance(command, str), **streams)
    try:
        if listen:
            forward(child.stderr.fileno(), listen)
        return child.wait()
    except BaseException as stop:  # Ctrl-C, which a terminal sends to all of them, or SIGTERM, which came here alone
        end_in_good_order(child.pid, told=type(stop) is KeyboardInterrupt)
        child.wait()
        raise


def end_in_good_order(pid: int, *, told: bool) -> None:
    """End DVC's process `pid`: first the stage that it runs, which writes down that it was stopped, then itself.

    `told`: the stage has had Ctrl-C already and gets time to end by itself.
    """
    import psutil

    try:
        dvc = psutil.Process(pid)
        below = dvc.children(recursive=True)
    except psutil.NoSuchProcess:
        return
    waiting = psutil.wait_procs([dvc, *below], timeout=PATIENCE)[1] if told else [dvc, *below]
    for process in [one for one in waiting if one != dvc] or waiting:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in psutil.wait_procs(waiting, timeout=PATIENCE)[1]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
