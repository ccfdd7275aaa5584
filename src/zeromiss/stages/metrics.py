"""Stage `metrics`: every detector measures every image of the split `table`, into one table of columns, and defects of the split `threshold` into another.

Everything runs on the CPU, where an inspection runs too: the threshold is the lowest defect's score, so
the scores behind it must be the very bits an inspection gives.
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor
from tqdm import tqdm

from zeromiss import schemas
from zeromiss.backbones.base import Backbone
from zeromiss.backbones.load import load_backbone
from zeromiss.cluster import active_session
from zeromiss.detectors.base import Detector, redraws
from zeromiss.detectors.images import ContextReader
from zeromiss.detectors.load import load_detector
from zeromiss.detectors.taught import refuse_taught_images
from zeromiss.errors import ZeromissError
from zeromiss.files import write_json
from zeromiss.images import defect_size
from zeromiss.images import manifest as manifests
from zeromiss.images.reader import ImageReader, open_reader
from zeromiss.images.references import companion_of
from zeromiss.images.staging import Staging
from zeromiss.metrics.checks import check_table
from zeromiss.metrics.chunks import Counted, count, measured_there, write_recipe
from zeromiss.metrics.mask import normal_variation_mask, save_mask
from zeromiss.metrics.measure import Measurer
from zeromiss.metrics.ranking import PixelRanking, average_precision, fpr_at_zero_missed, image_auroc
from zeromiss.metrics.stack import Stack, stack_of
from zeromiss.metrics.table import (
    FILE, NATIVE_FILE, NATIVES_FILE, THRESHOLD_FILE, mask_file, measured, read_tensor,
    variation_file, write_rows,
)  # fmt: skip
from zeromiss.metrics.variation import save_variation
from zeromiss.params import Product
from zeromiss.stages.base import RunLog
from zeromiss.stages.variations import fit_variations
from zeromiss.tables import read_table, write_table
from zeromiss.workspace import Workspace

SCALE_IMAGES = 8  # normals whose mean map value sets the bins of a pixel ranking
TIMED_IMAGES = 8  # images on which each detector alone is timed


def run(product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any]:
    """Write the metric table, the masks (fixed positions only), each detector's native scores and ranking, and the sizes of marked defects.

    Raises ZeromissError when fixed positions are asked for and no image was put aside for the mask, when
    the split `table` lacks normals or defects, an image to be judged taught a detector, or the table is not sound; nothing is
    written then.
    """
    raw, target = workspace.raw(product.name), workspace.metrics(product.name)
    reader = open_reader(workspace.alignment(product.name), product.size, reduced=product.metrics.decode == "reduced")
    manifest = read_table(workspace.manifest(product.name) / manifests.FILE, schema_version=manifests.SCHEMA_VERSION)
    table = _table_rows(manifest, product.name)
    folders = {name: workspace.detector(product.name, name) for name in product.detectors}
    refuse_taught_images(folders, manifest, raw, opened=("mask", "table", "threshold"))
    detectors = [load_detector(folder) for folder in folders.values()]
    staging = Staging(target)
    staging.recover()
    with staging:
        backbone = load_backbone(product.metrics.backbone, product.metrics.backbone_path)
        masks = _masks(product, detectors, backbone, manifest, reader, raw=raw, folder=staging.folder)
        sizes = defect_size.defect_sizes(product, workspace)
        write_table(staging.folder / defect_size.FILE, sizes, schema_version=schemas.DEFECT_SIZES)
        variations = fit_variations(product, workspace, detectors, backbone, manifest, reader, sizes=sizes)
        for name, variation in variations.items():
            save_variation(staging.folder / variation_file(name), variation)
        stack = stack_of(detectors, backbone=backbone, params=product.metrics, masks=masks, variations=variations)
        started = time.perf_counter()
        natives, rankings = _measure_table(product, workspace, table, stack, masks, reader, folder=staging.folder)
        seconds = time.perf_counter() - started
        frame = read_table(staging.folder / FILE, schema_version=schemas.METRIC_TABLE)
        docs = workspace.quality(product.name) / "metrics"
        check_table(frame, features=stack.columns, images=len(table), docs=docs)
        aside = manifest[(manifest["split"] == "threshold") & (manifest["label"] == "defect")]
        if len(aside):
            _measure_aside(product, workspace, aside, stack, masks, reader, folder=staging.folder)
        write_table(staging.folder / NATIVES_FILE, natives, schema_version=schemas.NATIVE)
        alone = _seconds_alone(stack, table, reader, raw=raw)
        ranked = {
            name: native_ranking(natives, name, rankings.get(name)) | {"seconds_per_image": alone[name]} for name in product.detectors
        }
        native = {"seconds": seconds, "images": len(table), "seconds_per_image": seconds / len(table), "detectors": ranked}
        write_json(staging.folder / NATIVE_FILE, native, schema_version=schemas.NATIVE)
        staging.swap()
    log.metrics({key: native[key] for key in ("seconds", "images", "seconds_per_image")})
    log.metrics({f"{name}.{key}": value for name, figures in ranked.items() for key, value in figures.items() if value is not None})
    log.artifact(target / NATIVE_FILE)
    return native


def native_ranking(natives: pd.DataFrame, detector: str, ranking: PixelRanking | None) -> dict[str, float | None]:
    """Return how well a detector's native score ranks images and its map pixels (None without masks).

    natives: columns path, label (normal or defect) and one a detector.
    """
    labels, scores = (natives["label"] == "defect").to_numpy(), natives[detector].to_numpy()
    return {
        "image_auroc": image_auroc(labels, scores),
        "average_precision": average_precision(labels, scores),
        "fpr_at_zero_missed": fpr_at_zero_missed(labels, scores),
        "pixel_auroc": None if ranking is None else ranking.auroc(),
        "pro": None if ranking is None else ranking.pro(),
    }


def _table_rows(manifest: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the rows of the split `table`, or refuse when a class is missing."""
    table = manifest[manifest["split"] == "table"]
    for label in ("normal", "defect"):
        if not (table["label"] == label).any():
            raise ZeromissError(
                f"product {name!r} has no {label} image in the split table, which needs both: ingest more or change manifest.train, "
                "manifest.mask and manifest.audit"
            )
    return table


def _masks(
    product: Product,
    detectors: list[Detector],
    backbone: Backbone,
    manifest: pd.DataFrame,
    reader: ImageReader,
    *,
    raw: Path,
    folder: Path,
) -> dict[str, Tensor]:
    """Return and write the normal-variation mask of each detector that redraws, where positions are fixed."""
    redrawing = [detector for detector in detectors if redraws(detector)]
    if not product.metrics.fixed_position or not redrawing:
        return {}
    paths = [raw / path for path in manifest.loc[manifest["split"] == "mask", "path"]]
    if not paths:
        raise ZeromissError(
            f"product {product.name!r} has metrics.fixed_position on and no image in the split mask: "
            "set manifest.mask above 0, or metrics.fixed_position to false"
        )
    masks = {}
    for detector in redrawing:
        plain = Measurer(detector=detector, backbone=backbone, params=product.metrics, mask_HW=None)
        bar = tqdm(paths, desc=f"mask of {detector.name}", unit="image")
        masks[detector.name] = normal_variation_mask(plain.difference(read_tensor(path, reader)) for path in bar)
        save_mask(folder / mask_file(detector.name), masks[detector.name])
    return masks


def _measure_table(
    product: Product,
    workspace: Workspace,
    table: pd.DataFrame,
    stack: Stack,
    masks: Mapping[str, Tensor],
    reader: ImageReader,
    *,
    folder: Path,
) -> tuple[pd.DataFrame, dict[str, PixelRanking]]:
    """Write the table; return every image's native scores, and where defects have masks the rankings of pixels."""
    raw = workspace.raw(product.name)
    rankings = _pixel_rankings(table, stack, reader, raw=raw)
    here = active_session() is None
    counted = _here(table, stack, rankings, reader, raw=raw) if here else _there(product, workspace, table, masks, rankings, folder=folder)
    natives: list[dict[str, Any]] = []

    def rows() -> Iterator[dict[str, Any]]:
        """Yield the table's rows, ranking pixels and keeping native scores on the way."""
        for one in counted:
            for name, counts in one.pixels.items():
                rankings[name].include(counts)
            natives.append({"path": one.row["path"], "label": one.row["label"]} | one.natives)
            yield one.row

    write_rows(folder / FILE, rows(), features=stack.columns)
    return pd.DataFrame(natives), rankings


def _measure_aside(
    product: Product,
    workspace: Workspace,
    aside: pd.DataFrame,
    stack: Stack,
    masks: Mapping[str, Tensor],
    reader: ImageReader,
    *,
    folder: Path,
) -> None:
    """Write and check the table of the defects that set the threshold and do nothing else: no figure of a detector counts them."""
    counted = (
        _here(aside, stack, {}, reader, raw=workspace.raw(product.name))
        if active_session() is None
        else _there(product, workspace, aside, masks, {}, folder=folder)
    )
    write_rows(folder / THRESHOLD_FILE, (one.row for one in counted), features=stack.columns)
    frame = read_table(folder / THRESHOLD_FILE, schema_version=schemas.METRIC_TABLE)
    check_table(frame, features=stack.columns, images=len(aside), docs=workspace.quality(product.name) / "metrics_threshold")


def _here(
    table: pd.DataFrame, stack: Stack, rankings: Mapping[str, PixelRanking], reader: ImageReader, *, raw: Path
) -> Iterator[Counted]:
    """Measure on this machine."""
    for row, measurement in tqdm(measured(table, stack, raw=raw, reader=reader), total=len(table), desc="metrics", unit="image"):
        yield count(row, measurement, rankings, raw=raw, reader=reader)


def _there(
    product: Product, workspace: Workspace, table: pd.DataFrame, masks: Mapping[str, Tensor], rankings: Mapping[str, PixelRanking], *, folder: Path
) -> Iterator[Counted]:
    """Measure on the cluster."""
    recipe = write_recipe(
        raw=workspace.raw(product.name),
        align=workspace.alignment(product.name),
        detectors=[workspace.detector(product.name, name) for name in product.detectors],
        variations=[folder / variation_file(name) for name in product.detectors],
        params=product.metrics,
        size=product.size,
        scales={name: ranking.scale for name, ranking in rankings.items()},
    )
    return measured_there(table, recipe, masks)


def _pixel_rankings(table: pd.DataFrame, stack: Stack, reader: ImageReader, *, raw: Path) -> dict[str, PixelRanking]:
    """Return an empty ranking for each detector whose bins suit the first normals' maps; none where no defect has a mask."""
    if not (table["mask"].notna() & (table["label"] == "defect")).any():
        return {}
    normals = table[table["label"] == "normal"].iloc[:SCALE_IMAGES]
    means: dict[str, list[float]] = {}
    for _, measurement in measured(normals, stack, raw=raw, reader=reader):
        for one in measurement.each():
            means.setdefault(one.detector, []).append(float(one.map_HW.mean()))
    return {name: PixelRanking(scale=float(np.mean(values)) or 1.0) for name, values in means.items()}


def _seconds_alone(stack: Stack, table: pd.DataFrame, reader: ImageReader, *, raw: Path) -> dict[str, float]:
    """Return the median seconds that each detector alone takes to measure an image on one thread, reading it not counted."""
    context_of = ContextReader(reader)
    rows = table.iloc[:TIMED_IMAGES].to_dict(orient="records")
    images = [(read_tensor(raw / row["path"], reader), context_of(companion_of(row, raw))) for row in rows]
    spent: dict[str, list[float]] = {}
    for member in stack.members:
        for image_CHW, context in images:
            started = time.perf_counter()
            measurement = member.measure(image_CHW, context=context)
            spent.setdefault(measurement.detector, []).append(time.perf_counter() - started)
    return {name: float(np.median(seconds)) for name, seconds in spent.items()}
