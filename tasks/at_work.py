"""What holds while a flow is at work in a workspace, whoever started it: the command line or a worker."""

import functools
import hashlib
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from prefect.concurrency.sync import concurrency
from prefect.runtime import flow_run

from tasks.environment import QUIET
from zeromiss.errors import ZeromissError

GPU = "gpu"  # the limit whose slots are the GPUs
LEASE = 60.0  # seconds a slot stays taken after its holder's last sign of life, which comes every 45: Prefect's least
ATTEMPTS = 3  # a run that crashed so often is not lost to a machine: something in it kills


def at_work(*, alone: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator for a flow's function, which has the parameters `product` and `root`, a workspace's folder.

    The function gets `root` absolute; the services it starts are quiet. `alone`: of the flows that write what DVC
    versions, one at a time is at work in a workspace, others wait (where a Prefect server of one's own keeps count),
    and DVC's loops follow params.yaml. Raises ZeromissError for a run that has crashed ATTEMPTS times.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the function; Prefect sees its own name, parameters and docstring."""

        @functools.wraps(function)
        def wrapped(product: str, root: str, *rest: Any, **more: Any) -> Any:
            """Do what the function does, at work."""
            os.environ.update(QUIET)
            refuse_endless()
            folder = Path(root).resolve()
            with in_workspace(folder) if alone else nullcontext():
                return function(product, str(folder), *rest, **more)

        return wrapped

    return decorate


def refuse_endless() -> None:
    """Raise ZeromissError when this run is begun once more than ATTEMPTS allows: a run that kills its worker would go round all of them."""
    if (flow_run.run_count or 0) > ATTEMPTS:
        raise ZeromissError(f"this run was lost {ATTEMPTS} times, with its worker or its process: see the workers' logs, then start a new one")


@contextmanager
def in_workspace(folder: Path) -> Iterator[None]:
    """Be the only one that writes in a workspace; wait for another one to end."""
    from zeromiss.fits import follow_params
    from zeromiss.workspace import Workspace

    with _counted(workspace_limit(folder)):
        follow_params(Workspace(root=folder))
        yield


def gpu_slot() -> Any:
    """Return a context manager that holds a GPU's slot, where such a limit has been set.

    It is a lease: Prefect renews it meanwhile, and frees the slot of a holder that is gone.
    """
    return concurrency(GPU, occupy=1, strict=False, lease_duration=LEASE)


def workspace_limit(folder: Path) -> str:
    """Return the name of the limit of a workspace: machine, folder, and what tells folders of the same name apart."""
    host = socket.gethostname()
    digest = hashlib.sha256(f"{host}:{folder}".encode()).hexdigest()[:8]
    return f"workspace-{host}-{folder.name}-{digest}"


@contextmanager
def _counted(name: str) -> Iterator[None]:
    """Hold the one slot of a limit, made where it is missing; without a server of one's own nobody else is counted."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        yield
        return
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name, 1)
        if client.read_global_concurrency_limit_by_name(name).active_slots:
            print("another run is at work in this workspace: waiting until it has ended", flush=True)
    with concurrency(name, occupy=1, strict=True, lease_duration=LEASE, raise_on_lease_renewal_failure=False):
        yield
