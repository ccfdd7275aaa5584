"""What the stage `compare` draws: maps of the same images side by side, an embedding's points, golden samples.

Axes: C channels, H, W pixels, N images, F features, G groups.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm

from zeromiss.detectors.base import Context
from zeromiss.detectors.batches import Images
from zeromiss.detectors.cpcae.baselines import baseline_scores
from zeromiss.detectors.cpcae.cpcae import Cpcae
from zeromiss.detectors.cpcae.embeddings import error_embeddings, latent_embeddings, tsne_points
from zeromiss.detectors.ganodip.golden import GROUP_SIZE, golden_samples
from zeromiss.detectors.images import ContextReader, ImageFiles
from zeromiss.errors import ZeromissError
from zeromiss.image_size import ImageSize
from zeromiss.images.reader import ImageReader, open_reader
from zeromiss.images.references import companion_of
from zeromiss.metrics.stack import Stack
from zeromiss.metrics.table import read_tensor
from zeromiss.params import GanodipParams
from zeromiss.reports.pictures import save_jpeg
from zeromiss.reports.systems_figures import embedded_points, full_scale, golden_bars, map_picture, outlined
from zeromiss.selection.composites import native_figures

MAP_NORMALS = 8  # normal images whose maps set each detector's scale
GOLDEN_SIDE = 64  # most pixels a side at which golden samples are compared: all pairs of images


def draw_maps(
    stack: Stack, chosen: Sequence[tuple[str, str]], rows: pd.DataFrame, reader: ImageReader, *, raw: Path, seed: int, folder: Path
) -> list[dict[str, Any]]:
    """Draw every chosen image beside every detector's map into `folder`; return what the page shows of each.

    chosen: path and reason; rows: the manifest's rows of the table. Each detector's maps share one scale, the largest
    0.999 quantile of its maps of MAP_NORMALS normal images drawn by `seed`, none of them among the chosen.
    """
    normals = rows[(rows["label"] == "normal") & ~rows["path"].isin([path for path, _ in chosen])]
    if normals.empty:
        raise ZeromissError("the table has too few normal images to scale maps by: add normal images or lower compare.maps")
    drawn = normals.sort_values("path").sample(n=min(MAP_NORMALS, len(normals)), random_state=seed)["path"]
    known, shown, context_of = rows.set_index("path"), [], ContextReader(reader)
    seen = {
        path: maps_of(stack, read_tensor(raw / path, reader), context_of(companion_of(known.loc[path], raw)))
        for path in tqdm([*drawn, *(path for path, _ in chosen)], desc="maps", unit="image")
    }
    scales = {name: full_scale([seen[path][name] for path in drawn]) for name in seen[drawn.iloc[0]]}
    for number, (path, why) in enumerate(chosen):
        row = known.loc[path]
        mask_HW = None if pd.isna(row["mask"]) else reader.read_mask(raw / row["mask"], of=raw / path)
        pictures = {"original": outlined(reader.read(raw / path), mask_HW)} | {name: map_picture(seen[path][name], scale) for name, scale in scales.items()}
        panels = {}
        for name, picture in pictures.items():
            panels[name] = f"figures/map{number}-{name}.jpg"
            save_jpeg(folder / panels[name], picture)
        shown.append({"path": path, "label": row["label"], "why": why, "panels": panels})
    return shown


def maps_of(stack: Stack, image_CHW: Tensor, context: Context) -> dict[str, np.ndarray]:
    """Return each detector's map of an image, (H, W) >= 0."""
    return {one.detector: one.map_HW.numpy() for one in stack.measure(image_CHW, context=context).each()}


def draw_embeddings(cpcae: Cpcae, images: Images, y_N: np.ndarray, seed: int) -> Figure:
    """Return t-SNE points of the autoencoder's codes and of its error maps' features (paper 4, Fig. 6); repeatable by `seed`."""
    found = {"autoencoder's codes": latent_embeddings(cpcae, images), "features of error maps": error_embeddings(cpcae, images)}
    return embedded_points({title: tsne_points(embedding_NF, seed) for title, embedding_NF in found.items()}, y_N)


def baselines(cpcae: Cpcae, manifest: pd.DataFrame, table: Images, y_N: np.ndarray, reader: ImageReader, *, raw: Path) -> dict[str, dict[str, float]]:
    """Return how the four baselines of paper 4 rank the table's images, fitted on the training images."""
    taught = manifest[(manifest["split"] == "train") & (manifest["label"] == "normal")]["path"]
    found = baseline_scores(ImageFiles([raw / path for path in taught], reader, keep=True), table, cpcae)
    return {name: native_figures(y_N, np.asarray(score_N, dtype=np.float64)) for name, score_N in found.items()}


def compare_golden(
    manifest: pd.DataFrame, raw: Path, align: Path, params: GanodipParams, *, size: ImageSize, seed: int, own: float
) -> tuple[dict[str, Any] | None, Figure | None]:
    """Return the golden samples' figures and their picture beside GanoDIP's `own` FPR; nothing with too few training images."""
    normal = manifest["label"] == "normal"
    groups: Mapping[str, pd.Series] = {
        "training": (manifest["split"] == "train") & normal,
        "normal": (manifest["split"] == "table") & normal,
        "defect": (manifest["split"] == "table") & ~normal,
    }
    if int(groups["training"].sum()) < GROUP_SIZE:
        return None, None
    side = min(size.shorter, params.side, GOLDEN_SIDE)
    reader = open_reader(align, side)
    images = {name: ImageFiles([raw / path for path in manifest.loc[rows, "path"]], reader, keep=True) for name, rows in groups.items()}
    found = golden_samples(images["training"], images["normal"], images["defect"], seed=seed, patch=params.patch, alpha=params.alpha)
    fpr_G = [one.fpr for one in found]
    return {"fpr": fpr_G, "group_size": GROUP_SIZE, "side": side}, golden_bars(fpr_G, own)
