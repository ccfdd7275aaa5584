"""From a registered model to a folder that inspects without torch, or a sentence why not and no folder."""

import importlib.util
from pathlib import Path
from typing import Any

from zeromiss.edge.check import compare
from zeromiss.edge.engines import OPENVINO
from zeromiss.edge.folder import write_folder
from zeromiss.edge.layout import CONFIG, SCHEMA_VERSION, VERIFIED
from zeromiss.errors import ZeromissError
from zeromiss.files import write_json
from zeromiss.images.manifest import SCHEMA_VERSION as MANIFEST_VERSION
from zeromiss.inspection.bundle import library_versions
from zeromiss.inspection.folders import atomic_folder
from zeromiss.inspection.inspector import Inspector
from zeromiss.inspection.verdict import ModelName
from zeromiss.registry.publish import download_bundle
from zeromiss.registry.reference import resolve
from zeromiss.registry.store import model_name, reading
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace


def export(reference: str, workspace: Workspace, target: Path | None, *, engine: str) -> tuple[Path, dict[str, Any]]:
    """Write the model that `reference` names to a folder, whole and verified or not at all; return the folder and the check's figures.

    `target` None: the product's own folder in the workspace. Raises ZeromissError where packages are missing, the folder holds
    something else than an earlier export, the model cannot be exported, its images are not here, or the exported model judges
    otherwise.
    """
    refuse_missing(engine)
    product, version = resolve(reference, workspace)
    target = target or workspace.edge(product)
    if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not (target / CONFIG).is_file())):
        raise ZeromissError(f"{target} exists and is no earlier export: name another folder to write to")
    bundle = download_bundle(reading(workspace), product, version)
    model = ModelName(name=model_name(product), version=version)
    images, paths = checked_images(product, workspace)
    return target, write_verified(target, bundle, paths, images=images, model=model, engine=engine)


def write_verified(target: Path, bundle: Path, paths: list[Path], *, images: str, model: ModelName, engine: str) -> dict[str, Any]:
    """Write a bundle's export to `target`, compare it on `paths`, and leave the figures in it; on any failure nothing is left."""
    with atomic_folder(target) as draft:
        write_folder(draft, bundle, model=model, engine=engine)
        inspector = Inspector.load(bundle, model_name=model.name, model_version=model.version)
        found = compare(inspector, draft, paths, images=images) | {"engine": engine, "versions": _versions(engine)}
        write_json(draft / VERIFIED, found, schema_version=SCHEMA_VERSION)
    return found


def checked_images(product: str, workspace: Workspace) -> tuple[str, list[Path]]:
    """Return which images an export is verified on, and their files: the whole locked audit set, where there is none the table.

    No label is read, and nothing is chosen by what comes out: only two programs of one model are compared.
    """
    manifest = read_table(workspace.manifest(product) / "manifest.parquet", schema_version=MANIFEST_VERSION)
    for split, name in (("audit", "audit set"), ("table", "metric table")):
        rows = manifest[manifest["split"] == split].sort_values("path")
        if len(rows):
            paths = [workspace.raw(product) / path for path in rows["path"]]
            if missing := sum(not path.is_file() for path in paths):
                raise ZeromissError(f"{missing} of {len(paths)} images of {product}'s {name} are not here to verify an export on: run dvc pull")
            return name, paths
    raise ZeromissError(f"{product} has neither an audit set nor a metric table to verify an export on: run zeromiss run {product}")


def refuse_missing(engine: str) -> None:
    """Raise ZeromissError unless the packages that write and run graphs are installed."""
    for name in ("onnx", "onnxscript", engine):
        if importlib.util.find_spec(name) is None:
            extra = OPENVINO if engine == OPENVINO else "onnx"
            raise ZeromissError(f"an export for {engine} needs the package {name}: pip install 'zeromiss[{extra}]'")


def _versions(engine: str) -> dict[str, str]:
    """Return the versions of what wrote and what ran both models."""
    from importlib.metadata import version

    return library_versions() | {name: version(name) for name in ("onnx", "onnxscript", engine)}
