"""joblib's Dask backend, made safe for a long run: imported only once a cluster is asked for.

Found in joblib 1.6: a task whose worker dies for good, or that cannot be unpacked there, leaves joblib waiting for ever;
a task that is given up when the scheduler goes comes back as if its error were its result; and a cluster of one
thread is not used at all. Arrays given to a task are scattered to one worker and lost with it: whoever calls
hides them in a tuple, and shares large ones through `Session.share`.
"""

import asyncio
from typing import Any

from joblib._dask import DaskDistributedBackend


class SteadyDaskBackend(DaskDistributedBackend):
    """Hands every end of a task to joblib, good or bad, and always works on the cluster."""

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Return the cluster's threads, two at least: for one, joblib would do the tasks itself."""
        return max(2, super().effective_n_jobs(n_jobs))

    async def _collect(self) -> None:
        """Pass on each task that ended, while joblib's call lasts."""
        while self._continue:
            async for future, outcome in self.waiting_futures:
                waiting, callback = self._results.pop(future), self._callbacks.pop(future)
                if future.status == "error":
                    outcome = outcome[1]
                waiting.set_result(outcome)
                callback(outcome)
            await asyncio.sleep(0.01)

    def retrieve_result_callback(self, out: Any) -> Any:
        """Return a task's result, or raise what it raised or what befell it."""
        if isinstance(out, BaseException):
            raise out
        return super().retrieve_result_callback(out)
