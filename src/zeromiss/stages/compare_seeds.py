"""The detectors of a product fitted again from other seeds, each time in a workspace of its own, and judged natively.

`.checkpoints/<product>/compare/seed-<n>/` holds the usual folders of the path. Raw images and manifest are links to the
product's, so that splits are the same; stages report to no run. What is finished is not made again.
"""

import importlib
from pathlib import Path

from zeromiss.detectors.store import MODEL
from zeromiss.errors import ZeromissError
from zeromiss.files import read_json, sha256_file, write_json
from zeromiss.images import manifest as manifests
from zeromiss.images.reference import alignment_digest
from zeromiss.metrics.table import NATIVE_FILE
from zeromiss.params import Product
from zeromiss.selection.digest import digest
from zeromiss.stages.base import NoLog
from zeromiss.workspace import Workspace

MADE, SCHEMA_VERSION = "made.json", 1
_READ = ("images", "backbones", "detectors")


def refit(product: Product, workspace: Workspace, seed: int) -> Workspace:
    """Return a workspace in which every detector of `product` was learned from `seed` and has measured the table.

    Stopped and started again, it goes on: a training from its last checkpoint, a finished stage not at all. Raises
    ZeromissError as the stages do.
    """
    inside = _prepare(product.name, workspace, seed)
    seeded = product.model_copy(update={"seed": seed})
    for stage in (*product.detectors, "metrics"):
        made = _made(inside)
        key = _key(stage, seeded, inside)
        if made.get(stage) == key and _output(stage, product.name, inside).is_file():
            continue
        importlib.import_module(f"zeromiss.stages.{stage}").run(seeded, inside, NoLog())
        write_json(inside.root / MADE, {"stages": made | {stage: key}}, schema_version=SCHEMA_VERSION)
    return inside


def _prepare(product: str, workspace: Workspace, seed: int) -> Workspace:
    """Return the seed's workspace, with links to what it shares with the product."""
    inside = Workspace(root=workspace.checkpoints / product / "compare" / f"seed-{seed}")
    for target, link in ((workspace.raw(product), inside.raw(product)), (workspace.manifest(product), inside.manifest(product))):
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink():
            link.unlink()
        link.symlink_to(target.resolve(), target_is_directory=True)
    return inside


def _key(stage: str, product: Product, inside: Workspace) -> str:
    """Return what a stage's output depends on, as one digest."""
    images = sha256_file(inside.manifest(product.name) / manifests.FILE) + alignment_digest(inside.alignment(product.name))
    values = {"size": product.size.plain, "seed": product.seed, "images": images}
    if stage != "metrics":
        own = {"params": getattr(product, stage).model_dump(mode="json")}
        return digest(values | own, code=(*_READ, "stages/fitting.py", "stages/teaching.py", f"stages/{stage}.py"))
    learned = {name: sha256_file(_output(name, product.name, inside)) for name in product.detectors}
    own = {"metrics": product.metrics.model_dump(mode="json"), "learned": learned}
    return digest(values | own, code=(*_READ, "metrics", "stages/metrics.py"))


def _output(stage: str, product: str, inside: Workspace) -> Path:
    """Return the file that a finished stage leaves."""
    return inside.metrics(product) / NATIVE_FILE if stage == "metrics" else inside.detector(product, stage) / MODEL


def _made(inside: Workspace) -> dict[str, str]:
    """Return the finished stages with what each depended on; none where nothing readable says so."""
    try:
        return read_json(inside.root / MADE, schema_version=SCHEMA_VERSION)["stages"]
    except ZeromissError:
        return {}
