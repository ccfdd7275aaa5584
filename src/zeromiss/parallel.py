"""Many independent tasks over processes, results in order, with a progress bar."""

from collections.abc import Callable, Sequence
from typing import Any

from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits
from tqdm import tqdm


def run_all(task: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], *, jobs: int, title: str, unit: str) -> list[Any]:
    """Return `task(*each)` for each of `arguments`, in their order, over `jobs` processes (-1: one a core).

    Each task runs on one thread, whatever the number of jobs: results do not depend on it, and processes
    do not fight for cores. Another joblib backend (Dask) can be chosen around the call.
    """
    results = Parallel(n_jobs=jobs, return_as="generator")(delayed(_on_one_thread)(task, each) for each in arguments)
    return list(tqdm(results, total=len(arguments), desc=title, unit=unit, dynamic_ncols=True))


def _on_one_thread(task: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Run one task with numerical libraries held to one thread."""
    with threadpool_limits(1):
        return task(*arguments)
