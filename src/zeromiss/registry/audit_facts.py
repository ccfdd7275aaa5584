"""What an audit tells of a version: who, when, commit, source, data, decisions, history. Plain values, nothing compared."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zeromiss.images.labels import FILE as LABELS_FILE
from zeromiss.images.manifest import FILE as MANIFEST_FILE
from zeromiss.registry import seal
from zeromiss.registry.audit_check import read_mapping
from zeromiss.registry.events import Event
from zeromiss.registry.facts import NONE, git_output
from zeromiss.registry.publish import BY_TAG, HOST_TAG
from zeromiss.registry.source import COMPLETE, MISSING
from zeromiss.registry.source import FOLDER as SOURCE
from zeromiss.registry.stored import StageRun, Stored
from zeromiss.workspace import Workspace

Counts = dict[str, dict[str, int]]  # split -> label -> images


def registered(stored: Stored) -> dict[str, Any]:
    """Return who registered the version, when, and by which run (null: not stored)."""
    facts = {"at": stored.created, "by": stored.tags.get(BY_TAG), "host": stored.tags.get(HOST_TAG)}
    return facts | {"run_id": stored.run_id, "parent_run_id": stored.parent_id}


def git(stored: Stored, workspace: Workspace) -> dict[str, Any]:
    """Return the commit, whether the tree had changes besides, and whether this repository has the commit."""
    commit, dirty = stored.tags.get("git.commit", NONE), stored.tags.get("git.dirty")
    here = git_output(workspace, "cat-file", "-e", f"{commit}^{{commit}}") is not None
    return {"commit": None if commit == NONE else commit, "dirty": None if dirty is None else dirty == "true", "here": here}


def source(stored: Stored) -> dict[str, Any]:
    """Return which files of the source are stored and whether they suffice to make the version again (null: not known)."""
    complete, folder = stored.tags.get(COMPLETE), stored.artifacts.get(SOURCE)
    files = [] if folder is None else sorted(seal.listing(folder))
    return {"complete": None if complete is None else complete == "true", "missing": stored.tags.get(MISSING), "files": files}


def data(stored: Stored) -> dict[str, Any]:
    """Return the data version, how many images of each label every split had and where that was read, and the labels that people changed."""
    manifest, version = stored.file(SOURCE, MANIFEST_FILE), stored.tags.get("data.md5", NONE)
    counts, origin = (counts_of_manifest(manifest), f"{SOURCE}/{MANIFEST_FILE}") if manifest is not None else ({}, "")
    if not counts:
        counts, origin = counts_of_runs(stored.stages), "the run of the stage manifest"
    images = sum(number for of in counts.values() for number in of.values())
    known = {"images": images, "counts": counts, "counts_from": origin} if counts else {"images": None, "counts": None, "counts_from": None}
    return {"md5": None if version == NONE else version} | known | {"labels": labels(stored)}


def labels(stored: Stored) -> dict[str, Any] | None:
    """Return the labels that people had changed, each with who, when and why; None where the version's source does not hold them."""
    file = stored.file(SOURCE, LABELS_FILE)
    content = {} if file is None else read_mapping(file.parent, LABELS_FILE)
    return content if {"changed", "unsure", "sentence"} <= content.keys() else None


def counts_of_manifest(path: Path) -> Counts:
    """Count the images of a stored manifest; one that cannot be read counts none, and its seal tells."""
    import pandas as pd

    try:
        rows = pd.read_parquet(path, columns=["split", "label"])
    except (OSError, ValueError, KeyError):
        return {}
    counts: Counts = {}
    for (split, label), number in rows.groupby(["split", "label"]).size().items():
        counts.setdefault(str(split), {})[str(label)] = int(number)
    return counts


def counts_of_runs(stages: Sequence[StageRun]) -> Counts:
    """Return the counts that the run of the stage manifest recorded as `split_label`."""
    metrics = next((run.metrics for run in stages if run.stage == "manifest"), {})
    counts: Counts = {}
    for key, number in metrics.items():
        split, _, label = key.rpartition("_")
        if label in ("normal", "defect"):
            counts.setdefault(split, {})[label] = int(number)
    return counts


def stage(run: StageRun) -> dict[str, Any]:
    """Return what is told of a stage's run."""
    return {"stage": run.stage, "run_id": run.run_id, "status": run.status, "started": run.started, "seconds": run.seconds}


def gate(stored: Stored, events: Sequence[Event]) -> dict[str, Any]:
    """Return the gate's decision about the version, its record, and every opening of the product's audit set."""
    tags = {key: stored.tags.get(f"gate.{key}") for key in ("outcome", "at", "statement", "audit")}
    record = read_mapping(stored.artifacts.get("promotion"), f"{stored.product}.json")
    openings = [event for event in events if event.kind == "audit_opening"]
    return tags | {"record": record or None, "openings": [told(event) for event in openings]}


def history(events: Sequence[Event]) -> dict[str, Any]:
    """Return every recorded move of the product's aliases, oldest first, and when the record begins (null: no record)."""
    moves = [told(event) for event in events if event.kind == "alias"]
    return {"begins": moves[0]["at"] if moves else None, "moves": moves}


def told(event: Event) -> dict[str, Any]:
    """Return an event as plain values."""
    return {"at": event.at, "who": event.who, "host": event.host, **event.facts}
