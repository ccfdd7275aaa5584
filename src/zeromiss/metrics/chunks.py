"""Measuring on a cluster's workers: a few images in, their rows, native scores and pixel counts out; no map leaves a worker.

A worker reads images and networks itself, from the paths of the machine it works for, and refuses files
of another content. It measures one image at a time with the code that measures here: the same bits come out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from zeromiss.backbones.load import load_backbone
from zeromiss.detectors.load import load_detector
from zeromiss.detectors.store import FILES
from zeromiss.errors import ZeromissError
from zeromiss.files import sha256_file
from zeromiss.image_size import ImageSize
from zeromiss.images.reader import ImageReader, open_reader
from zeromiss.metrics.measurement import Measurement
from zeromiss.metrics.ranking import PixelCounts, PixelRanking
from zeromiss.metrics.stack import Stack, stack_of
from zeromiss.metrics.table import measured, table_row
from zeromiss.metrics.variation import load_variation
from zeromiss.parallel import run_each
from zeromiss.stage_params import MetricsParams

CHUNK = 8  # images a task: about a second of work

Masks = tuple[tuple[str, tuple[int, ...], bytes], ...]  # detector, shape and float32 bytes of each normal-variation mask


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A measured image: its row of the table, and by detector its native score and its pixels where they are ranked."""

    row: dict[str, Any]
    natives: dict[str, float]
    pixels: dict[str, PixelCounts]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a worker needs to measure as this machine does."""

    raw: Path
    align: Path  # folder that says how images are aligned
    detectors: tuple[Path, ...]  # folders, in the order of the columns
    variations: tuple[Path, ...]  # files of what is known of normal images, a detector each, in the same order
    digests: tuple[tuple[str, str], ...]  # path and SHA-256 of every file of the networks and of the alignment
    params: MetricsParams
    size: ImageSize
    scales: tuple[tuple[str, float], ...]  # of the pixel rankings' bins, by detector; empty: pixels are not ranked


def write_recipe(
    *,
    raw: Path,
    align: Path,
    detectors: Sequence[Path],
    variations: Sequence[Path],
    params: MetricsParams,
    size: ImageSize,
    scales: Mapping[str, float],
) -> Recipe:
    """Return the recipe, with the digests of this machine's files."""
    files = [*sorted(folder / name for folder in detectors for name in FILES), *variations, *sorted(align.iterdir())]
    if params.backbone_path is not None:
        files.append(Path(params.backbone_path).absolute())
    digests = tuple((str(path), sha256_file(path)) for path in files)
    return Recipe(
        raw=raw,
        align=align,
        detectors=tuple(detectors),
        variations=tuple(variations),
        digests=digests,
        params=params,
        size=size,
        scales=tuple(scales.items()),
    )


def pack_masks(masks: Mapping[str, torch.Tensor]) -> Masks:
    """Return masks (H, W) in a form that travels and can be compared."""
    return tuple((name, tuple(mask_HW.shape), mask_HW.numpy().tobytes()) for name, mask_HW in masks.items())


def measured_there(table: pd.DataFrame, recipe: Recipe, masks: Mapping[str, torch.Tensor]) -> Iterator[Counted]:
    """Yield the images of `table` (a manifest's rows) in its order, measured by the cluster's workers.

    Raises ZeromissError, naming the worker, for what it lacks or cannot judge.
    """
    rows, packed = table.to_dict(orient="records"), pack_masks(masks)
    chunks = [(recipe, packed, rows[start : start + CHUNK]) for start in range(0, len(rows), CHUNK)]
    for counted in run_each(measure_chunk, chunks, jobs=-1, title="metrics", unit=f"{CHUNK} images"):
        yield from counted


def measure_chunk(recipe: Recipe, masks: Masks, rows: list[dict[str, Any]]) -> list[Counted]:
    """Measure the images of a manifest's rows in this process; the networks are loaded once.

    Raises ZeromissError for a file that is missing here, or has another content than the manifest or the recipe says.
    """
    for row in rows:
        _refuse_other(recipe.raw / row["path"], row["sha256"])
    measurer = _measurer(recipe.detectors, recipe.variations, recipe.digests, recipe.params, masks)
    rankings = {name: PixelRanking(scale=scale) for name, scale in recipe.scales}
    reader = open_reader(recipe.align, recipe.size, reduced=recipe.params.decode == "reduced")
    results = measured(pd.DataFrame(rows), measurer, raw=recipe.raw, reader=reader, workers=1)
    return [count(row, measurement, rankings, raw=recipe.raw, reader=reader) for row, (_, measurement) in zip(rows, results, strict=True)]


def count(
    row: dict[str, Any], measurement: Measurement, rankings: Mapping[str, PixelRanking], *, raw: Path, reader: ImageReader
) -> Counted:
    """Return what the table and the rankings keep of a measured image."""
    each = measurement.each()
    marked_HW = None
    if rankings and row["label"] != "normal" and not pd.isna(row["mask"]):
        marked_HW = reader.read_mask(raw / row["mask"], of=raw / row["path"])
    pixels = {
        one.detector: counts
        for one in each
        if (counts := count_pixels(rankings.get(one.detector), row, one.map_HW.numpy(), marked_HW)) is not None
    }
    return Counted(row=table_row(row, measurement), natives={one.detector: one.native_score for one in each}, pixels=pixels)


def count_pixels(
    ranking: PixelRanking | None, row: dict[str, Any], map_HW: np.ndarray, marked_HW: np.ndarray | None
) -> PixelCounts | None:
    """Count an image's pixels; a defect without a mask is left out, since nobody knows which pixels it has."""
    if ranking is None:
        return None
    if row["label"] == "normal":
        return ranking.count(map_HW, None)
    return None if marked_HW is None else ranking.count(map_HW, marked_HW)


@lru_cache(maxsize=1)
def _measurer(
    detectors: tuple[Path, ...], variations: tuple[Path, ...], digests: tuple[tuple[str, str], ...], params: MetricsParams, masks: Masks
) -> Stack:
    """Return the measurer of a recipe, its files checked."""
    for path, digest in digests:
        _refuse_other(Path(path), digest)
    unpacked = {name: torch.from_numpy(np.frombuffer(data, dtype=np.float32).reshape(shape).copy()) for name, shape, data in masks}
    backbone = load_backbone(params.backbone, params.backbone_path)
    loaded = [load_detector(folder) for folder in detectors]
    known = {detector.name: load_variation(path) for detector, path in zip(loaded, variations, strict=True)}
    return stack_of(loaded, backbone=backbone, params=params, masks=unpacked, variations=known)


def _refuse_other(path: Path, digest: str) -> None:
    """Raise ZeromissError unless the file is here, with the bytes that the digest was made of."""
    if not path.is_file():
        raise ZeromissError(
            f"{path} is not there: a worker reads its images and networks itself, so share the folder with its machine "
            "or bring the same commit there with dvc pull"
        )
    if sha256_file(path) != digest:
        raise ZeromissError(f"{path} is another file there than here: bring both machines to one commit with dvc pull")
