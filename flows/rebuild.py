"""Rebuild: a registered model made again from its commit, data and parameters, beside the one that is registered."""

import json
import sys
import textwrap
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow

from tasks.failure import StageFailed, ended
from tasks.rebuild import clear, compare_models, fetch_version, find_version, make_again, place, prepare
from tasks.worktree import reserved

DIFFERS = 1  # exit code
WIDTH = 100  # characters of a line


@flow(name="rebuild", persist_result=False)
def rebuild(model: str, root: str, *, keep: bool = False, quiet: bool = False) -> dict[str, Any]:
    """Make the version again in a worktree of its own and return what the comparison found, and the seconds a stage took.

    With `keep` the worktree stays, with `quiet` all progress goes to standard error. One that was killed goes on from
    its last stage. Raises StageFailed when a stage fails, ZeromissError for what any other step refuses.
    """
    say = partial(print, file=sys.stderr if quiet else sys.stdout, flush=True)
    product, version = find_version(model, root)
    folder = place(product, version, root)
    with reserved(folder, f"a rebuild of {product}/{version}"):
        registered = fetch_version(product, version, root, folder)
        prepared = prepare(registered, root, folder)
        say(f"rebuilding {product}/{version} of commit {registered.commit[:12]} in {prepared.root}")
        seconds = {}
        for step in prepared.steps:
            seconds[step.target] = make_again.with_options(name=step.target)(step, prepared.root, registered.machine, quiet=quiet)
            say(f"{step.target}: {seconds[step.target]:.0f} s")
        result = compare_models(registered, prepared, root, folder)
        clear(root, folder, keep=keep)
    return result | {"seconds": {target: round(value, 3) for target, value in seconds.items()}, "kept": str(prepared.root) if keep else None}


def run(model: str, root: Path, *, as_json: bool, debug: bool = False, keep: bool = False) -> int:
    """Run the flow for the command line and return its exit code: 0 equal, 1 anything else, 2 a stage failed.

    A stage that failed has printed its sentence; all else that is refused is raised as ZeromissError.
    """
    try:
        result = rebuild(model, str(root), keep=keep, quiet=as_json)
    except StageFailed as failure:
        return ended(failure, debug=debug)
    print(json.dumps(result, indent=2, allow_nan=False) if as_json else "\n".join(words(result)))
    return 0 if result["outcome"] == "equal" else DIFFERS


def words(result: dict[str, Any]) -> list[str]:
    """Return a result as lines: every compared thing, what of the machine is another, the verdict last."""
    lines = []
    for entry in result["compared"]:
        status = "equal" if entry["status"] == "equal but for seconds" else entry["status"]
        note = ", but for the seconds it tells" if status != entry["status"] else ""
        lines.append(f"{entry['name']:<20} {status:<12} {entry['detail']}{note}")
    lines += [f"{'made with another':<20} {entry['name']}: was {entry['was']}, is {entry['is']}" for entry in result["machine"]]
    if result["kept"]:
        lines.append(f"kept in {result['kept']}")
    return [line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..." for line in lines] + textwrap.wrap(result["sentence"], WIDTH)
