"""The two studies of paper 5 on SimpleNet: its backbone table, and two good images against all of them.

On solar cells, which have no masks, and on drawn boards, which have. Backbone table (section 4, table 1): image and pixel
AUROC beside layers and parameters of each backbone whose weights are here or can be fetched; the others are listed with
the reason. Few images (figure 10): two teach for as many steps as all. Every figure is the mean over seeds, which draw
the weights, the batches and the two images.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import timm
import torch
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.measure import Figure
from zeromiss.backbones.load import load_backbone
from zeromiss.backbones.resnet import total_parameters
from zeromiss.detector_params import SimplenetParams
from zeromiss.detectors.images import floats
from zeromiss.detectors.simplenet.train import train
from zeromiss.errors import ZeromissError
from zeromiss.images.load import load_image
from zeromiss.images.pcba.board import draw_board
from zeromiss.images.pcba.defects import DEFECTS
from zeromiss.images.sources.elpv import list_elpv
from zeromiss.metrics.ranking import PixelRanking, image_auroc

SIDE = 256
TAUGHT = 40  # good images that teach
NORMALS, EACH = 20, 3  # good boards that are judged, and boards of each kind of defect
CELLS = 30  # good cells that are judged, and as many defective ones
FEW = 2
STEPS = 150  # of every training here
SEEDS = (0, 1, 2)
PUBLISHED = {  # layers, and image and pixel AUROC in % on MVTec AD (paper 5, table 1)
    "resnet18": (18, 98.3, 95.7),
    "resnet50": (50, 99.6, 98.0),
    "resnet101": (101, 99.2, 97.6),
    "wide_resnet50": (50, 99.6, 98.1),
}
BACKBONES = ("efficientnet_lite0", *PUBLISHED)


@dataclass(frozen=True, kw_only=True)
class Material:
    """What is learned and judged."""

    name: str
    taught: Tensor  # (N, 3, SIDE, SIDE) bytes, good images
    judged: list[Tensor]  # (3, SIDE, SIDE) bytes each
    defects: list[bool]  # of those judged
    masks: list[np.ndarray | None] | None  # of the defects; None where the material has no masks


@dataclass(frozen=True, kw_only=True)
class Found:
    """One detector's figures, in [0, 1], and the seconds of its fit."""

    image_auroc: float
    pixel_auroc: float | None
    pro: float | None
    seconds: float


def run() -> list[Figure]:
    """Print both tables of each material and return their figures."""
    missing = {name: why for name in BACKBONES if (why := _missing(name))}
    figures = []
    for material in (solar_cells(), drawn_boards()):
        found = {name: [study(material, name, seed) for seed in SEEDS] for name in BACKBONES if name not in missing}
        few = [study(few_of(material, seed), BACKBONES[0], seed) for seed in SEEDS]
        print(material.name, backbone_table(found, missing), few_table(found[BACKBONES[0]], few), sep="\n\n", end="\n\n")
        for name, runs in found.items():
            figures += _rows(f"{material.name}, {name}", runs, _note(material, name, runs))
        rows = _rows(f"{material.name}, {FEW} good images teach", few, f"drawn anew by each of {len(SEEDS)} seeds, as many steps")
        of_all = _means(found[BACKBONES[0]])
        figures += [replace(row, against=f"{value:.3f} where {TAUGHT} teach") for row, value in zip(rows, of_all, strict=True)]
    return [*figures, _measured(missing)]


def _missing(name: str) -> str:
    """Return why a backbone cannot be loaded, nothing where it can."""
    try:
        load_backbone(name)
    except ZeromissError as error:
        return str(error)
    return ""


def solar_cells() -> Material:
    """Return some of the package's solar cells, the same every time."""
    records = list_elpv(None, incoming=0, seed=0).records
    draws = np.random.default_rng(0)
    of = {label: [records[index] for index in draws.permutation(len(records)) if records[index].label == label] for label in ("normal", "defect")}
    chosen = [*of["normal"][: TAUGHT + CELLS], *of["defect"][:CELLS]]
    read = [torch.from_numpy(np.rint(load_image(record.file, SIDE) * 255).astype(np.uint8)) for record in chosen]
    defects = [False] * CELLS + [True] * CELLS
    return Material(name="solar cells", taught=torch.stack(read[:TAUGHT]), judged=read[TAUGHT:], defects=defects, masks=None)


def drawn_boards() -> Material:
    """Draw the boards, the same every time."""
    kinds = [None] * (TAUGHT + NORMALS) + [kind for kind in DEFECTS for _ in range(EACH)]
    drawn = [draw_board(seed=number, side=SIDE, defect=kind) for number, kind in enumerate(tqdm(kinds, desc="drawing boards", unit="board"))]
    images = [torch.from_numpy(board.image_HWC).movedim(-1, 0).contiguous() for board in drawn]
    masks = [board.mask_HW if kind else None for board, kind in zip(drawn, kinds, strict=True)]
    defects = [kind is not None for kind in kinds[TAUGHT:]]
    return Material(name="drawn boards", taught=torch.stack(images[:TAUGHT]), judged=images[TAUGHT:], defects=defects, masks=masks[TAUGHT:])


def few_of(material: Material, seed: int) -> Material:
    """Return the same with a few of the images that teach, drawn by the seed."""
    return replace(material, taught=material.taught[np.random.default_rng(seed).permutation(TAUGHT)[:FEW].tolist()])


def study(material: Material, backbone: str, seed: int) -> Found:
    """Fit with the default parameters, but so many steps, and judge."""
    params = SimplenetParams(backbone=backbone, epochs=1, least_steps=STEPS)
    started = time.perf_counter()
    detector = train(params, material.taught, size=SIDE, seed=seed).detector
    seconds = time.perf_counter() - started
    found = [detector.detect(floats(image_CHW)[None]) for image_CHW in tqdm(material.judged, desc="judging", unit="image")]
    auroc = image_auroc(np.array(material.defects), np.array([float(detection.score_B) for detection in found]))
    return Found(image_auroc=auroc, seconds=seconds, **_pixels(material, [detection.map_BHW[0].numpy() for detection in found]))


def _pixels(material: Material, maps: list[np.ndarray]) -> dict[str, float | None]:
    """Return pixel AUROC and PRO, None without masks."""
    if material.masks is None:
        return {"pixel_auroc": None, "pro": None}
    usual = [float(np.median(map_HW)) for map_HW, defect in zip(maps, material.defects, strict=True) if not defect]
    pixels = PixelRanking(scale=statistics.median(usual))
    for map_HW, mask_HW in zip(maps, material.masks, strict=True):
        pixels.add(map_HW, mask_HW)
    return {"pixel_auroc": pixels.auroc(), "pro": pixels.pro()}


def backbone_table(found: dict[str, list[Found]], missing: dict[str, str]) -> str:
    """Return table 1 of paper 5 with our figures and the published ones beside them, as Markdown."""
    lines = ["| backbone | I-AUROC % | P-AUROC % | PRO % | layers | parameters, M | published I-AUROC % | P-AUROC % |", "|---" * 8 + "|"]
    for name in BACKBONES:
        layers, *published = PUBLISHED.get(name, (_layers(), "", ""))
        ours = _percents(found[name]) if name in found else [f"missing: {missing[name]}", "", ""]
        lines.append("| " + " | ".join([name, *ours, str(layers), f"{_parameters(name) / 1e6:.1f}", *map(str, published)]) + " |")
    return "\n".join(lines)


def few_table(all_of_them: list[Found], few: list[Found]) -> str:
    """Return what figure 10 of paper 5 shows, as Markdown."""
    lines = ["| good images that teach | I-AUROC % | P-AUROC % | PRO % |", "|---" * 4 + "|"]
    lines += [f"| {count} | " + " | ".join(_percents(runs)) + " |" for count, runs in ((FEW, few), (TAUGHT, all_of_them))]
    return "\n".join(lines)


def _note(material: Material, name: str, runs: list[Found]) -> str:
    defective, seconds = sum(material.defects), statistics.mean(run.seconds for run in runs)
    return (
        f"{TAUGHT} good images teach, {len(material.defects) - defective} good and {defective} defective ones are judged, {SIDE} px, {STEPS} steps, "
        f"{len(SEEDS)} seeds; {_parameters(name) / 1e6:.1f} million parameters in the whole classifier; {seconds:.0f} s a fit"
    )


def _rows(what: str, runs: list[Found], note: str) -> list[Figure]:
    """Return the figures of one detector that there are, with the range over seeds; the first bears the note."""
    figures = []
    for title, key in (("image AUROC", "image_auroc"), ("pixel AUROC", "pixel_auroc"), ("PRO to FPR 0.3", "pro")):
        values = [getattr(run, key) for run in runs]
        if None not in values:
            spread = (min(values), max(values))
            figures.append(Figure(what=f"{what}: {title}", value=statistics.mean(values), spread=spread, note="" if figures else note))
    return figures


def _measured(missing: dict[str, str]) -> Figure:
    """Return how many backbones of the table were measured, and why not the others."""
    reasons = "; ".join(missing.values())
    return Figure(
        what="backbones of paper 5's table 1 measured",
        against=f"{len(PUBLISHED)}: {', '.join(PUBLISHED)}",
        value=float(sum(name not in missing for name in PUBLISHED)),
        note=reasons,
    )


def _percents(runs: list[Found]) -> list[str]:
    """Return image AUROC, pixel AUROC and PRO in %, a dash for what there is not."""
    means = _means(runs)
    return [f"{100 * value:.1f}" for value in means] + ["-"] * (3 - len(means))


def _means(runs: Sequence[Found]) -> list[float]:
    """Return the means of image AUROC and, with masks, pixel AUROC and PRO."""
    rows = [[value for value in (run.image_auroc, run.pixel_auroc, run.pro) if value is not None] for run in runs]
    return [statistics.mean(values) for values in zip(*rows, strict=True)]


def _whole_lite0() -> nn.Module:
    """Return EfficientNet-Lite0 with its last layer, without weights."""
    with torch.device("meta"):
        return timm.create_model("tf_efficientnet_lite0", pretrained=False)


def _parameters(name: str) -> int:
    """Return how many weights the whole classifier has, as the paper counts them."""
    return total_parameters(name) if name in PUBLISHED else sum(weight.numel() for weight in _whole_lite0().parameters())


def _layers() -> int:
    """Return the layers of EfficientNet-Lite0 that have weights to multiply with, one behind the other."""
    return sum(isinstance(module, nn.Conv2d | nn.Linear) for module in _whole_lite0().modules())
