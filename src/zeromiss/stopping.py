"""Being stopped: a signal ends a command in good order, and it and all it has started within ten seconds."""

import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import psutil

PATIENCE = 5.0  # seconds that processes which were told to end get before they are killed
DEADLINE = 8.5  # seconds after the first signal at which this process and all below it are gone, whatever they wait for
_PAUSE = 0.05
_deadline: threading.Timer | None = None  # of this process, from the first signal on


class Stopped(KeyboardInterrupt):
    """SIGTERM or SIGHUP: someone stops the program. All that cleans up after Ctrl-C does so after this too."""

    def __init__(self, number: int = signal.SIGTERM) -> None:
        """Keep the signal's number."""
        super().__init__()
        self.number = number


@contextmanager
def stoppable(*, last: bool = False) -> Iterator[None]:
    """Turn the first SIGTERM, SIGHUP or Ctrl-C into an exception, so that what runs ends in good order; further ones change nothing.

    A handler that was there before, such as Prefect's, raises its own. What has not ended DEADLINE seconds later is
    killed; this holds until the block ends or, with `last`, until the process does. An ignored signal (nohup) stays ignored.
    """
    told = False

    def stop(number: int, frame: FrameType | None) -> None:
        """Raise once."""
        nonlocal told
        if told:
            return
        told = True
        _kill_later(128 + number)
        if callable(handler := before[number]):
            handler(number, frame)
        raise Stopped(number)

    if threading.current_thread() is not threading.main_thread():  # signals come to the main thread alone
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if _deadline is not None and not last:
            _deadline.cancel()
            signal.alarm(0)


def _kill_later(code: int) -> None:
    """Have this process, and all below it, end with an exit code at the deadline that the first signal set."""
    global _deadline
    if _deadline is None or not _deadline.is_alive():
        _deadline = threading.Timer(DEADLINE, _kill_all, (code,))
        _deadline.daemon = True
        _deadline.start()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(math.ceil(DEADLINE) + 1)  # the system's own: no thread runs any more while the interpreter is taken down


def _kill_all(code: int) -> None:
    """Kill all descendants and end this process at once."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    os._exit(code)


def end_session(leader: int) -> None:
    """End what the process `leader` has started, then itself: told first, killed after PATIENCE seconds.

    What it has started ends first and writes down that it was stopped; a leader that waits for that ends by itself. The
    calling process is left alone, also where it is the leader.
    """
    deadline = time.monotonic() + PATIENCE
    below = _below(leader)
    for process in below or _leader(leader):
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    while (alive := [*_below(leader), *_leader(leader)]) and time.monotonic() < deadline:
        time.sleep(_PAUSE)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _below(leader: int) -> list[psutil.Process]:
    """Return the living processes of the leader's session and all of its descendants, without itself and the calling process.

    A process whose parent was killed still belongs to the session.
    """
    found: dict[int, psutil.Process] = {}
    with suppress(psutil.NoSuchProcess):
        found |= {one.pid: one for one in psutil.Process(leader).children(recursive=True)}
    for one in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(one.pid) == leader:
                found[one.pid] = one
    return [one for pid, one in found.items() if pid not in (leader, os.getpid()) and _lives(one)]


def _leader(pid: int) -> list[psutil.Process]:
    """Return the leader while it lives and is not the calling process."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process] if pid != os.getpid() and _lives(process) else []
    return []


def _lives(process: psutil.Process) -> bool:
    """Return whether a process runs; nobody is waited for, so that its parent hears how it ended."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
