"""Run benchmarks, each in a process of its own, and write benchmarks/RESULTS.md.

    python -m benchmarks.run                 all, in the order of `ORDER`
    python -m benchmarks.run selection       those named
    python -m benchmarks.run --page          only write the page anew from benchmarks/results/*.json
"""

import argparse
import importlib
import json
import subprocess
import sys
import time
from typing import Any

from benchmarks.measure import FOLDER, RESULTS, write

ORDER = (
    "startup",
    "train_step",
    "localisation",
    "agreement",
    "simplenet",
    "orientation",
    "patch_distances",
    "inspection",
    "edge",
    "serving",
    "extraction",
    "high_resolution",
    "ingest",
    "selection",
    "scaling",
    "reconstructors",
)
_HEAD = """\
# What was measured

Written by `make bench` from the files in `benchmarks/results/`. Every ratio compares two things timed in turn within
one run on one machine, so that a busy machine slows both; the value is the median of the rounds, in brackets the
smallest and the largest. Seconds in the notes are those of that machine and say little elsewhere.
"""


def main() -> int:
    """Run what was asked for; return 1 when a benchmark failed, 0 otherwise (a missed target is no failure)."""
    parser = argparse.ArgumentParser(description="Run benchmarks and write benchmarks/RESULTS.md.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(ORDER))
    parser.add_argument("--page", action="store_true", help="only write the page anew")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # one benchmark, in this process
    options = parser.parse_args()
    if options.here:
        _run_here(options.names[0])
        return 0
    failed = []
    if not options.page:
        for name in options.names or ORDER:
            print(f"== {name}", flush=True)
            if subprocess.run([sys.executable, "-m", "benchmarks.run", "--here", name], cwd=FOLDER.parent).returncode:
                failed.append(name)
    (FOLDER / "RESULTS.md").write_text(page(read()), encoding="utf-8")
    print(f"{FOLDER / 'RESULTS.md'} written" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def read() -> list[dict[str, Any]]:
    """Return the committed results, in the order of `ORDER`."""
    return [json.loads(path.read_text(encoding="utf-8")) for name in ORDER if (path := RESULTS / f"{name}.json").is_file()]


def page(results: list[dict[str, Any]]) -> str:
    """Return RESULTS.md: a table a benchmark, then the machines they ran on."""
    parts = [_HEAD]
    for result in results:
        rows = [_row(figure) for figure in result["figures"]]
        parts.append(f"## {result['name']}\n\n| what | against | target | measured | |\n|---|---|---|---|---|\n" + "\n".join(rows) + "\n")
    parts.append("## Machines\n\n" + "\n".join(_machine(result) for result in results) + "\n")
    return "\n".join(parts)


def _row(figure: dict[str, Any]) -> str:
    unit = f" {figure['unit']}" if figure["unit"] else ""
    spread = f" ({figure['spread'][0]:.3g} to {figure['spread'][1]:.3g})" if figure["spread"] else ""
    verdict = {None: "", True: "met. ", False: "**missed.** "}[figure["met"]]
    cells = (figure["what"], figure["against"], figure["target"], f"{figure['value']:.4g}{unit}{spread}", verdict + figure["note"])
    return "| " + " | ".join(cells) + " |"


def _machine(result: dict[str, Any]) -> str:
    machine = result["machine"]
    packages = ", ".join(f"{name} {found}" for name, found in machine["packages"].items())
    return (
        f"- {result['name']} ({result['seconds']:.0f} s): {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, Python {machine['python']}; {packages}"
    )


def _run_here(name: str) -> None:
    started = time.perf_counter()
    figures = importlib.import_module(f"benchmarks.{name}").run()
    write(name, figures, seconds=time.perf_counter() - started)
    for figure in figures:
        print(_row(json.loads(json.dumps(figure.__dict__))))


if __name__ == "__main__":
    sys.exit(main())
