"""The two studies of paper 5 on SimpleNet, on drawn boards with masks: the backbone table and learning from two images.

Backbone table (section 4, table 1): image and pixel AUROC beside layers and parameters of each backbone whose weights are
here or can be fetched; the others are listed with the reason. Few images (figure 10): two good boards against all of
them, as many steps. Every figure is the mean over seeds, which draw the weights, the batches and the two boards.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

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
from zeromiss.detectors.simplenet.simplenet import Simplenet
from zeromiss.detectors.simplenet.train import train
from zeromiss.errors import ZeromissError
from zeromiss.images.pcba.board import draw_board
from zeromiss.images.pcba.defects import DEFECTS
from zeromiss.metrics.ranking import PixelRanking, image_auroc

SIDE = 256
TAUGHT, NORMALS, EACH = 40, 20, 3  # good boards that teach, good ones that are judged, and boards of each kind of defect
FEW = 2
STEPS = 200  # of every training here
SEEDS = (0, 1, 2)
PUBLISHED = {  # layers, and image and pixel AUROC in % on MVTec AD (paper 5, table 1)
    "resnet18": (18, 98.3, 95.7),
    "resnet50": (50, 99.6, 98.0),
    "resnet101": (101, 99.2, 97.6),
    "wide_resnet50": (50, 99.6, 98.1),
}
BACKBONES = ("efficientnet_lite0", *PUBLISHED)


@dataclass(frozen=True, kw_only=True)
class Boards:
    """What is learned and judged."""

    taught: Tensor  # (N, 3, SIDE, SIDE) bytes
    judged: list[tuple[Tensor, np.ndarray | None]]  # image in bytes and mask of its defect


@dataclass(frozen=True, kw_only=True)
class Found:
    """One detector's figures on the judged boards, in [0, 1], and the seconds of its fit."""

    image_auroc: float
    pixel_auroc: float
    pro: float
    seconds: float


def run() -> list[Figure]:
    """Print both tables and return their figures."""
    boards = draw()
    missing, found = {}, {}
    for name in BACKBONES:
        try:
            load_backbone(name)
        except ZeromissError as error:
            missing[name] = str(error)
            continue
        params = SimplenetParams(backbone=name, epochs=1, least_steps=STEPS)
        found[name] = [study(boards, params, seed) for seed in tqdm(SEEDS, desc=name, unit="seed")]
    few = [study(few_of(boards, seed), SimplenetParams(epochs=1, least_steps=STEPS), seed) for seed in tqdm(SEEDS, desc="few", unit="seed")]
    print(backbone_table(found, missing), few_table(found[BACKBONES[0]], few), sep="\n\n")
    return [*_backbone_figures(found, missing), *_few_figures(found[BACKBONES[0]], few)]


def draw() -> Boards:
    """Draw the boards; the same every time."""
    kinds = [None] * (TAUGHT + NORMALS) + [kind for kind in DEFECTS for _ in range(EACH)]
    drawn = [draw_board(seed=number, side=SIDE, defect=kind) for number, kind in enumerate(tqdm(kinds, desc="drawing boards", unit="board"))]
    images = [torch.from_numpy(board.image_HWC).movedim(-1, 0).contiguous() for board in drawn]
    masks = [board.mask_HW if kind else None for board, kind in zip(drawn, kinds, strict=True)]
    return Boards(taught=torch.stack(images[:TAUGHT]), judged=list(zip(images[TAUGHT:], masks[TAUGHT:], strict=True)))


def few_of(boards: Boards, seed: int) -> Boards:
    """Return the same with a few of the boards that teach, drawn by the seed."""
    picked = np.random.default_rng(seed).choice(TAUGHT, FEW, replace=False)
    return Boards(taught=boards.taught[picked.tolist()], judged=boards.judged)


def study(boards: Boards, params: SimplenetParams, seed: int) -> Found:
    """Fit and judge."""
    started = time.perf_counter()
    detector = train(params, boards.taught, size=SIDE, seed=seed).detector
    return judge(detector, boards, seconds=time.perf_counter() - started)


def judge(detector: Simplenet, boards: Boards, *, seconds: float) -> Found:
    """Rank the judged boards and their pixels."""
    found = [(detector.detect(floats(image_CHW)[None]), mask_HW) for image_CHW, mask_HW in tqdm(boards.judged, desc="judging", leave=False)]
    usual = statistics.median(float(detection.map_BHW.median()) for detection, mask_HW in found if mask_HW is None)
    pixels = PixelRanking(scale=usual)
    for detection, mask_HW in found:
        pixels.add(detection.map_BHW[0].numpy(), mask_HW)
    labels_N = np.array([mask_HW is not None for _, mask_HW in found])
    scores_N = np.array([float(detection.score_B) for detection, _ in found])
    return Found(image_auroc=image_auroc(labels_N, scores_N), pixel_auroc=pixels.auroc(), pro=pixels.pro(), seconds=seconds)


def backbone_table(found: dict[str, list[Found]], missing: dict[str, str]) -> str:
    """Return table 1 of paper 5 with our figures and the published ones beside them, as Markdown."""
    lines = ["| backbone | I-AUROC % | P-AUROC % | PRO % | layers | parameters, M | published I-AUROC % | P-AUROC % |", "|---" * 8 + "|"]
    for name in BACKBONES:
        layers, *published = PUBLISHED.get(name, (_layers(), "", ""))
        ours = [f"{100 * value:.1f}" for value in _means(found[name])[:3]] if name in found else [f"missing: {missing[name]}", "", ""]
        lines.append("| " + " | ".join([name, *ours, str(layers), f"{_parameters(name) / 1e6:.1f}", *map(str, published)]) + " |")
    return "\n".join(lines)


def few_table(all_of_them: list[Found], few: list[Found]) -> str:
    """Return what figure 10 of paper 5 shows, as Markdown."""
    lines = ["| good boards that teach | I-AUROC % | P-AUROC % | PRO % |", "|---" * 4 + "|"]
    for count, found in ((FEW, few), (TAUGHT, all_of_them)):
        lines.append(f"| {count} | " + " | ".join(f"{100 * value:.1f}" for value in _means(found)[:3]) + " |")
    return "\n".join(lines)


def _backbone_figures(found: dict[str, list[Found]], missing: dict[str, str]) -> list[Figure]:
    figures = []
    for name, runs in found.items():
        note = (
            f"{TAUGHT} good boards teach, {NORMALS} good and {EACH * len(DEFECTS)} defective ones are judged, {SIDE} px, {STEPS} steps, "
            f"{len(SEEDS)} seeds; {_parameters(name) / 1e6:.1f} million parameters in the whole classifier; {_means(runs)[3]:.0f} s a fit"
        )
        figures += _rows(f"SimpleNet on {name}", runs, note)
    reasons = "; ".join(missing.values())
    figures.append(
        Figure(
            what="backbones of paper 5's table 1 that were measured",
            against=f"{len(PUBLISHED)}: {', '.join(PUBLISHED)}",
            value=float(len(PUBLISHED) - len(missing)),
            note=f"missing: {reasons}" if missing else "",
        )
    )
    return figures


def _few_figures(all_of_them: list[Found], few: list[Found]) -> list[Figure]:
    note = f"on {BACKBONES[0]}, as many steps; {_means(few)[3]:.0f} s a fit; two boards drawn anew for each of {len(SEEDS)} seeds"
    figures = _rows(f"SimpleNet taught by {FEW} good boards", few, note)
    values = [f"{value:.3f}" for value in _means(all_of_them)[:3]]
    return [Figure(**(figure.__dict__ | {"against": f"{value} by {TAUGHT}"})) for figure, value in zip(figures, values, strict=True)]


def _rows(what: str, runs: list[Found], note: str) -> list[Figure]:
    """Return three figures of one detector, with the range over seeds."""
    columns = {"image AUROC": [run.image_auroc for run in runs], "pixel AUROC": [run.pixel_auroc for run in runs], "PRO to FPR 0.3": [run.pro for run in runs]}
    return [
        Figure(what=f"{what}: {name}", value=statistics.mean(values), spread=(min(values), max(values)), note=note if name == "image AUROC" else "")
        for name, values in columns.items()
    ]


def _means(runs: Sequence[Found]) -> list[float]:
    """Return the means of image AUROC, pixel AUROC, PRO and seconds."""
    return [statistics.mean(getattr(run, key) for run in runs) for key in ("image_auroc", "pixel_auroc", "pro", "seconds")]


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
