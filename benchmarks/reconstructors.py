"""Whether a vision transformer or latent diffusion redraws better than the VQGAN's convolutions: docs/reconstructors.md.

All at 128 pixels, for squared error and the product's codebook, judged by the product's metrics. The transformer takes
as many steps as take the convolutions' processor time; the diffusion gets the trained convolutional VQGAN and half as much
time again. Solar cells come from their package, paper impurities from a folder of MVTec style folders (ZEROMISS_IMPURITIES).
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm, trange

from benchmarks.measure import Figure
from benchmarks.redraw.diffusion import END, WARMUP, train_diffusion
from benchmarks.redraw.vit import VitVqgan
from zeromiss.backbones.base import Backbone
from zeromiss.backbones.load import load_backbone
from zeromiss.detector_params import VqganParams
from zeromiss.detectors.batches import Batches, generator_at
from zeromiss.detectors.vqgan.evaluate import mean_psnr
from zeromiss.detectors.vqgan.generator import Generator
from zeromiss.detectors.vqgan.loss import learning_rate_factor
from zeromiss.detectors.vqgan.vqgan import Vqgan
from zeromiss.images.reader import ImageReader
from zeromiss.images.sources.elpv import list_elpv
from zeromiss.images.sources.mvtec import list_mvtec
from zeromiss.images.sources.record import Record
from zeromiss.metrics.mask import normal_variation_mask
from zeromiss.metrics.measure import Measurer
from zeromiss.metrics.ranking import PixelRanking, fpr_at_zero_missed, image_auroc
from zeromiss.metrics.table import read_tensor
from zeromiss.stage_params import MetricsParams

SIDE = 128
TAUGHT, UNSEEN, JUDGED = 250, 30, 100  # normals that teach, that choose the noise and make the mask, that are judged beside as many defects
SEEDS = (0, 1)
CONV = {"crop": 64, "batch": 4, "steps": 2000}
VIT = {"crop": None, "batch": 2, "steps": 1100}  # as long as CONV
VIT_SHAPE = {"width": 128, "depth": 3, "heads": 4}
DIFFUSION = {"steps": 600, "batch": 16, "width": 48, "rate": 1e-3, "redraws": 5}  # half as long
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
DEARER = 1.0  # dB of PSNR that noise may cost on unseen normals
METRICS = MetricsParams(norms="folded")
NAMES = ("convolutions", "transformer", "diffusion")
RATE, CODES_FROM = 1e-3, 0.2  # learning rate; part of the steps before anything is quantised
DRAWS = 2000  # of the bootstrap
TIMED = 20


@dataclass(frozen=True, kw_only=True)
class Material:
    """What is learned and judged, all at SIDE pixels in [0, 1]."""

    name: str
    taught: list[Tensor]
    unseen: list[Tensor]  # normals
    judged: list[Tensor]
    defects: np.ndarray  # bool, of those judged
    masks: list[np.ndarray | None] | None  # of the defects; None where the material has no masks
    fixed: bool  # positions: the normal-variation mask is on


@dataclass(frozen=True, kw_only=True)
class Found:
    """One reconstructor of one seed."""

    native: np.ndarray  # score of each judged image
    trees: np.ndarray  # out-of-fold score of extra trees on all columns
    psnr: float  # dB, unseen normals
    pixel_auroc: float | None
    milliseconds: float  # of redrawing one image on one thread
    seconds: float  # of processor time that its training took
    note: str = ""


def run() -> list[Figure]:
    """Return the figures of both materials."""
    torch.set_num_threads(1)
    backbone, figures = load_backbone("efficientnet_lite0"), []
    for material in (solar_cells(), paper_impurities()):
        runs = [study(material, backbone, seed) for seed in SEEDS]
        figures += [figure for name in NAMES for figure in _figures(material, name, runs)]
    return figures


def solar_cells() -> Material:
    """Return cells of the package, the same every time."""
    return _material("solar cells", list_elpv(None, incoming=0, seed=0).records, fixed=True)


def paper_impurities() -> Material:
    """Return sheets of all papers, the same every time."""
    folder = Path(os.environ.get("ZEROMISS_IMPURITIES", "nowhere"))
    papers = sorted(path for path in folder.iterdir() if (path / "train").is_dir()) if folder.is_dir() else []
    if not papers:
        raise SystemExit("set ZEROMISS_IMPURITIES to a folder of the Paper ImPuritiEs Dataset's papers, each laid out as MVTec AD is")
    return _material("paper impurities", [record for paper in papers for record in list_mvtec(paper).records], fixed=False)


def _material(name: str, records: list[Record], *, fixed: bool) -> Material:
    """Draw which images teach, are put aside and are judged."""
    draws, reader = np.random.default_rng(0), ImageReader(SIDE)
    of = {label: [records[i] for i in draws.permutation(len(records)) if records[i].label == label] for label in ("normal", "defect")}
    chosen = [*of["normal"][: TAUGHT + UNSEEN + JUDGED], *of["defect"][:JUDGED]]
    images = [read_tensor(record.file, reader) for record in tqdm(chosen, desc=name, unit="image")]
    judged = chosen[TAUGHT + UNSEEN :]
    masks = [reader.read_mask(record.mask, of=record.file) if record.mask else None for record in judged]
    return Material(
        name=name,
        taught=images[:TAUGHT],
        unseen=images[TAUGHT : TAUGHT + UNSEEN],
        judged=images[TAUGHT + UNSEEN :],
        defects=np.array([record.label == "defect" for record in judged]),
        masks=masks if any(record.mask for record in judged) else None,
        fixed=fixed,
    )


def study(material: Material, backbone: Backbone, seed: int) -> dict[str, Found]:
    """Train and judge the three reconstructors."""
    params, taught = VqganParams(), torch.stack([(image_CHW * 255).round().byte() for image_CHW in material.taught])
    clock = [time.process_time()]
    conv = learn(Vqgan(params, seed=seed), taught, **CONV, seed=seed)
    clock.append(time.process_time())
    vit = learn(VitVqgan(params, seed=seed, **VIT_SHAPE), taught, **VIT, seed=seed)
    clock.append(time.process_time())
    diffusion = train_diffusion(conv, [image_CHW[None] for image_CHW in material.taught], seed=seed, **DIFFUSION)
    conv_seconds, vit_seconds, extra = np.diff([*clock, time.process_time()]).tolist()
    level = choose_level(diffusion, material.unseen, mean_psnr(conv, material.unseen))
    found = {
        "convolutions": judge(conv, material, backbone, conv_seconds, ""),
        "transformer": judge(vit, material, backbone, vit_seconds, ""),
        "diffusion": judge(diffusion, material, backbone, conv_seconds + extra, f"noise {level:g}"),
    }
    for name, one in found.items():
        print(material.name, seed, name, {what: score(material, one) for what, score in SCORES.items()}, one.note, flush=True)
    return found


def learn(vqgan: Vqgan, taught: Tensor, *, crop: int | None, batch: int, steps: int, seed: int) -> Vqgan:
    """Train for squared error and codebook alone: what a network can redraw in minutes."""
    batches = Batches(taught, batch=batch, crop=crop, seed=seed, steps=steps)
    vqgan.requires_grad_(True).train()
    generator = Generator(vqgan)
    optimiser = torch.optim.Adam(generator.parameters(), lr=RATE, betas=(0.9, 0.99))
    for step in trange(steps, desc=type(vqgan).__name__, unit="step"):
        draws = generator_at(seed, step, 1)
        image_BCHW = (batches[step].float() / 255).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            redrawn = generator(image_BCHW, None, draws if step >= CODES_FROM * steps else None)
        loss = 4 * functional.mse_loss(redrawn.image_hat_BCHW, image_BCHW)
        if redrawn.loss is not None:
            loss = loss + redrawn.loss
            vqgan.codebook.learn(redrawn.latent_BDhw.detach(), redrawn.codes_Bhw, draws)
        optimiser.param_groups[0]["lr"] = RATE * learning_rate_factor(step, steps, warmup=WARMUP, end=END)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return vqgan.eval()


def choose_level(diffusion: Vqgan, unseen: list[Tensor], without: float) -> float:
    """Set and return the most noise that costs unseen normals at most `DEARER` dB; the least, where every level costs more."""
    for diffusion.level in reversed(LEVELS):
        if mean_psnr(diffusion, unseen) >= without - DEARER:
            break
    return diffusion.level


def judge(vqgan: Vqgan, material: Material, backbone: Backbone, seconds: float, note: str) -> Found:
    """Measure every image as the metrics stage does."""
    plain = Measurer(detector=vqgan, backbone=backbone, params=METRICS, mask_HW=None)
    mask_HW = normal_variation_mask(plain.difference(image_CHW) for image_CHW in material.unseen) if material.fixed else None
    measurer = Measurer(detector=vqgan, backbone=backbone, params=METRICS, mask_HW=mask_HW)
    usual = float(np.mean([float(measurer.measure(image_CHW).map_HW.mean()) for image_CHW in material.unseen]))
    pixels, native, rows = PixelRanking(scale=usual), [], []
    for number, image_CHW in enumerate(tqdm(material.judged, desc="judging", unit="image")):
        one = measurer.measure(image_CHW)
        native.append(one.native_score)
        rows.append(list(one.features.values()))
        if material.masks:
            pixels.add(one.map_HW.numpy(), material.masks[number])
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    trees = ExtraTreesClassifier(400, min_samples_leaf=2, random_state=0)
    return Found(
        native=np.array(native),
        trees=cross_val_predict(trees, np.array(rows), material.defects, cv=folds, method="predict_proba")[:, 1],
        psnr=mean_psnr(vqgan, material.unseen),
        pixel_auroc=pixels.auroc() if material.masks else None,
        milliseconds=_milliseconds(vqgan, material.judged[:TIMED]),
        seconds=seconds,
        note=note,
    )


def _milliseconds(vqgan: Vqgan, images: list[Tensor]) -> float:
    """Return the median over images of the processor time of a reconstruction."""
    spent = []
    for image_CHW in images:
        start = time.process_time()
        vqgan.reconstruct(image_CHW[None])
        spent.append(1000 * (time.process_time() - start))
    return statistics.median(spent)


SCORES: dict[str, Callable[[Material, Found], float | None]] = {
    "native score, image AUROC": lambda material, found: image_auroc(material.defects, found.native),
    "native score, FPR at zero missed": lambda material, found: fpr_at_zero_missed(material.defects, found.native),
    "extra trees, image AUROC": lambda material, found: image_auroc(material.defects, found.trees),
    "extra trees, FPR at zero missed": lambda material, found: fpr_at_zero_missed(material.defects, found.trees),
    "pixel AUROC": lambda material, found: found.pixel_auroc,
    "PSNR of unseen normals, dB": lambda material, found: found.psnr,
    "a reconstruction, ms": lambda material, found: found.milliseconds,
    "training, s": lambda material, found: found.seconds,
}


def _figures(material: Material, name: str, runs: list[dict[str, Found]]) -> list[Figure]:
    """Return one reconstructor's figures, their spread over seeds, and what it gains in AUROC over the convolutions."""
    figures = []
    for what, score in SCORES.items():
        values = [score(material, run[name]) for run in runs]
        if None not in values:
            note, spread = "" if figures else _note(material, [run[name].note for run in runs]), (min(values), max(values))
            figures.append(Figure(what=f"{material.name}, {name}: {what}", value=statistics.mean(values), spread=spread, note=note))
    if name == NAMES[0]:
        return figures
    for what, key in (("native score", "native"), ("extra trees", "trees")):
        pairs = [(getattr(run[name], key), getattr(run[NAMES[0]], key)) for run in runs]
        gain = _gain(material.defects, pairs)
        low, high = np.quantile(list(_bootstrap(material.defects, pairs)), (0.025, 0.975)).tolist()
        note = f"spread: 95 % of {DRAWS:,} paired bootstraps over images"
        title = f"{material.name}, {name}: gain in image AUROC, {what}"
        target = "> 0 beyond chance"
        figures.append(Figure(what=title, against=NAMES[0], target=target, value=gain, spread=(low, high), met=low > 0, note=note))
    return figures


def _note(material: Material, notes: list[str]) -> str:
    defective = int(material.defects.sum())
    images = f"{TAUGHT} normals teach, {UNSEEN} are put aside, {len(material.defects) - defective} and {defective} defects are judged"
    return "; ".join([f"{images}, {SIDE} px, seeds {SEEDS}", *(note for note in notes if note)])


def _gain(defects: np.ndarray, pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Return by how much the first scores' AUROC exceeds the second's, mean over seeds."""
    return statistics.mean(image_auroc(defects, ours) - image_auroc(defects, theirs) for ours, theirs in pairs)


def _bootstrap(defects: np.ndarray, pairs: list[tuple[np.ndarray, np.ndarray]]) -> Iterator[float]:
    """Yield the gain on images drawn with repetition within each class, the same for all seeds."""
    rng = np.random.default_rng(0)
    for _ in range(DRAWS):
        drawn = np.concatenate([rng.choice(np.flatnonzero(defects == label), (defects == label).sum()) for label in (False, True)])
        yield _gain(defects[drawn], [(ours[drawn], theirs[drawn]) for ours, theirs in pairs])


def table(figures: list[dict[str, Any]]) -> str:
    """Return the written figures as a Markdown table: mean over seeds, in brackets the smallest and largest, or the interval of a gain."""
    rows: dict[str, dict[str, str]] = {}
    for figure in figures:
        row, what = figure["what"].split(": ", 1)
        low, high = figure["spread"]
        rows.setdefault(row, {})[what] = f"{figure['value']:.3g} ({low:.3g} to {high:.3g})"
    columns = list(dict.fromkeys(what for cells in rows.values() for what in cells))
    lines = ["| " + " | ".join(["", *columns]) + " |", "|---" * (1 + len(columns)) + "|"]
    lines += ["| " + " | ".join([row, *(cells.get(what, "") for what in columns)]) + " |" for row, cells in rows.items()]
    return "\n".join(lines) + "\n"
