"""A model made again beside the registered one: every file of every stage, the winner, the kind of machine.

What the registry holds is compared with the registry's own copy; the other stages' outputs with what DVC still
has of them. The verdict is `equal` only where everything was there to compare and nothing differed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zeromiss import schemas
from zeromiss.files import read_json
from zeromiss.inspection.bundle import CLASSIFIER, MANIFEST, SCHEMA_VERSION, SUMMARY
from zeromiss.inspection.summary import SCHEMA_VERSION as SUMMARY_VERSION
from zeromiss.registry.rebuilt_files import DIFFERS, EQUAL, NOT_COMPARED, Found, compare_files, compare_json, compare_values
from zeromiss.selection.store import load_classifier
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace

TABLE = "table.parquet"
NAMES = {
    "manifest.parquet": "manifest", "model.safetensors": "weights", "history.parquet": "training curves", TABLE: "metric table",
    "mask.safetensors": "mask", "candidates.parquet": "candidates", "oof.parquet": "out-of-fold scores", "families.json": "families",
    CLASSIFIER: "classifier", "threshold.json": "threshold", MANIFEST: "bundle.json",
    "threshold.parquet": "table of defects put aside", "threshold_set.parquet": "scores of defects put aside",
}  # fmt: skip
_APART = frozenset({"files", "versions"})  # of bundle.json: every file is compared itself, versions belong to the machine


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Where both models lie.

    `before`: folder in which the registered version's outputs lie as in a workspace, without those in `missing`
    (path of an output -> why); `bundle`: what the registry holds; `after`: the workspace of the rebuilt model.
    """

    product: str
    before: Workspace
    bundle: Path
    after: Workspace
    missing: Mapping[str, str]


def compare(sides: Sides, outputs: Sequence[str]) -> list[dict[str, Any]]:
    """Compare every file of `outputs` (paths of folders in a workspace) and the winner, in the order of the stages.

    Returns one entry a thing: name, path, status, detail, differing, largest (see `rebuilt_files.Found`).
    """
    packed = set(_record(sides.bundle)["files"])
    bundle = str(sides.after.bundle(sides.product).relative_to(sides.after.root))
    found = []
    for output in outputs:
        if output == bundle:
            found += _folder(sides, output, sides.bundle, without=frozenset())
        elif output in sides.missing:
            found.append(_entry(output, output, Found(status=NOT_COMPARED, detail=sides.missing[output])))
        else:
            found += _folder(sides, output, sides.before.root / output, without=packed)
    return [*found, _entry("winner", "", compare_winners(sides))]


def _folder(sides: Sides, output: str, before: Path, *, without: set[str] | frozenset[str]) -> list[dict[str, Any]]:
    """Compare all files of one output but those that the bundle holds a copy of, under the same path or the detector's name."""
    after = sides.after.root / output
    names = {path.relative_to(side).as_posix() for side in (before, after) for path in side.rglob("*") if path.is_file()}
    return [
        _entry(NAMES.get(Path(name).name, Path(name).name), f"{output}/{name}", _compare(sides, before / name, after / name))
        for name in sorted(names)
        if not {name, f"{after.name}/{name}"} & without
    ]


def _compare(sides: Sides, before: Path, after: Path) -> Found:
    """Compare two files, a classifier by its probabilities."""
    found = compare_files(before, after)
    if found.status == EQUAL or not (before.is_file() and after.is_file()):
        return found
    if before.name == CLASSIFIER:
        return compare_classifiers(before, after, sides)
    return compare_json(before, after, without=_APART) if before.name == MANIFEST else found


def compare_classifiers(before: Path, after: Path, sides: Sides) -> Found:
    """Compare the probabilities that two classifiers give the rebuilt metric table, by their bits.

    skops writes the time of day into its files, so that their bytes always differ.
    """
    table = read_table(sides.after.metrics(sides.product) / TABLE, schema_version=schemas.METRIC_TABLE)
    was, now = (_record(bundle)["features"] for bundle in (sides.bundle, sides.after.bundle(sides.product)))
    if was != now:
        return Found(status=DIFFERS, detail=f"reads {len(now)} columns, was {len(was)}, not the same ones", differing=1)
    was_N, now_N = (load_classifier(path).predict_proba(table[list(now)])[:, 1].astype(np.float64) for path in (before, after))
    differing = int((was_N.view(np.int64) != now_N.view(np.int64)).sum())
    if not differing:
        return Found(status=EQUAL, detail=f"{len(table)} probabilities bit for bit")
    largest = float(np.abs(was_N - now_N).max())
    detail = f"{differing} of {len(table)} probabilities, by {largest:.3g} at most"
    return Found(status=DIFFERS, detail=detail, differing=differing, largest=largest)


def compare_winners(sides: Sides) -> Found:
    """Compare the winning family, and its parameters where DVC still has the registered version's selection."""
    name = sides.product
    families = [side.selection(name) / "families.json" for side in (sides.before, sides.after)]
    if all(path.is_file() for path in families):
        winners = [_winner(read_json(path, schema_version=schemas.SELECTION)) for path in families]
    else:
        summaries = [bundle / SUMMARY for bundle in (sides.bundle, sides.after.bundle(name))]
        winners = [{"family": read_json(path, schema_version=SUMMARY_VERSION)["composite"]["family"]} for path in summaries]
    found = compare_values(*winners)
    return Found(status=EQUAL, detail=str(winners[1]["family"])) if found.status == EQUAL else found


def _winner(families: dict[str, Any]) -> dict[str, Any]:
    """Return family, draw and parameters of the winner."""
    entry = families["families"][families["winner"]]
    return {"family": families["winner"], "draw": entry["draw"], "params": entry["params"]}


def machine_differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[dict[str, str]]:
    """Return what of processor, threads and versions is another now: name, was, is; what was not noted is left out."""
    return [
        {"name": name, "was": was, "is": after.get(name, "none")}
        for name, was in sorted(before.items())
        if was != after.get(name, "none")
    ]


def versions(bundle: Path) -> dict[str, str]:
    """Return the versions of Python and the libraries that a bundle was made with."""
    return dict(_record(bundle)["versions"])


def conclude(compared: Sequence[Mapping[str, Any]], machine: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return the verdict: `outcome` equal, differs or partly (something could not be compared), and the `sentence`."""
    differs = [entry["name"] for entry in compared if entry["status"] == DIFFERS]
    absent = [entry["name"] for entry in compared if entry["status"] == NOT_COMPARED]
    if differs:
        why = "; the machine or its libraries are others" if machine else "; on the same kind of machine"
        return {"outcome": "differs", "sentence": f"differs: {', '.join(dict.fromkeys(differs))}{why}"}
    if absent:
        return {"outcome": "partly", "sentence": f"equal where it could be compared; not compared: {', '.join(absent)}"}
    return {"outcome": "equal", "sentence": "rebuilt bit for bit"}


def _record(bundle: Path) -> dict[str, Any]:
    """Read a bundle's own list; keys that an earlier or later program wrote don't matter here."""
    return read_json(bundle / MANIFEST, schema_version=SCHEMA_VERSION)


def _entry(name: str, path: str, found: Found) -> dict[str, Any]:
    """Return one compared thing."""
    return {"name": name, "path": path, **asdict(found)}
