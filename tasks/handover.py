"""Stages for a GPU, handed to the workers of a Prefect work pool: asked for, waited for, their outputs brought back."""

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.checkpoints import remote_storage
from tasks.commits import shared_commit
from tasks.failure import StageFailed
from tasks.fit import refuse_own_store
from tasks.pipeline import act, process
from tasks.versioning import environment
from tasks.worktree import reserved
from zeromiss.errors import ZeromissError

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

HERE = "local"  # in place of a work pool: this machine, whatever params.yaml says
TRIES = 3  # workers that may be lost over one stage
POLL = 2.0  # seconds between looks at a worker's run
WORKER_SAYS = "prefect.flow_runs.zeromiss"  # the logger of what the owner of a run is told, apart from Prefect's own lines
_ABSENT = 3  # exit code of DVC's process: the run cache does not hold it
_ORIGIN = re.compile(r"^Flow run encountered an exception: (?:\w+: )?")  # what Prefect puts before a sentence
_WAITING = {"Scheduled": "waits for a worker of the work pool {pool}", "Late": "no worker of {pool} has taken it yet: prefect worker start --pool {pool}"}


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Where stages for a GPU go: the work pool, and the commit that its workers check out."""

    pool: str
    commit: str


@task(cache_policy=NO_CACHE, persist_result=False)
def find_workers(product: str, root: str, workers: str | None = None) -> Workers | None:
    """Return where the product's stages for a GPU go: the pool `workers`, else what params.yaml says; None: they stay here.

    Looks first, before hours are spent, whether a worker will find all it needs. Raises ZeromissError where it would not.
    """
    from zeromiss.params import read_workers
    from zeromiss.workspace import Workspace

    pool = workers or read_workers(Workspace(root=Path(root)).params_file)
    if pool is None or pool == HERE:
        return None
    refuse_own_store("this machine")
    commit = shared_commit(product, Path(root))
    remote_storage(Path(root))
    _check_pool(pool, product)
    print(f"stages for a GPU go to the work pool {pool}, at commit {commit[:12]}")
    return Workers(pool=pool, commit=commit)


@task(cache_policy=NO_CACHE, persist_result=False)
def fit_elsewhere(stage: str, root: str, workers: Workers, *, parent: str) -> None:
    """Have a stage up to date without running it here: from the run cache, else after a worker has run it.

    A worker that is lost is replaced by the next, which goes on from the last state in the remote. Raises StageFailed
    when data cannot be handed over, and ZeromissError with the worker's sentence when the stage fails there.
    """
    if _restored(stage, root):
        return
    with reserved(Path(root) / ".zeromiss" / "fit", "a stage of another run"):  # no worker may check a commit out in this very folder
        _hand_over(stage, root, workers, parent)
    if not _restored(stage, root):
        raise ZeromissError(f"{stage} ended well on a worker, but DVC's remote does not hold it: see that the worker's clone has the same remote")


def _hand_over(stage: str, root: str, workers: Workers, parent: str) -> None:
    """Push what the stage depends on and have it run by a worker, and by the next when that one is lost."""
    act("send-before", stage, Path(root), environment())
    product = stage.rpartition("@")[2]
    parameters = {"product": product, "commit": workers.commit, "stage": stage, "parent": parent}
    for left in reversed(range(TRIES)):
        state = _run(f"fit/{product}", parameters, workers.pool, stage)
        if state.is_completed():
            break
        if not state.is_crashed():
            raise ZeromissError(f"{stage} failed on a worker of {workers.pool}: {_sentence(state)}")
        print(f"{stage}: the worker is lost ({_sentence(state)}){', another one is asked' if left else ''}", flush=True)
    else:
        raise ZeromissError(f"{stage} was lost with {TRIES} workers of {workers.pool} in turn: look into their logs; started again, it goes on")


def _restored(stage: str, root: str) -> bool:
    """Bring a stage up to date from the run cache; return whether it was there."""
    code = process("restore", stage, Path(root), environment())
    if code not in (0, _ABSENT):
        raise StageFailed(stage, code)
    return code == 0


def _check_pool(pool: str, product: str) -> None:
    """Raise ZeromissError unless a Prefect server has the pool, and the product's stages can be asked for there."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        raise ZeromissError(f"the work pool {pool} lies on a Prefect server that its workers ask for work: set PREFECT_API_URL to its address")
    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(pool)
        except ObjectNotFound:
            raise ZeromissError(f"the Prefect server has no work pool {pool!r}: prefect work-pool create {pool} --type process") from None
        try:
            deployment = client.read_deployment_by_name(f"fit/{product}")
        except ObjectNotFound:
            raise ZeromissError(f"the Prefect server has no deployment fit/{product}, by which a worker takes its stages: zeromiss deploy") from None
    if deployment.work_pool_name != pool:
        raise ZeromissError(f"the deployment fit/{product} belongs to the work pool {deployment.work_pool_name}, not to {pool}: name that one")


def _run(deployment: str, parameters: dict[str, Any], pool: str, stage: str) -> Any:
    """Ask for a run, tell how it goes, and return its last state; when this is stopped, so is the run."""
    from prefect.client.orchestration import get_client
    from prefect.deployments import run_deployment
    from prefect.states import Cancelling

    run = run_deployment(deployment, parameters=parameters, timeout=0, flow_run_name=stage)
    with get_client(sync_client=True) as client:
        try:
            return _wait(client, run.id, pool, stage)
        except BaseException:
            client.set_flow_run_state(run.id, Cancelling())
            raise


def _wait(client: "SyncPrefectClient", run: "UUID", pool: str, stage: str) -> Any:
    """Wait for a run's last state and return it; print what changes, and what its worker says."""
    told, lines = "", 0
    while True:
        found = client.read_flow_run(run)
        said = client.read_logs(_by_worker(run), offset=lines)
        lines += len(said)
        for entry in said:
            if entry.name == WORKER_SAYS:
                print(entry.message, flush=True)
        now = _progress(found, pool)
        if now and now != told:
            print(f"{stage}: {now}", flush=True)
            told = now
        if found.state.is_final():
            return found.state
        time.sleep(POLL)


def _by_worker(run: "UUID") -> Any:
    """Return what picks a run's logs."""
    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

    return LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]))


def _progress(run: "FlowRun", pool: str) -> str:
    """Return what a run's state means; nothing for one that says enough by its end."""
    if run.state.is_running():
        return "a worker is at it"
    return _WAITING.get(run.state.name or "", "").format(pool=pool)


def _sentence(state: Any) -> str:
    """Return why a run ended, in the worker's own words."""
    return _ORIGIN.sub("", state.message or f"it ended as {state.name}")
