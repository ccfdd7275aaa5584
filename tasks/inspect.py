"""Judging images with the model in charge."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE

if TYPE_CHECKING:
    from zeromiss.inspection.batch import BatchResult
    from zeromiss.inspection.companions import CompanionOf
    from zeromiss.inspection.inspector import Inspector
    from zeromiss.inspection.verdict import Verdict
    from zeromiss.workspace import Workspace


@task(cache_policy=NO_CACHE, persist_result=False)
def inspect_images(product: str, root: str, paths: list[str]) -> dict[str, Any]:
    """Judge files and folders, write verdicts and overlays, and return counts, model and folder."""
    return judge_to_folder(product, Path(root), [Path(path) for path in paths])


def judge_to_folder(product: str, root: Path, paths: Sequence[Path], beside: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Do what `inspect_images` does, without Prefect; `beside`: the references and design that come with the images.

    Verdicts lie in data/09_inspection/<product>/<UTC time>/, which appears when all is written, and their rows are then
    added to data/15_verdicts/<product>: the same image, judged again by the same version, adds none. `failures` holds a sentence for each file that could not be judged.
    """
    from zeromiss.inspection.batch import inspect_paths
    from zeromiss.params import load_product
    from zeromiss.workspace import Workspace

    workspace = Workspace(root=root)
    options = load_product(workspace.params_file, product).inspection
    companion_of = _companion_of(beside)
    inspector, model = _in_charge(product, workspace)
    folder = free_folder(workspace.inspection(product))
    result = inspect_paths(inspector, list(paths), out=folder, overlays=options.overlays, boxes=options.boxes, companion_of=companion_of)
    keep_rows(product, root, folder)
    failures = [problem.error for problem in result.errors]
    done = outcome([verdict.verdict for verdict in result.verdicts], failures, model=model, folder=folder)
    return done | {"shadow": shadow_words(product, workspace, result.verdicts, companion_of) if options.shadow else None}


def shadow_words(product: str, workspace: "Workspace", judged: "Sequence[Verdict]", companion_of: "CompanionOf" = lambda _: None) -> str | None:
    """Return how the challenger judges what the champion judged (inspection.shadow), None where there is no challenger."""
    from zeromiss.registry.shadow import cast_shadow

    return cast_shadow(product, workspace, judged, companion_of=companion_of)


def keep_rows(product: str, root: Path, folder: Path) -> None:
    """Add an inspection's rows to the product's data set of verdicts."""
    from zeromiss.inspection.rows import keep_folder
    from zeromiss.workspace import Workspace

    keep_folder(Workspace(root=root).verdicts(product), folder)


def outcome(verdicts: Sequence[str], failures: Sequence[str], *, model: str, folder: Path) -> dict[str, Any]:
    """Return what an inspection came to; `failures`: a sentence for each file that has no verdict."""
    return {
        "images": len(verdicts) + len(failures),
        "abnormal": verdicts.count("abnormal"),
        "normal": verdicts.count("normal"),
        "errors": len(failures),
        "failures": list(failures),
        "model": model,
        "folder": str(folder),
    }


def judge_to_json(product: str, root: Path, paths: Sequence[Path], beside: Mapping[str, Any] | None = None) -> tuple[list[str], list[str]]:
    """Judge without writing files; return one JSON object an image, and a sentence a file that failed.

    A file that could not be judged has the verdict `error`, a null score and its sentence.
    """
    from zeromiss.inspection.batch import inspect_paths
    from zeromiss.params import load_product
    from zeromiss.workspace import Workspace

    workspace = Workspace(root=root)
    load_product(workspace.params_file, product)
    inspector, _ = _in_charge(product, workspace)
    result = inspect_paths(inspector, list(paths), out=None, progress=False, companion_of=_companion_of(beside))
    return json_lines(result, inspector), [problem.error for problem in result.errors]


def _companion_of(beside: Mapping[str, Any] | None) -> "CompanionOf":
    """Return what comes with each image."""
    from zeromiss.inspection.companions import name_companions

    return name_companions(**({"reference": None, "references": None, "design": ""} | dict(beside or {})))


def json_lines(result: "BatchResult", inspector: "Inspector") -> list[str]:
    """Return each verdict, then each error, as one line of JSON."""
    rows = [verdict.to_json() for verdict in result.verdicts]
    for problem in result.errors:
        model = {"name": inspector.model.name, "version": inspector.model.version}
        rows.append(
            {
                "path": problem.path,
                "verdict": "error",
                "score": None,
                "probability": None,
                "threshold": inspector.threshold,
                "patches": [],
                "model": model,
                "error": problem.error,
            }
        )
    return [json.dumps(row, allow_nan=False) for row in rows]


def _in_charge(product: str, workspace: Any) -> tuple["Inspector", str]:
    """Return the inspector of the model in charge and its name for people; a challenger is called so."""
    from zeromiss.registry.publish import load_inspector

    version, words = name_in_charge(product, workspace)
    return load_inspector(product, workspace, version=version), words


def name_in_charge(product: str, workspace: Any) -> tuple[str, str]:
    """Return the version in charge and the model's name for people; a challenger is called so."""
    from zeromiss.registry.publish import in_charge
    from zeromiss.registry.store import model_name

    version, alias = in_charge(product, workspace)
    note = "" if alias == "champion" else " (challenger: no champion has been promoted)"
    return version, f"{model_name(product)} version {version}{note}"


def free_folder(parent: Path) -> Path:
    """Return a folder named by the time, in UTC, that does not exist yet."""
    stem = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder, number = parent / stem, 1
    while folder.exists():
        number += 1
        folder = parent / f"{stem}-{number}"
    return folder
