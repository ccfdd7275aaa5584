"""How long `zeromiss --help` and `import zeromiss` take, and that neither imports torch."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measure import Figure

ROUNDS = 9


def run() -> list[Figure]:
    """Return the seconds of both and how many of them import torch."""
    python = sys.executable
    script = str(Path(python).with_name("zeromiss"))
    bare = _seconds([python, "-c", "pass"])
    help_, import_ = _seconds([script, "--help"]), _seconds([python, "-c", "import zeromiss"])
    loads = [
        subprocess.run([python, "-X", "importtime", *call], capture_output=True, text=True, check=True).stderr
        for call in ([script, "--help"], ["-c", "import zeromiss"])
    ]
    torch = sum("torch" in line.split("|")[-1] for text in loads for line in text.splitlines())
    note = f"{ROUNDS} rounds; the bare interpreter takes {statistics.median(bare):.3f} s of it"
    return [
        _figure("`zeromiss --help`", help_, 0.5, note),
        _figure("`import zeromiss`", import_, 0.3, note),
        Figure(what="modules of torch that either imports", target="0", value=torch, met=torch == 0),
    ]


def _seconds(command: list[str]) -> list[float]:
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - start)
    return taken


def _figure(what: str, taken: list[float], most: float, note: str) -> Figure:
    median = statistics.median(taken)
    return Figure(what=what, target=f"< {most:g} s", value=median, unit="s", spread=(min(taken), max(taken)), met=median < most, note=note)
