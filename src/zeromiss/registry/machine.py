"""The kind of machine that computes: what may change the last bits of a result beside the libraries."""

import os
import platform
from pathlib import Path

CPU, THREADS = "machine.cpu", "machine.threads"  # tags
_LISTED = Path("/proc/cpuinfo")
_VECTORS = ("avx512f", "avx2", "asimd")  # the widest first: libraries choose their kernels by them


def machine(*, listed: Path = _LISTED) -> dict[str, str]:
    """Return the processor and how many threads numeric libraries start on it, as the tags of a run.

    `listed`: Linux's list of processors; elsewhere the system's own short name is taken. Threads are those that
    OMP_NUM_THREADS names, else the processors that this process may use.
    """
    return {CPU: _cpu(listed), THREADS: str(threads())}


def threads() -> int:
    """Return how many threads OpenMP starts in this process unless it is told otherwise, at least 1."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if first.isdigit() and int(first):
        return int(first)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu(listed: Path) -> str:
    """Return name, numbers and widest vector instructions of the first processor."""
    try:
        lines = listed.read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    numbers = [f"{name} {facts[key]}" for key, name in (("cpu family", "family"), ("model", "model"), ("stepping", "stepping")) if key in facts]
    named = [facts.get("model name") or platform.machine(), *numbers, *[flag for flag in _VECTORS if flag in flags][:1]]
    return ", ".join(named)
