"""Metric tables of variants that measure or train anew, each in a workspace of its own inside the product's.

`data/12_ablation/<product>/<variant>/` holds the usual folders of the path. Raw images and manifest are links to
the product's, so that splits and rows are the same; stages report to no run.
"""

import importlib
from pathlib import Path

import pandas as pd

from zeromiss import schemas
from zeromiss.ablation.variants import Variant, varied
from zeromiss.errors import ZeromissError
from zeromiss.files import read_json, sha256_file, write_json
from zeromiss.images import manifest as manifests
from zeromiss.metrics.table import FILE
from zeromiss.params import Product
from zeromiss.selection.digest import digest
from zeromiss.stages.base import NoLog
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace

MADE, SCHEMA_VERSION = "made.json", 1
_DETECTOR = "vqgan"
_CODE = {
    "vqgan": ("images", "backbones", "detectors", "stages/teaching.py", "stages/vqgan.py"),
    "metrics": ("images", "backbones", "detectors", "metrics", "stages/metrics.py"),
}


def folder(workspace: Workspace, product: str, variant: str) -> Path:
    """Return where a variant keeps all it makes; `full` is the full system's."""
    return workspace.ablation(product) / variant


def make_table(product: Product, variant: Variant, workspace: Workspace) -> pd.DataFrame:
    """Return the variant's metric table; its stages run where no earlier run made the same.

    Stopped and started again, it goes on: a training from its last checkpoint, a finished stage not at all.
    Raises ZeromissError as the stages do.
    """
    inside = _prepare(product, variant, workspace)
    settings = varied(product, variant)
    for stage in variant.stages:
        made = _made(inside)
        key = _key(stage, settings, variant, inside)
        if made.get(stage) == key and _output(stage, product.name, inside).is_file():
            continue
        seeded = settings if stage != "vqgan" else settings.model_copy(update={"seed": _network_seed(settings, variant)})
        importlib.import_module(f"zeromiss.stages.{stage}").run(seeded, inside, NoLog())
        write_json(inside.root / MADE, {"stages": made | {stage: key}}, schema_version=SCHEMA_VERSION)
    return read_table(inside.metrics(product.name) / FILE, schema_version=schemas.METRIC_TABLE)


def is_made(product: Product, variant: Variant, workspace: Workspace) -> bool:
    """Whether every stage of the variant was run before on the same data and parameters, by the same code."""
    inside, settings = Workspace(root=folder(workspace, product.name, variant.name)), varied(product, variant)
    made = _made(inside)
    for stage in variant.stages:
        if stage not in made or not _output(stage, product.name, inside).is_file():
            return False
        if made[stage] != _key(stage, settings, variant, inside):
            return False
    return True


def check_same_images(table: pd.DataFrame, full: pd.DataFrame, variant: str) -> None:
    """Raise ZeromissError unless both tables hold the same images in the same order: only then are differences paired."""
    for column in ("path", "label", "part_id"):
        if list(table[column]) != list(full[column]):
            raise ZeromissError(f"variant {variant} measured other images than the full system: run the metrics stage of the product anew")


def _prepare(product: Product, variant: Variant, workspace: Workspace) -> Workspace:
    """Return the variant's workspace, with links to what it shares with the product."""
    inside = Workspace(root=folder(workspace, product.name, variant.name))
    shared = [(workspace.raw(product.name), inside.raw(product.name)), (workspace.manifest(product.name), inside.manifest(product.name))]
    if not variant.trained:
        shared.append((workspace.detector(product.name, _DETECTOR), inside.detector(product.name, _DETECTOR)))
    for target, link in shared:
        if not target.is_dir():
            raise ZeromissError(f"{target} is missing: run the stages of {product.name} before its ablation")
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink():
            link.unlink()
        link.symlink_to(target.resolve(), target_is_directory=True)
    return inside


def _key(stage: str, settings: Product, variant: Variant, inside: Workspace) -> str:
    """Return what a stage's output depends on, as one digest."""
    values = {"size": settings.size.plain, "manifest": sha256_file(inside.manifest(settings.name) / manifests.FILE)}
    if stage == "vqgan":
        own = {"vqgan": settings.vqgan.model_dump(mode="json"), "seed": _network_seed(settings, variant)}
    else:
        own = {"metrics": settings.metrics.model_dump(mode="json"), "network": sha256_file(_output("vqgan", settings.name, inside))}
    return digest(values | own, code=_CODE[stage])


def _output(stage: str, name: str, inside: Workspace) -> Path:
    """Return the file that a finished stage leaves."""
    return inside.detector(name, _DETECTOR) / "model.safetensors" if stage == "vqgan" else inside.metrics(name) / FILE


def _made(inside: Workspace) -> dict[str, str]:
    """Return the finished stages with what each depended on; none where nothing readable says so."""
    try:
        return read_json(inside.root / MADE, schema_version=SCHEMA_VERSION)["stages"]
    except ZeromissError:
        return {}


def _network_seed(settings: Product, variant: Variant) -> int:
    """Return the seed of the network's training."""
    return settings.seed if variant.network_seed is None else variant.network_seed
