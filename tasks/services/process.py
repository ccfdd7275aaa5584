"""A process that outlives the command that started it: found again by its id and its start, so that no other is ever touched."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeromiss.errors import ZeromissError

_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, kw_only=True)
class Started:
    """A process: its id, and its start in clock ticks since the boot with this id, which no other process shares."""

    pid: int
    ticks: int
    boot: str


def start(command: list[str], *, log: Path, environment: dict[str, str], folder: Path, user: str | None) -> "subprocess.Popen[bytes]":
    """Start a command in a session of its own, its output appended to `log`.

    Raises ZeromissError when the program cannot be started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    as_user: dict[str, Any] = {} if user is None else {"user": user, "group": _group(user), "extra_groups": []}
    with log.open("ab") as output:
        try:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=folder, start_new_session=True, **as_user
            )  # fmt: skip
        except OSError as error:
            raise ZeromissError(f"{command[0]} cannot be started ({error.strerror}): install it, or look at its rights") from None


def identify(pid: int) -> Started | None:
    """Return the process with this id as it is known later; None when there is none, or only its zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] == "Z":
        return None
    return Started(pid=pid, ticks=int(fields[19]), boot=_BOOT.read_text(encoding="ascii").strip())


def is_alive(process: Started) -> bool:
    """Return whether this very process runs, not another that got its number since."""
    return identify(process.pid) == process


def session_left(process: Started) -> list[int]:
    """Return the processes that it started and left behind, the process itself included.

    A number is given to no new process while a session has it, so that a session without its leader is still its own.
    """
    if process.boot != _BOOT.read_text(encoding="ascii").strip():
        return []
    leader = identify(process.pid)
    if leader is not None and leader != process:
        return []
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _session(pid) == process.pid and identify(pid)]


def stop(process: Started, *, polite: signal.Signals, seconds: float) -> bool:
    """End a process, then what it leaves of its session; return whether all went when asked, without being killed."""
    if is_alive(process):
        _send(process.pid, polite)
        _until(lambda: not is_alive(process), seconds, process.pid)
    if not is_alive(process):
        for pid in session_left(process):
            _send(pid, signal.SIGTERM)
        _until(lambda: not session_left(process), 5.0, process.pid)
    left = session_left(process)
    for pid in left:
        _send(pid, signal.SIGKILL)
    _until(lambda: not session_left(process), 10.0, process.pid)
    return not left


def _until(done: Callable[[], bool], seconds: float, child: int) -> None:
    """Wait until something holds, not for long; the child that ends meanwhile is taken leave of."""
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        _reap(child)
        time.sleep(0.1)


def _send(pid: int, number: signal.Signals) -> None:
    """Send a signal to one process, if it is still there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _reap(pid: int) -> None:
    """Take leave of a child, if it is ours."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


def _session(pid: int) -> int | None:
    """Return the session a process belongs to."""
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _group(user: str) -> int:
    """Return a user's own group."""
    import pwd

    return pwd.getpwnam(user).pw_gid
