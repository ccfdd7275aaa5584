"""Processes of our own for work on many small files, where threads would wait for each other.

A worker is a fresh interpreter that holds one end of a pipe: it ends with its parent, however that ends. Descriptors
in `keep` stay open in it, so that a lock lasts until the last worker is done.
"""

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

BATCH = 250  # files handed over at once
_FEW = 500  # items below which starting a process costs more than it saves
_MOST = 8  # a disk serves no more at once


def work(job: str, items: Sequence[Any], *, title: str, unit: str, keep: tuple[int, ...] = ()) -> list[Any]:
    """Return what `job` makes of each item, in order, with a bar of rate and time left.

    `job` is `module:function`: a function of a list of items that returns as many results. Few items are worked off
    here. What the function raises is raised here, at the first batch that fails; RuntimeError for a worker that died.
    """
    from tqdm import tqdm  # a worker, which imports this file too, shows no bar

    batches = [items[start : start + BATCH] for start in range(0, len(items), BATCH)]
    processes = min(len(os.sched_getaffinity(0)), _MOST, len(batches))
    with tqdm(total=len(items), desc=title, unit=unit, dynamic_ncols=True) as bar:
        results: list[Any] = []
        for found in _results(job, batches, processes if len(items) > _FEW else 1, keep):
            results += found
            bar.update(len(found))
    return results


def _results(job: str, batches: Sequence[Any], processes: int, keep: tuple[int, ...]) -> Iterator[list[Any]]:
    """Yield each batch's results, in order."""
    if processes < 2:
        yield from map(_function(job), batches)
        return
    waiting, early, position = iter(enumerate(batches)), {}, 0
    with _started(job, processes, keep) as pipes:
        busy = {pipe: number for pipe in pipes if (number := _hand_over(pipe, waiting)) is not None}
        while busy:
            for pipe in wait(list(busy)):
                early[busy.pop(pipe)] = _outcome(pipe)
                if (number := _hand_over(pipe, waiting)) is not None:
                    busy[pipe] = number
            while position in early:
                yield early.pop(position)
                position += 1


def _hand_over(pipe: Connection, waiting: Iterator[tuple[int, Any]]) -> int | None:
    """Send the next batch; return its number, None when there is none left."""
    for number, batch in waiting:
        pipe.send(batch)
        return number
    return None


def _outcome(pipe: Connection) -> list[Any]:
    """Return what a worker made of its batch, or raise what it raised."""
    try:
        done, value = pipe.recv()
    except (EOFError, ConnectionError):
        raise RuntimeError("a worker process died: was the machine short of memory?") from None
    if not done:
        raise value
    return value


@contextmanager
def _started(job: str, processes: int, keep: tuple[int, ...]) -> Iterator[list[Connection]]:
    """Start workers and yield our ends of their pipes; at the end wait until all have stopped."""
    pipes, started = [], []
    try:
        for _ in range(processes):
            ours, theirs = Pipe()
            handle = theirs.fileno()
            command = [sys.executable, "-P", "-m", "zeromiss.images.workers", str(handle), job]
            with theirs:
                started.append(subprocess.Popen(command, pass_fds=(handle, *keep), stdin=subprocess.DEVNULL))
            pipes.append(ours)
        yield pipes
    finally:
        for pipe in pipes:
            pipe.close()
        for process in started:
            process.wait()


def _function(job: str) -> Callable[[Any], list[Any]]:
    """Import the function that `module:function` names."""
    module, _, name = job.partition(":")
    return getattr(importlib.import_module(module), name)


def _serve(handle: int, job: str) -> None:
    """Work off batches until the parent closes the pipe or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and closes the pipe
    function = _function(job)
    with Connection(handle) as pipe:
        while True:
            try:
                batch = pipe.recv()
            except (EOFError, ConnectionError):
                return
            try:
                outcome = (True, function(batch))
            except Exception as error:  # told by the parent
                outcome = (False, error)
            try:
                pipe.send(outcome)
            except ConnectionError:
                return


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.argv[2])
