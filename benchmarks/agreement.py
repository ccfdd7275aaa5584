"""Whether dense mode sees what the paper's crops see: rank correlation, chosen boxes, image AUROC.

Both modes get the same images, reconstructions and candidate boxes, and differ in the patch distance alone: features
pooled over each box from one pass, or the network's features of the box cut out and enlarged. Crops take seconds for a
hundred boxes, so a tenth of the paper's pixels and boxes is used, in both modes alike, on a fixed part of the images.

Solar cells come from a workspace in which `zeromiss run solar_cell` has run (ZEROMISS_WORKSPACE, by default this
repository), paper impurities from a folder that holds MVTec style folders (ZEROMISS_IMPURITIES).
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import RepeatedStratifiedKFold
from torch import Tensor
from tqdm import tqdm

from benchmarks.measure import FOLDER, Figure
from zeromiss.backbones.base import Backbone
from zeromiss.backbones.faster import faster
from zeromiss.backbones.load import load_backbone
from zeromiss.detectors.base import ReconstructingDetector
from zeromiss.detectors.vqgan.store import load_vqgan
from zeromiss.detectors.vqgan.train import train
from zeromiss.images import manifest as manifests
from zeromiss.images.reader import ImageReader
from zeromiss.images.sources.mvtec import list_mvtec
from zeromiss.metrics.aggregates import aggregate
from zeromiss.metrics.distances import patch_distances
from zeromiss.metrics.features import CROP_SIDE, crop_distances, dense_distances, dense_levels, level_difference
from zeromiss.metrics.localise import candidate_boxes, keep_largest
from zeromiss.metrics.mask import load_mask_file
from zeromiss.metrics.table import mask_file
from zeromiss.metrics.ranking import image_auroc
from zeromiss.metrics.table import read_tensor
from zeromiss.metrics.threads import one_thread
from zeromiss.detector_params import VqganParams
from zeromiss.stage_params import MetricsParams
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace

MODES = ("dense", "crops")
PARAMS = MetricsParams(backbone="efficientnet_lite0", pixels=10, scales=4, alpha=4, patches=25)
VQGAN = "vqgan"
CELLS = 24  # normals, and as many defects
CELL_SIDE = 256
PAPERS = ("PA_BDP01_TL", "PA_FVN01_TL")
SHEETS = 10  # normals, and as many defects, of each paper
SHEET_SIDE = 128
SHEET_VQGAN = VqganParams(steps=350, codebook_start=100, critic_start=250, critic_warmup=50)  # under a minute
WORSE = 0.005  # AUROC that dense mode may lose
DRAWS = 2000  # of the bootstrap


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One image in both modes."""

    defect: bool
    columns: dict[str, np.ndarray]  # by mode: aggregates of the patch metrics, (98,), the distance's own first
    rank_correlation: float  # Spearman's, of the distances of all candidate boxes
    rank_within: float  # the same among boxes of one size, averaged over sizes
    overlap: float  # share of the chosen boxes that both modes choose
    boxes: int


@dataclass(frozen=True, kw_only=True)
class Group:
    """Images that are judged by one detector."""

    detector: ReconstructingDetector
    mask_HW: Tensor | None
    files: list[Path]
    defects: list[bool]
    side: int


def run() -> list[Figure]:
    """Return correlation, overlap and AUROC of both modes on solar cells and paper impurities."""
    original = load_backbone(PARAMS.backbone)
    cells, sheets = solar_cells(), paper_impurities(original)
    backbone = faster(original, fold_norms=True).to(memory_format=torch.channels_last)  # of both modes
    return [
        *_figures("solar cells", [look(cells, backbone)], f"{CELLS} normals and {CELLS} defects at {CELL_SIDE} px, masked"),
        *_figures(
            "paper impurities",
            [look(group, backbone) for group in sheets],
            f"{SHEETS} normals and {SHEETS} defects of each of {len(PAPERS)} papers at {SHEET_SIDE} px, a VQGAN of "
            f"{SHEET_VQGAN.steps} steps each, AUROC averaged over papers",
        ),
    ]


def solar_cells() -> Group:
    """Return a fixed part of the cells that neither network nor mask has seen, and the trained detector."""
    root = Path(os.environ.get("ZEROMISS_WORKSPACE", FOLDER.parent))
    workspace = Workspace(root=root)
    bundle, manifest_file = workspace.bundle("solar_cell"), workspace.manifest("solar_cell") / manifests.FILE
    if not (bundle / VQGAN).is_dir() or not manifest_file.is_file():
        raise SystemExit(f"{root} holds no bundle of solar_cell: run `zeromiss run solar_cell` there, or set ZEROMISS_WORKSPACE to where it has run")
    manifest = read_table(manifest_file, schema_version=manifests.SCHEMA_VERSION)
    chosen = manifest[manifest["split"] == "table"].groupby("label").sample(CELLS, random_state=0)
    return Group(
        detector=load_vqgan(bundle / VQGAN),
        mask_HW=load_mask_file(bundle / mask_file(VQGAN)),
        files=[workspace.raw("solar_cell") / path for path in chosen["path"]],
        defects=list(chosen["label"] == "defect"),
        side=CELL_SIDE,
    )


def paper_impurities(backbone: Backbone) -> list[Group]:
    """Return the papers, each with a small VQGAN trained here on its normal images."""
    folder = os.environ.get("ZEROMISS_IMPURITIES", "")
    if not folder or not all((Path(folder) / paper).is_dir() for paper in PAPERS):
        raise SystemExit(
            f"ZEROMISS_IMPURITIES names no folder with {' and '.join(PAPERS)}: lay the Paper ImPuritiEs Dataset out as MVTec AD does "
            "(train/good, test/good, test/impurity) and set it"
        )
    return [_paper(Path(folder) / paper, backbone) for paper in PAPERS]


def _paper(folder: Path, backbone: Backbone) -> Group:
    """Train on one paper's normal images and return its images to judge."""
    records = list_mvtec(folder).records
    taught = [read_tensor(record.file, ImageReader(SHEET_SIDE)) for record in records if record.source_split == "train"]
    images = torch.stack([(image_CHW * 255).round().to(torch.uint8) for image_CHW in taught])
    vqgan = train(SHEET_VQGAN, images, backbone, seed=0).detector
    shown = [record for record in records if record.source_split == "test"]
    chosen = [record for label in ("normal", "defect") for record in [one for one in shown if one.label == label][:SHEETS]]
    return Group(
        detector=vqgan,
        mask_HW=None,
        files=[record.file for record in chosen],
        defects=[record.label == "defect" for record in chosen],
        side=SHEET_SIDE,
    )


def look(group: Group, backbone: Backbone) -> list[Seen]:
    """Measure every image of a group in both modes, one a core."""

    def one(file: Path, defect: bool) -> Seen:
        """Measure one image."""
        with one_thread(), torch.inference_mode():
            return _see(read_tensor(file, ImageReader(group.side)), group, backbone, defect=defect)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(tqdm(pool.map(one, group.files, group.defects), total=len(group.files), unit="image", desc="both modes", leave=False))


def _see(x_CHW: Tensor, group: Group, backbone: Backbone, *, defect: bool) -> Seen:
    """Return one image's patch metrics in both modes."""
    x_hat_CHW = group.detector.reconstruct(x_CHW[None]).image_hat_BCHW[0].clamp(0.0, 1.0)
    difference_HW = (x_CHW - x_hat_CHW).abs().mean(dim=0)
    weighted_HW = difference_HW if group.mask_HW is None else difference_HW * group.mask_HW
    boxes_N4 = torch.from_numpy(candidate_boxes(weighted_HW, pixels=PARAMS.pixels, scales=PARAMS.scales, alpha=PARAMS.alpha))
    distances = {
        "dense": _dense(x_CHW, x_hat_CHW, boxes_N4, backbone),
        "crops": crop_distances(backbone, x_CHW, x_hat_CHW, boxes_N4, side=CROP_SIDE),
    }
    columns, kept = {}, {}
    for mode, distances_N in distances.items():
        boxes_Q4, fid_Q = keep_largest(boxes_N4, distances_N, PARAMS.patches)
        named = patch_distances(x_CHW.numpy(), x_hat_CHW.numpy(), boxes_Q4)
        columns[mode] = aggregate(np.stack((fid_Q.astype(np.float64), *named.values()))).ravel()
        kept[mode] = set(map(tuple, boxes_Q4.tolist()))
    return Seen(
        defect=defect,
        columns=columns,
        rank_correlation=_rank_correlation(distances, torch.ones(len(boxes_N4), dtype=torch.bool)),
        rank_within=float(np.mean([_rank_correlation(distances, same_N) for same_N in _sizes(boxes_N4)])),
        overlap=len(kept["dense"] & kept["crops"]) / len(kept["dense"]),
        boxes=len(boxes_N4),
    )


def _rank_correlation(distances: dict[str, Tensor], chosen_N: Tensor) -> float:
    """Return Spearman's rank correlation of both modes' distances of the chosen boxes."""
    return float(spearmanr(*(distances[mode][chosen_N].numpy() for mode in MODES)).statistic)


def _sizes(boxes_N4: Tensor) -> list[Tensor]:
    """Return which boxes (N,) are whole squares, for each of the sides that zoom-out-and-shift gives."""
    sides_N2 = boxes_N4[:, 2:] - boxes_N4[:, :2]
    return [(sides_N2 == PARAMS.alpha * scale).all(dim=1) for scale in range(1, PARAMS.scales + 1)]


def _dense(x_CHW: Tensor, x_hat_CHW: Tensor, boxes_N4: Tensor, backbone: Backbone) -> Tensor:
    """Return the boxes' distances in dense mode."""
    maps, maps_hat = (backbone(image_CHW[None].contiguous(memory_format=torch.channels_last)) for image_CHW in (x_CHW, x_hat_CHW))
    differences = [level_difference(maps[level], maps_hat[level]) for level in dense_levels(backbone)]
    return dense_distances(differences, boxes_N4, height=x_CHW.shape[1], width=x_CHW.shape[2])


def _figures(name: str, groups: list[list[Seen]], images: str) -> list[Figure]:
    """Return one data set's figures."""
    seen = [one for group in groups for one in group]
    how = f"p {PARAMS.pixels}, n {PARAMS.scales}, q {PARAMS.patches}; {images}; {np.mean([one.boxes for one in seen]):.0f} boxes an image"
    agree = {
        "Spearman rank correlation of the boxes' distances": "rank_correlation",
        "the same among boxes of one size": "rank_within",
        "overlap of the chosen boxes": "overlap",
    }
    return [
        *(_spread(f"{name}: {what}, mean over images", [getattr(one, key) for one in seen], how) for what, key in agree.items()),
        *(_loss(f"{name}: AUROC of dense minus crops, {what}", groups, score) for what, score in SCORES.items()),
    ]


def _spread(what: str, values: list[float], note: str) -> Figure:
    """Return a mean over images; the note tells where four fifths of them lie."""
    low, high = np.quantile(values, (0.1, 0.9))
    return Figure(what=what, against="dense against crops", value=float(np.mean(values)), note=f"four fifths of the images {low:.2f} to {high:.2f}; {note}")


def _native(group: list[Seen], mode: str) -> np.ndarray:
    """Return the native score: the mean distance of the chosen boxes."""
    return np.array([one.columns[mode][3] for one in group])  # sum, max, min, mean


def _best_column(group: list[Seen], mode: str) -> np.ndarray:
    """Return the patch column that ranks the group's images best."""
    table_NF, labels_N = np.stack([one.columns[mode] for one in group]), _labels(group)
    return max(table_NF.T, key=lambda column_N: image_auroc(labels_N, column_N))


def _composite(group: list[Seen], mode: str) -> np.ndarray:
    """Return out-of-fold probabilities of a small forest on the mode's patch columns."""
    table_NF, labels_N = np.stack([one.columns[mode] for one in group]), _labels(group)
    total_N = np.zeros(len(group))
    for learned, judged in RepeatedStratifiedKFold(n_splits=5, n_repeats=4, random_state=0).split(table_NF, labels_N):
        forest = ExtraTreesClassifier(200, min_samples_leaf=2, random_state=0).fit(table_NF[learned], labels_N[learned])
        total_N[judged] += forest.predict_proba(table_NF[judged])[:, 1]
    return total_N


SCORES: dict[str, Callable[[list[Seen], str], np.ndarray]] = {
    "native score": _native,
    "best single patch column": _best_column,
    "small forest on the patch columns": _composite,
}


def _labels(group: list[Seen]) -> np.ndarray:
    """Return whether each image is a defect."""
    return np.array([one.defect for one in group])


def _loss(what: str, groups: list[list[Seen]], score: Callable[[list[Seen], str], np.ndarray]) -> Figure:
    """Return by how much dense mode's AUROC exceeds that of crops, with a paired bootstrap over images."""
    scored = [(_labels(group), {mode: score(group, mode) for mode in MODES}) for group in groups]
    auroc = {mode: float(np.mean([image_auroc(labels, scores[mode]) for labels, scores in scored])) for mode in MODES}
    gain = auroc["dense"] - auroc["crops"]
    low, high = np.quantile(list(_bootstrap(scored)), (0.025, 0.975)).tolist()
    note = f"dense {auroc['dense']:.4f}, crops {auroc['crops']:.4f}; 95 % of {DRAWS:,} paired bootstraps over images {low:+.4f} to {high:+.4f}"
    return Figure(what=what, against="crops mode", target=f">= -{WORSE:g}", value=gain, spread=(low, high), met=gain >= -WORSE, note=note)


def _bootstrap(scored: list[tuple[np.ndarray, dict[str, np.ndarray]]]) -> Iterable[float]:
    """Yield the difference of the AUROCs on images drawn with repetition, within each group and class."""
    rng = np.random.default_rng(0)
    for _ in range(DRAWS):
        gains = []
        for labels, scores in scored:
            drawn = np.concatenate([rng.choice(np.flatnonzero(labels == label), (labels == label).sum()) for label in (False, True)])
            gains.append(_auroc(labels[drawn], scores["dense"][drawn]) - _auroc(labels[drawn], scores["crops"][drawn]))
        yield float(np.mean(gains))


def _auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the share of pairs in which the defect scores higher (ties count half)."""
    gap = scores[labels][:, None] - scores[~labels][None]
    return float((gap > 0).mean() + (gap == 0).mean() / 2)
