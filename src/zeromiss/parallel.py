"""Many independent tasks over processes or a cluster's workers, results in order, with a progress bar."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from joblib import Parallel, delayed, parallel_config
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from zeromiss.cluster import Session, active_session, check_process, worker_name
from zeromiss.errors import ZeromissError

_SMALL = (str, bytes, bool, int, float, type(None))  # sent with each task, shared or not


def run_all(task: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], *, jobs: int, title: str, unit: str) -> list[Any]:
    """Return `task(*each)` for each of `arguments`, in their order, over `jobs` processes (-1: one a core).

    Inside `zeromiss.cluster.at_cluster` the cluster's workers do them instead, however many `jobs` there are.
    Each task runs on one thread, wherever it runs: results do not depend on it, and processes do not fight
    for cores. Raises what a task raises; ZeromissError for a cluster that cannot do the work.
    """
    return list(run_each(task, arguments, jobs=jobs, title=title, unit=unit))


def run_each(task: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], *, jobs: int, title: str, unit: str) -> Iterator[Any]:
    """Yield what `run_all` returns, one result after the other as they come, so that not all need be kept."""
    session = active_session()
    results = _here(task, arguments, jobs) if session is None else _there(task, arguments, session)
    yield from tqdm(results, total=len(arguments), desc=title, unit=unit, dynamic_ncols=True)


def _here(task: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], jobs: int) -> Iterator[Any]:
    """Do the tasks in processes of this machine."""
    return Parallel(n_jobs=jobs, return_as="generator")(delayed(_on_one_thread)(task, each) for each in arguments)


def _there(task: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], session: Session) -> Iterator[Any]:
    """Do the tasks on the workers of a cluster; what several tasks read is sent there once."""
    from zeromiss.cluster_backend import SteadyDaskBackend

    ready = _shared_once(arguments, session)
    try:
        with parallel_config(backend=SteadyDaskBackend(client=session.client)):
            pool = Parallel(n_jobs=-1, return_as="generator", pre_dispatch="all", batch_size=1)  # Dask divides them anew as workers come
            results = pool(delayed(_on_worker)(task, (each,), session.facts) for each in ready)
        yield from results
    except ZeromissError:
        raise
    except Exception as error:
        sentence = session.explain(error)
        if sentence is None:
            raise
        raise sentence from None


def _shared_once(arguments: Sequence[tuple[Any, ...]], session: Session) -> list[tuple[Any, ...]]:
    """Return the arguments with whatever stands in more than one task replaced by what stands for it on the cluster."""
    seen = Counter(id(value) for each in arguments for value in each if not isinstance(value, _SMALL))
    shared = {id(value): value for each in arguments for value in each if seen[id(value)] > 1}
    futures = dict(zip(shared, session.share(list(shared.values())), strict=True))
    return [tuple(futures.get(id(value), value) for value in each) for each in arguments]


def _on_one_thread(task: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Run one task with numerical libraries held to one thread, and nothing handed on to further processes."""
    with threadpool_limits(1), parallel_config(backend="sequential", n_jobs=1):
        return task(*arguments)


def _on_worker(task: Callable[..., Any], wrapped: tuple[tuple[Any, ...]], expected: Mapping[str, str]) -> Any:
    """Run one task in a worker's process, which is checked first: it may have come after the connection was made.

    Raises ZeromissError, with the worker's address, for what the task refuses.
    """
    check_process(expected)
    threadpool_limits(1)  # for good: another task of this process, in another thread, must not get threads back
    try:
        with parallel_config(backend="sequential", n_jobs=1):
            return task(*wrapped[0])
    except ZeromissError as error:
        raise ZeromissError(f"worker {worker_name()}: {error}") from None
