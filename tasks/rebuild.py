"""Making a registered version again: its source fetched, its code and data in a folder of their own, its stages run, compared.

    .zeromiss/rebuild/<product>-<version>/code         the commit's files, with the changes there were, and the new outputs
    .zeromiss/rebuild/<product>-<version>/registered   the version's outputs as DVC still has them
    .zeromiss/rebuild/<product>-<version>/source       what the registry keeps of the version's source
    .zeromiss/rebuild/<product>-<version>/going.json   there while it goes on: a killed rebuild starts again from here
"""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.failure import StageFailed
from tasks.pipeline import wait_for
from tasks.rebuild_data import Step, bring, settings, steps
from tasks.worktree import add_worktree, apply_patch, remove_worktree
from zeromiss.errors import ZeromissError

if TYPE_CHECKING:
    from zeromiss.registry.rebuilt_source import Registered

_GOING, SCHEMA_VERSION = "going.json", 1
_OUTSIDE = ("MLFLOW_", "ZEROMISS_")  # settings that would lead a stage out of its folder: to servers, parents, clusters


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A workspace ready to be run in: `root`; its `steps`; the registered outputs that DVC no longer has, and why."""

    root: Path
    steps: list[Step]
    missing: dict[str, str]


def place(product: str, version: str, root: str) -> Path:
    """Return the folder in which a version is made again."""
    return Path(root) / ".zeromiss" / "rebuild" / f"{product}-{version}"


@task(cache_policy=NO_CACHE, persist_result=False)
def find_version(model: str, root: str) -> tuple[str, str]:
    """Return product and version that a reference names; raise ZeromissError when there is none."""
    from zeromiss.registry.reference import resolve
    from zeromiss.workspace import Workspace

    return resolve(model, Workspace(root=Path(root)))


@task(cache_policy=NO_CACHE, persist_result=False)
def fetch_version(product: str, version: str, root: str, folder: Path) -> "Registered":
    """Fetch what the registry holds of a version; raise ZeromissError when its source is not whole."""
    from zeromiss.registry.rebuilt_source import fetch
    from zeromiss.workspace import Workspace

    return fetch(product, version, Workspace(root=Path(root)), folder / "fetched")


@task(cache_policy=NO_CACHE, persist_result=False)
def prepare(registered: "Registered", root: str, folder: Path) -> Prepared:
    """Put the version's code, parameters and raw images into a worktree, or go on with one that was left there.

    Raises ZeromissError when the commit, the raw images or a stage is not to be had; nothing is left behind then.
    """
    from zeromiss.files import read_json, write_json

    config, note = settings(Path(root)), {"commit": registered.commit, "digest": registered.digest}
    going = folder / _GOING
    if going.is_file() and (left := read_json(going, schema_version=SCHEMA_VERSION)) and left["note"] == note:
        code = folder / left["code"]
        return Prepared(root=code, steps=steps(code, registered.product, config), missing=left["missing"])
    try:
        prepared = _anew(registered, Path(root), folder, config)
    except BaseException:
        remove_worktree(Path(root), folder / "code")
        raise
    write_json(going, {"note": note, "code": str(prepared.root.relative_to(folder)), "missing": prepared.missing}, schema_version=SCHEMA_VERSION)
    return prepared


def _anew(registered: "Registered", root: Path, folder: Path, config: dict[str, Any]) -> Prepared:
    """Make the worktree and fill it."""
    shutil.rmtree(folder / "registered", ignore_errors=True)
    code = add_worktree(root, folder / "code", registered.commit)
    _lay_over(registered, code)
    _check_code(code)
    found = steps(code, registered.product, config)
    raw = f"data/01_raw/{registered.product}"
    if why := bring(code, [raw], config).get(raw):
        remedy = "get it back with dvc fetch, or from a copy of the cache"
        raise ZeromissError(f"the raw images that {registered.product}/{registered.version} learned from are not whole: {why}; {remedy}")
    outputs = [output for step in found for output in step.compared]
    missing = bring(code, outputs, config)
    for output in outputs:
        if output not in missing:
            target = folder / "registered" / output
            target.parent.mkdir(parents=True, exist_ok=True)
            (code / output).rename(target)
    return Prepared(root=code, steps=found, missing=missing)


def _lay_over(registered: "Registered", code: Path) -> None:
    """Add to the commit's files what the version was made with besides: changes, untracked files, parameters, data versions."""
    from zeromiss.registry.source import CHANGES, LOCK, PARAMS, UNTRACKED

    source, pointer = registered.source, f"{registered.product}.dvc"
    if (source / CHANGES).is_file():
        apply_patch(code, source / CHANGES)
    if (source / UNTRACKED).is_dir():
        shutil.copytree(source / UNTRACKED, code, dirs_exist_ok=True)
    for name, target in ((PARAMS, code / PARAMS), (LOCK, code / LOCK), (pointer, code / "data" / "01_raw" / pointer)):
        if not (source / name).is_file():
            raise ZeromissError(f"{registered.product}/{registered.version} cannot be made again: the registry has no {name} of it")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target)


def _check_code(code: Path) -> None:
    """Raise ZeromissError unless a stage started in `code` imports the code that lies there."""
    command = [sys.executable, "-P", "-c", "import zeromiss; print(zeromiss.__file__)"]
    done = subprocess.run(command, cwd=code, env=environment(code, {}), capture_output=True, text=True, check=False)
    if not Path(done.stdout.strip()).is_relative_to(code):
        found = done.stdout.strip() or " ".join(done.stderr.split())[-200:]
        raise ZeromissError(f"the commit's own code in {code / 'src'} would not run, but {found}: see that PYTHONPATH leads there first")


def environment(code: Path, machine: dict[str, str]) -> dict[str, str]:
    """Return what a stage in the workspace `code` is started with: its own code, its own store, no cluster.

    It gets as many threads as the version's stages had (`machine`, its tags), where that is known.
    """
    from zeromiss.registry.machine import THREADS, threads

    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OUTSIDE)}
    first = [str(code / "src"), str(code), os.environ.get("PYTHONPATH", "")]
    kept |= {"PYTHONPATH": os.pathsep.join(filter(None, first)), "ZEROMISS_CLUSTER": "local"}
    if machine.get(THREADS, str(threads())) != str(threads()):
        kept["OMP_NUM_THREADS"] = machine[THREADS]
    return kept


@task(cache_policy=NO_CACHE, persist_result=False)
def make_again(step: Step, code: Path, machine: dict[str, str], *, quiet: bool) -> float:
    """Run one stage's command in its workspace and return the seconds it took; one that has ended well is not run again.

    With `quiet`, what it prints goes to standard error. Raises StageFailed when it fails.
    """
    if all((code / output).exists() for output in step.outputs):
        return 0.0
    start = time.monotonic()
    for output in step.outputs:
        (code / output).parent.mkdir(parents=True, exist_ok=True)
    code_of_exit = wait_for(step.command, code, environment(code, machine), **({"stdout": sys.stderr} if quiet else {}))
    if code_of_exit != 0:
        raise StageFailed(step.target, code_of_exit)
    return time.monotonic() - start


@task(cache_policy=NO_CACHE, persist_result=False)
def compare_models(registered: "Registered", prepared: Prepared, root: str, folder: Path) -> dict[str, Any]:
    """Compare the model made again with the registered one, write the outcome down in MLflow, and return it."""
    from zeromiss.registry import rebuilt
    from zeromiss.registry.machine import THREADS, machine
    from zeromiss.registry.rebuilt_source import record
    from zeromiss.workspace import Workspace

    product, after = registered.product, Workspace(root=prepared.root)
    sides = rebuilt.Sides(
        product=product, before=Workspace(root=folder / "registered"), bundle=registered.bundle, after=after, missing=prepared.missing
    )
    compared = rebuilt.compare(sides, [output for step in prepared.steps for output in step.compared])
    here = machine() | ({THREADS: registered.machine[THREADS]} if THREADS in registered.machine else {})
    others = rebuilt.machine_differences(
        registered.machine | rebuilt.versions(registered.bundle), here | rebuilt.versions(after.bundle(product))
    )
    result = {"model": f"{product}/{registered.version}", "commit": registered.commit, **rebuilt.conclude(compared, others)}
    result |= {"compared": compared, "machine": others}
    record(product, registered.version, Workspace(root=Path(root)), result)
    return result


def clear(root: str, folder: Path, *, keep: bool) -> None:
    """Remove what was made; with `keep` only the note that it goes on, so that the next time begins anew."""
    (folder / _GOING).unlink(missing_ok=True)
    if not keep:
        remove_worktree(Path(root), folder / "code")
        shutil.rmtree(folder, ignore_errors=True)
