"""What the fitting of a detector opens: the images that teach it, unseen normal ones, and the checkpoint it goes on from.

Only normal images of the split `train` teach, and for a detector that needs them the defects of the split `abnormal`.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from zeromiss.detectors.checkpoint import checkpoint_key
from zeromiss.detectors.images import LOADERS, MEMORY, ContextFiles, ImageFiles
from zeromiss.errors import ZeromissError
from zeromiss.files import sha256_file
from zeromiss.images import manifest as manifests
from zeromiss.images.reader import open_reader
from zeromiss.images.reference import alignment_digest
from zeromiss.images.references import companion_of
from zeromiss.params import Product
from zeromiss.sections import Section
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """Images in the manifest's order, read when asked for, and how a fitting handles them."""

    normal: ImageFiles  # of the split train
    abnormal: ImageFiles  # of the split abnormal; empty where the detector needs none
    unseen: ImageFiles  # normal ones of the split mask, of which nothing is learned
    contexts: ContextFiles  # references and designs of `normal`
    unseen_contexts: ContextFiles  # and of `unseen`
    sources: dict[str, list[str]]  # SHA-256 of each image that teaches, under `normal` and `abnormal`
    workers: int  # processes that read images; none where all stay in memory
    checkpoint: Path  # of this very fitting: other parameters, images or seed have another


def open_teaching(
    name: str, params: Section, product: Product, workspace: Workspace, *, needs_abnormal: bool = False, processes: int = 1
) -> Teaching:
    """Return what teaches the detector `name` with `params`; each of `processes` keeps the images for itself.

    Raises ZeromissError without training images, or without abnormal ones where they are needed.
    """
    manifest = read_table(workspace.manifest(product.name) / manifests.FILE, schema_version=manifests.SCHEMA_VERSION)
    normal, unseen = (_rows(manifest, split, "normal") for split in ("train", "mask"))
    abnormal = _rows(manifest, "abnormal", "defect") if needs_abnormal else manifest.iloc[:0]
    if normal.empty:
        raise ZeromissError(f"product {product.name!r} has no image in the split train: ingest normal images")
    if needs_abnormal and abnormal.empty:
        raise ZeromissError(
            f"{name} learns from abnormal images too and product {product.name!r} has put none aside: set manifest.abnormal above 0"
        )
    raw, reader = workspace.raw(product.name), open_reader(workspace.alignment(product.name), product.size)
    fits = (len(normal) + len(abnormal)) * 3 * product.size.pixels * processes <= MEMORY
    taught, defects = (ImageFiles([raw / path for path in rows["path"]], reader, keep=fits) for rows in (normal, abnormal))
    return Teaching(
        normal=taught,
        abnormal=defects,
        unseen=ImageFiles([raw / path for path in unseen["path"]], reader),
        contexts=ContextFiles([companion_of(row, raw) for row in normal.to_dict(orient="records")], reader),
        unseen_contexts=ContextFiles([companion_of(row, raw) for row in unseen.to_dict(orient="records")], reader),
        sources={"normal": normal["sha256"].tolist(), "abnormal": abnormal["sha256"].tolist()},
        workers=0 if fits else LOADERS,
        checkpoint=checkpoint_file(name, params, product, workspace),
    )


def _rows(manifest: pd.DataFrame, split: str, label: str) -> pd.DataFrame:
    return manifest[(manifest["split"] == split) & (manifest["label"] == label)]


def checkpoint_file(name: str, params: Section, product: Product, workspace: Workspace) -> Path:
    """Return the file of a fitting's state, named after all that it depends on."""
    digests = sha256_file(workspace.manifest(product.name) / manifests.FILE) + alignment_digest(workspace.alignment(product.name))
    key = checkpoint_key(params, size=product.size, seed=product.seed, manifest_sha256=digests)
    return workspace.checkpoints / product.name / f"{name}-{key}.safetensors"
