"""Drawn images and a bundle made of the product's own code, for benchmarks of inspection and extraction.

Nothing is trained: how long a network takes does not depend on its weights.
"""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from PIL import Image

from zeromiss.backbones.load import load_backbone
from zeromiss.detectors.taught import write_taught
from zeromiss.detectors.vqgan.store import save_vqgan
from zeromiss.detectors.vqgan.vqgan import Vqgan
from zeromiss.images.reader import ImageReader
from zeromiss.inspection.bundle import Contents, ThresholdRecord, fingerprint, pack
from zeromiss.metrics.mask import save_mask
from zeromiss.metrics.measure import Measurer
from zeromiss.metrics.table import read_tensor
from zeromiss.params import Product, read_params, resolve_product
from zeromiss.selection.fit import Recipe, fit_pipeline
from zeromiss.selection.store import save_classifier

TABLE = 24  # images measured for the classifier


def quick_product(size: int, **metrics: object) -> Product:
    """Return a product of the quick profile, as committed in params.yaml."""
    path = Path(__file__).resolve().parents[1] / "params.yaml"
    tree = read_params(path)
    tree["products"] = {"bench": {"profile": "quick", "size": size, "source": {"kind": "elpv"}, "metrics": metrics}}
    return resolve_product(tree, "bench", origin=path)


def draw_images(folder: Path, count: int, *, side: int, seed: int = 0) -> list[Path]:
    """Draw grey PNG images of a cell with busbars, cracks of grain and one dark spot; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        grain_HW = cv2.GaussianBlur(rng.normal(0, 1, (side, side)).astype(np.float32), (0, 0), 1.5)
        cell_HW = 150 + 4 * grain_HW / grain_HW.std() - 60 * (np.arange(side) % (side // 3) < 4)[:, None]
        cell_HW = cell_HW.astype(np.float32)
        cv2.circle(cell_HW, tuple(int(value) for value in rng.integers(side // 8, side - side // 8, 2)), side // 40, 40.0, -1)
        path = folder / f"cell_{number:05d}.png"
        Image.fromarray(np.clip(cell_HW, 0, 255).astype(np.uint8)).save(path)
        paths.append(path)
    return paths


def measurer_of(product: Product, mask_HW: object = None) -> Measurer:
    """Return a measurer with an untrained network of the product's parameters."""
    backbone = load_backbone(product.metrics.backbone)
    return Measurer(detector=Vqgan(product.vqgan).eval(), backbone=backbone, params=product.metrics, mask_HW=mask_HW)


def make_bundle(folder: Path, product: Product, images: list[Path], *, size: int | None = None) -> Path:
    """Write a bundle: an untrained network, a drawn mask, extra trees fitted on `images` with drawn labels.

    The classifier is fitted at the product's size; the bundle judges at `size`, where that is another.
    """
    mask_HW = torch.rand(product.size.shape, generator=torch.Generator().manual_seed(0))
    measurer = measurer_of(product, mask_HW)
    reader = ImageReader(product.size, reduced=product.metrics.decode == "reduced")
    rows = [measurer.measure(read_tensor(path, reader)).features for path in images[:TABLE]]
    labels_N = np.arange(len(rows)) % 2
    recipe = Recipe(correlation=product.selection.correlation, smote_neighbours=None, seed=0, draw_tails_in=product.selection.tails == "asinh")
    pipeline = fit_pipeline("et", {"n_estimators": product.selection.trees}, pd.DataFrame(rows), labels_N, recipe)
    folder.mkdir(parents=True, exist_ok=True)
    save_vqgan(folder / "vqgan", measurer.detector)
    write_taught(folder / "vqgan", normal=[], abnormal=[])
    save_mask(folder / "mask.safetensors", torch.ones(size, size) if size else mask_HW)
    save_classifier(folder / "classifier.skops", pipeline)
    contents = Contents(
        product=product.name,
        size=size or product.size,
        seed=product.seed,
        metrics=product.metrics,
        features=tuple(rows[0]),
        threshold=ThresholdRecord(value=0.5, rule="zfn", statement="a benchmark's, it guarantees nothing"),
        fingerprint=fingerprint(load_backbone(product.metrics.backbone)),
        detectors={"vqgan": folder / "vqgan"},
        classifier=folder / "classifier.skops",
        masks={"vqgan": folder / "mask.safetensors"},
    )
    pack(folder / "bundle", contents)
    return folder / "bundle"
