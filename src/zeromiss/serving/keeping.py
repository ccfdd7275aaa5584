"""What stays of served verdicts: their rows, written in batches by one thread to the data set that `zeromiss monitor` reads.

No verdict waits for the disk. What cannot be written waits in memory, within a bound, and is tried again.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from zeromiss.inspection.rows import KEY, keep, verdict_table
from zeromiss.serving.answers import Rows
from zeromiss.serving.charge import sentence
from zeromiss.serving.meters import Meters

MOST = 10_000  # rows that wait: 150 MB where each has 150 metrics
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A row and the metrics it has, by which it is written together with others."""

    row: dict[str, Any]
    features: tuple[str, ...]


_Batch = OrderedDict[tuple[str, ...], _Row]  # by the rows' keys, the oldest first


class Keeper:
    """Takes rows at once and writes them every few seconds, in a thread of its own; the last ones when it is closed."""

    def __init__(self, dataset: Path, meters: Meters, *, seconds: float, most: int = MOST) -> None:
        """Start the thread. At most `most` rows wait; of more the oldest are dropped, and counted."""
        self._dataset, self._meters, self._seconds, self._most = dataset, meters, seconds, most
        self._lock = threading.Lock()  # never held while the disk is waited for
        self._waiting: _Batch = OrderedDict()
        self._writing: _Batch = OrderedDict()
        self._kept = self._dropped = 0
        self._problem = ""
        self._stop = threading.Event()
        meters.rows_waiting.set_function(lambda: self.state().waiting)
        self._thread = threading.Thread(target=self._run, name="keep", daemon=True)
        self._thread.start()

    def add(self, row: dict[str, Any], features: Sequence[str]) -> None:
        """Take the row of a verdict; one of the same image and version that waits already stays the only one."""
        key = tuple(row[name] for name in KEY)
        with self._lock:
            if key in self._writing or key in self._waiting:
                return
            self._waiting[key] = _Row(row=row, features=tuple(features))
            if len(self._waiting) + len(self._writing) <= self._most:
                return
            self._waiting.popitem(last=False)
            self._dropped += 1
        self._meters.rows_dropped.inc()

    def state(self) -> Rows:
        """Say how many rows were kept, wait and were dropped, and what is wrong."""
        with self._lock:
            return Rows(kept=self._kept, waiting=len(self._waiting) + len(self._writing), dropped=self._dropped, problem=self._problem)

    def close(self, seconds: float) -> None:
        """Write what waits, which may take `seconds`; what could not be written is lost, and said in the log."""
        self._stop.set()
        self._thread.join(seconds)
        left = self.state()
        if left.waiting:
            _log.error("the rows of %d verdicts were not written and are lost (%s)", left.waiting, left.problem or f"not done within {seconds:g} s")

    def _run(self) -> None:
        """Wait, write, wait again; write a last time."""
        while not self._stop.wait(self._seconds):
            self._write()
        self._write()

    def _write(self) -> None:
        """Write all rows that wait, those of each version together; what fails waits again, before what came meanwhile."""
        with self._lock:
            self._writing, self._waiting = self._waiting, OrderedDict()
            batch = sorted(self._writing.items(), key=lambda item: _kind(item[1]))
        if not batch:
            return
        problem = ""
        for (_, features), group in groupby(batch, key=lambda item: _kind(item[1])):
            rows = dict(group)
            try:
                fresh = keep(self._dataset, verdict_table([one.row for one in rows.values()], features), grow=True)
            except Exception as error:  # nothing that a disk does may end the keeping
                problem = sentence(error)
                continue
            self._written(rows.keys(), fresh)
        with self._lock:
            self._waiting, self._writing = self._writing | self._waiting, OrderedDict()
        self._tell(problem)

    def _written(self, keys: Iterable[tuple[str, ...]], fresh: int) -> None:
        """Forget rows that are on the disk, of which `fresh` were new there."""
        with self._lock:
            self._kept += fresh
            for key in keys:
                del self._writing[key]
        self._meters.rows_kept.inc(fresh)

    def _tell(self, problem: str) -> None:
        """Write down what keeps rows from being written; say once that it began, and once that it is over."""
        with self._lock:
            before, self._problem = self._problem, problem
        self._meters.rows_failing.set(bool(problem))
        if problem and not before:
            _log.error("the rows of verdicts cannot be written (%s): up to %d wait and are tried again every %g s", problem, self._most, self._seconds)
        elif before and not problem:
            _log.warning("the rows of verdicts are written again")


def _kind(one: _Row) -> tuple[str, tuple[str, ...]]:
    """Return what rows of one table have in common."""
    return str(one.row["model_version"]), one.features
