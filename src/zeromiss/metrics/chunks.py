"""Measuring on a cluster's workers: a few images in, their rows and pixel counts out; no map leaves a worker.

A worker reads images and networks itself, from the paths of the machine it works for, and refuses files
of another content. It measures one image at a time with the code that measures here: the same bits come out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from zeromiss.backbones.load import load_backbone
from zeromiss.detectors.vqgan.store import load_vqgan
from zeromiss.errors import ZeromissError
from zeromiss.files import sha256_file
from zeromiss.images.load import load_mask
from zeromiss.metrics.measure import Measurer
from zeromiss.metrics.ranking import PixelCounts, PixelRanking
from zeromiss.metrics.table import measured, table_row
from zeromiss.parallel import run_each
from zeromiss.params import MetricsParams

CHUNK = 8  # images a task: about a second of work

Counted = tuple[dict[str, Any], PixelCounts | None]  # a row of the table, and its pixels where they are ranked


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a worker needs to measure as this machine does."""

    raw: Path
    detector: Path
    digests: tuple[tuple[str, str], ...]  # path and SHA-256 of every file of the networks
    params: MetricsParams
    size: int  # pixels of a side
    scale: float | None  # of the pixel ranking's bins; None: pixels are not ranked


def write_recipe(*, raw: Path, detector: Path, params: MetricsParams, size: int, scale: float | None) -> Recipe:
    """Return the recipe, with the digests of this machine's files."""
    files = sorted(path for path in detector.rglob("*") if path.is_file())
    if params.backbone_path is not None:
        files.append(Path(params.backbone_path).absolute())
    digests = tuple((str(path), sha256_file(path)) for path in files)
    return Recipe(raw=raw, detector=detector, digests=digests, params=params, size=size, scale=scale)


def measured_there(table: pd.DataFrame, recipe: Recipe, mask_HW: np.ndarray | None) -> Iterator[Counted]:
    """Yield the rows of the images of `table` (a manifest's rows) in its order, measured by the cluster's workers.

    Raises ZeromissError, naming the worker, for what it lacks or cannot judge.
    """
    rows = table.to_dict(orient="records")
    chunks = [(recipe, mask_HW, rows[start : start + CHUNK]) for start in range(0, len(rows), CHUNK)]
    for counted in run_each(measure_chunk, chunks, jobs=-1, title="metrics", unit=f"{CHUNK} images"):
        yield from counted


def measure_chunk(recipe: Recipe, mask_HW: np.ndarray | None, rows: list[dict[str, Any]]) -> list[Counted]:
    """Measure the images of a manifest's rows in this process; the networks are loaded once.

    Raises ZeromissError for a file that is missing here, or has another content than the manifest or the recipe says.
    """
    for row in rows:
        _refuse_other(recipe.raw / row["path"], row["sha256"])
    measurer = _measurer(recipe.detector, recipe.digests, recipe.params, None if mask_HW is None else (mask_HW.shape, mask_HW.tobytes()))
    ranking = None if recipe.scale is None else PixelRanking(scale=recipe.scale)
    counted = []
    results = measured(pd.DataFrame(rows), measurer, raw=recipe.raw, size=recipe.size, workers=1)
    for row, (_, measurement) in zip(rows, results, strict=True):
        counts = count_pixels(ranking, row, measurement.map_HW.numpy(), raw=recipe.raw, size=recipe.size)
        counted.append((table_row(row, measurement), counts))
    return counted


def count_pixels(
    ranking: PixelRanking | None, row: dict[str, Any], map_HW: np.ndarray, *, raw: Path, size: int
) -> PixelCounts | None:
    """Count an image's pixels; a defect without a mask is left out, since nobody knows which pixels it has."""
    if ranking is None:
        return None
    if row["label"] == "normal":
        return ranking.count(map_HW, None)
    return None if pd.isna(row["mask"]) else ranking.count(map_HW, load_mask(raw / row["mask"], size))


@lru_cache(maxsize=1)
def _measurer(
    detector: Path, digests: tuple[tuple[str, str], ...], params: MetricsParams, mask: tuple[tuple[int, ...], bytes] | None
) -> Measurer:
    """Return the measurer of a recipe, its files checked."""
    for path, digest in digests:
        _refuse_other(Path(path), digest)
    mask_HW = None if mask is None else torch.from_numpy(np.frombuffer(mask[1], dtype=np.float32).reshape(mask[0]).copy())
    backbone = load_backbone(params.backbone, params.backbone_path)
    return Measurer(detector=load_vqgan(detector), backbone=backbone, params=params, mask_HW=mask_HW)


def _refuse_other(path: Path, digest: str) -> None:
    """Raise ZeromissError unless the file is here, with the bytes that the digest was made of."""
    if not path.is_file():
        raise ZeromissError(
            f"{path} is not there: a worker reads its images and networks itself, so share the folder with its machine "
            "or bring the same commit there with dvc pull"
        )
    if sha256_file(path) != digest:
        raise ZeromissError(f"{path} is another file there than here: bring both machines to one commit with dvc pull")
