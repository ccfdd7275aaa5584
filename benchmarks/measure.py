"""What every benchmark shares: two ways timed in turn, peak memory of a process, the figures written down.

A benchmark is a file here with `run() -> list[Figure]`. `benchmarks/run.py` runs all in turn, each in a process of its
own, and writes `benchmarks/RESULTS.md` from `benchmarks/results/*.json`. Run one alone with
`python -m benchmarks.run NAME`.
"""

import gc
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results"
PACKAGES = ("torch", "scikit-learn", "scipy", "numpy", "lightgbm", "xgboost", "dvc", "anomalib", "taming-transformers")


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Two ways to the same end, timed in turn; seconds of each round, in the order in which they were run."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """Theirs / ours of each round: 5 means that ours is five times as fast."""
        return [theirs / ours for ours, theirs in zip(self.ours, self.theirs, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured figure: what, against what, which target, and what it came to."""

    what: str
    against: str = ""  # what it is compared with; empty for a figure that stands alone
    target: str = ""  # for instance ">= 5"; empty where none was set
    value: float
    unit: str = ""  # for instance "x", "s", "%"
    spread: tuple[float, float] | None = None  # smallest and largest of the rounds
    met: bool | None = None  # None where no target was set
    note: str = ""  # how it was measured, seconds behind a ratio, limits; one or two sentences


def paired(ours: Callable[[], object], theirs: Callable[[], object], *, rounds: int, warmup: int = 1) -> Paired:
    """Time both in turn, `rounds` times after `warmup` untimed ones; who goes first alternates."""
    for _ in range(warmup):
        ours(), theirs()
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for number in tqdm(range(rounds), desc="rounds", unit="round", leave=False):
        order = [("ours", ours), ("theirs", theirs)]
        for name, call in order if number % 2 == 0 else reversed(order):
            gc.collect()
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return Paired(ours=tuple(seconds["ours"]), theirs=tuple(seconds["theirs"]))


def speedup(times: Paired, *, what: str, against: str, least: float, note: str = "") -> Figure:
    """Return the figure "ours is so many times as fast", the median of the rounds; `least` is the target."""
    ratio = statistics.median(times.ratios)
    seconds = f"{_seconds(statistics.median(times.ours))} against {_seconds(statistics.median(times.theirs))}"
    return Figure(
        what=what,
        against=against,
        target=f">= {least:g} x",
        value=ratio,
        unit="x",
        spread=(min(times.ratios), max(times.ratios)),
        met=ratio >= least,
        note=f"{seconds}, {len(times.ours)} rounds{'; ' + note if note else ''}",
    )


def alone(command: Sequence[str], *, cwd: Path | None = None, env: dict[str, str] | None = None) -> tuple[float, int]:
    """Run a command to its end; return its seconds and its peak memory in bytes, of the largest process in it.

    Raises RuntimeError with the end of its output when it fails.
    """
    watcher = (
        "import json,resource,subprocess,sys,time\n"
        "start=time.perf_counter()\n"
        "done=subprocess.run(sys.argv[1:],stdout=subprocess.PIPE,stderr=subprocess.STDOUT)\n"
        "used=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss*1024\n"
        "print(json.dumps([done.returncode,time.perf_counter()-start,used,done.stdout.decode(errors='replace')[-2000:]]))\n"
    )
    environment = {**os.environ, **(env or {})}
    done = subprocess.run([sys.executable, "-c", watcher, *command], cwd=cwd, env=environment, capture_output=True, text=True)
    code, seconds, memory, tail = json.loads(done.stdout)
    if code != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {code}: {tail}")
    return seconds, memory


def own_peak() -> int:
    """Return this process's peak memory so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def write(name: str, figures: Sequence[Figure], *, seconds: float) -> Path:
    """Write one benchmark's figures with the machine they were measured on."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    content = {"schema_version": 1, "name": name, "seconds": seconds, "machine": machine(), "figures": [asdict(figure) for figure in figures]}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path


def machine() -> dict[str, Any]:
    """Return what a reader needs to place a figure: processor, cores, memory, versions."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str | Literal[""]:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _seconds(value: float) -> str:
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"
