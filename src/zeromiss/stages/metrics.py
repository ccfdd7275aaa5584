"""Stage `metrics`: measure every image of the split `table` into one table of columns.

Everything runs on the CPU, where an inspection runs too: the threshold is the lowest defect's score, so
the scores behind it must be the very bits an inspection gives.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from zeromiss.backbones.load import load_backbone
from zeromiss.cluster import active_session
from zeromiss.detectors.base import ReconstructingDetector
from zeromiss.detectors.vqgan.store import load_vqgan
from zeromiss.errors import ZeromissError
from zeromiss.files import write_json
from zeromiss.images import manifest as manifests
from zeromiss.images.staging import Staging
from zeromiss.metrics.checks import check_table
from zeromiss.metrics.chunks import Counted, count_pixels, measured_there, write_recipe
from zeromiss.metrics.mask import normal_variation_mask, save_mask
from zeromiss.metrics.measure import Measurer
from zeromiss.metrics.ranking import PixelRanking, average_precision, fpr_at_zero_missed, image_auroc
from zeromiss.metrics.table import FILE, SCHEMA_VERSION, measured, read_tensor, table_row, write_rows
from zeromiss.params import Product
from zeromiss.stages.base import RunLog
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace

MASK_FILE, NATIVE_FILE, NATIVE_SCHEMA = "mask.safetensors", "native.json", 1
SCALE_IMAGES = 8  # normals whose mean map value sets the bins of the pixel ranking


def run(product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any]:
    """Write the metric table, the mask (fixed positions only) and the native ranking of `product`.

    Raises ZeromissError when fixed positions are asked for and no image was put aside for the mask, when
    the split `table` lacks normals or defects, or when the table is not sound; nothing is written then.
    """
    raw = workspace.raw(product.name)
    manifest = read_table(workspace.manifest(product.name) / manifests.FILE, schema_version=manifests.SCHEMA_VERSION)
    table = _table_rows(manifest, product.name)
    detector = load_vqgan(workspace.detector(product.name, "vqgan"))
    staging = Staging(workspace.metrics(product.name))
    staging.recover()
    with staging:
        measurer = _measurer(product, detector, manifest, raw=raw, folder=staging.folder)
        started = time.perf_counter()
        ranking = _measure_table(product, workspace, table, measurer, path=staging.folder / FILE)
        seconds = time.perf_counter() - started
        frame = read_table(staging.folder / FILE, schema_version=SCHEMA_VERSION)
        docs = workspace.quality(product.name) / "metrics"
        check_table(frame, features=measurer.columns, images=len(table), docs=docs)
        native = native_ranking(frame, ranking) | {
            "seconds": seconds,
            "images": len(table),
            "seconds_per_image": seconds / len(table),
        }
        write_json(staging.folder / NATIVE_FILE, native, schema_version=NATIVE_SCHEMA)
        staging.swap()
    log.metrics({name: float(value) for name, value in native.items() if value is not None})
    log.artifact(workspace.metrics(product.name) / NATIVE_FILE)
    return native


def native_ranking(frame: pd.DataFrame, ranking: PixelRanking | None) -> dict[str, float | None]:
    """Return how well the native score ranks images and the anomaly map pixels (None without masks)."""
    labels, scores = (frame["label"] == "defect").to_numpy(), frame["native_score"].to_numpy()
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


def _measurer(
    product: Product, detector: ReconstructingDetector, manifest: pd.DataFrame, *, raw: Path, folder: Path
) -> Measurer:
    """Return the measurer of `product`; where positions are fixed, make its mask and write it first."""
    backbone = load_backbone(product.metrics.backbone, product.metrics.backbone_path)
    plain = Measurer(detector=detector, backbone=backbone, params=product.metrics, mask_HW=None)
    if not product.metrics.fixed_position:
        return plain
    paths = [raw / path for path in manifest.loc[manifest["split"] == "mask", "path"]]
    if not paths:
        raise ZeromissError(
            f"product {product.name!r} has metrics.fixed_position on and no image in the split mask: "
            "set manifest.mask above 0, or metrics.fixed_position to false"
        )
    bar = tqdm(paths, desc="mask", unit="image")
    mask_HW = normal_variation_mask(plain.difference(read_tensor(path, product.size, product.metrics.decode)) for path in bar)
    save_mask(folder / MASK_FILE, mask_HW)
    return Measurer(detector=detector, backbone=backbone, params=product.metrics, mask_HW=mask_HW)


def _measure_table(product: Product, workspace: Workspace, table: pd.DataFrame, measurer: Measurer, *, path: Path) -> PixelRanking | None:
    """Write the table; return the ranking of pixels where defects have masks, else None."""
    ranking = _pixel_ranking(table, measurer, raw=workspace.raw(product.name), size=product.size)
    here = active_session() is None
    counted = _here(product, workspace, table, measurer, ranking) if here else _there(product, workspace, table, measurer, ranking)

    def rows() -> Iterator[dict[str, Any]]:
        """Yield the table's rows, ranking pixels on the way."""
        for row, counts in counted:
            if ranking is not None and counts is not None:
                ranking.include(counts)
            yield row

    write_rows(path, rows(), features=measurer.columns)
    return ranking


def _here(
    product: Product, workspace: Workspace, table: pd.DataFrame, measurer: Measurer, ranking: PixelRanking | None
) -> Iterator[Counted]:
    """Measure on this machine."""
    raw, size = workspace.raw(product.name), product.size
    for row, measurement in tqdm(measured(table, measurer, raw=raw, size=size), total=len(table), desc="metrics", unit="image"):
        yield table_row(row, measurement), count_pixels(ranking, row, measurement.map_HW.numpy(), raw=raw, size=size)


def _there(
    product: Product, workspace: Workspace, table: pd.DataFrame, measurer: Measurer, ranking: PixelRanking | None
) -> Iterator[Counted]:
    """Measure on the cluster."""
    recipe = write_recipe(
        raw=workspace.raw(product.name),
        detector=workspace.detector(product.name, "vqgan"),
        params=product.metrics,
        size=product.size,
        scale=None if ranking is None else ranking.scale,
    )
    return measured_there(table, recipe, None if measurer.mask_HW is None else measurer.mask_HW.numpy())


def _pixel_ranking(table: pd.DataFrame, measurer: Measurer, *, raw: Path, size: int) -> PixelRanking | None:
    """Return an empty ranking whose bins suit the first normals' maps, or None where no defect has a mask."""
    if not (table["mask"].notna() & (table["label"] == "defect")).any():
        return None
    normals = table[table["label"] == "normal"].iloc[:SCALE_IMAGES]
    means = [float(measurement.map_HW.mean()) for _, measurement in measured(normals, measurer, raw=raw, size=size)]
    return PixelRanking(scale=float(np.mean(means)) or 1.0)
