"""One image file to its verdict, against anomalib's PaDiM with the same EfficientNet-Lite0 on the same files.

Ours: `Inspector.inspect` for single images, `Inspector.examine_many` for batches, without overlays. Theirs: the
fast way round the trainer, `read_image` and the model's own pre-processing, network and post-processing in inference
mode; a batch is read by as many threads as there are cores and judged in one call. Both may use every core.
"""

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import Figure, Paired, paired, speedup
from benchmarks.parts import draw_images, make_bundle, measurer_of, quick_product
from zeromiss.backbones.base import read_weights
from zeromiss.backbones.efficientnet_lite0 import load_classifier, package_file
from zeromiss.inspection.inspector import Inspector
from zeromiss.params import Product

SIZE, SIDE, BATCH = 256, 300, 16
FITTED = 24  # images PaDiM is fitted on: its speed does not depend on them
LAYERS = ["blocks.1", "blocks.2", "blocks.4"]  # strides 4, 8, 16: where the default backbone's three default layers lie
DIMENSIONS = 100  # PaDiM's own default for a small backbone
ROUNDS_SINGLE, ROUNDS_BATCH = 40, 8


def run() -> list[Figure]:
    """Return theirs / ours for single images and for batches of 16, and the share of each part of ours."""
    with tempfile.TemporaryDirectory() as scratch:
        images = draw_images(Path(scratch) / "images", 64, side=SIDE)
        product = quick_product(SIZE)
        inspector = Inspector.load(make_bundle(Path(scratch), product, images))
        padim = build_padim(images[:FITTED])
        single = time_single(inspector, padim, images[FITTED:])
        batch = time_batch(inspector, padim, images[FITTED:])
    note = f"{os.cpu_count()} cores each; norms {product.metrics.norms}; files of {SIDE} x {SIDE} pixels, decoded by both; untrained network"
    against = "anomalib PaDiM, EfficientNet-Lite0"
    return [
        speedup(single, what=f"one image, {SIZE} px, file to verdict", against=against, least=1, note=note),
        speedup(batch, what=f"{BATCH} images, {SIZE} px, files to verdicts", against=f"{against}, one batch", least=1, note=note),
        multiplications(product),
    ]


def build_padim(normals: list[Path]) -> torch.nn.Module:
    """Return a fitted PaDiM in evaluation mode, with the weights of the product's backbone."""
    from anomalib.models import Padim

    model = Padim(backbone="tf_efficientnet_lite0", layers=list(LAYERS), pre_trained=False, n_features=DIMENSIONS)
    extractor = model.model.feature_extractor.feature_extractor
    weights = load_classifier(read_weights(package_file()), origin="the package").state_dict()
    extractor.load_state_dict({name: weights[name] for name in extractor.state_dict()}, strict=True)
    model.model.train()
    with torch.no_grad():
        for path in normals:
            model.model(model.pre_processor(_read(path)[None]))
    model.model.fit()
    return model.eval()


def time_single(inspector: Inspector, padim: torch.nn.Module, images: list[Path]) -> Paired:
    """Time one image a round, another one each round."""
    ours, theirs = cycle(images), cycle(images)

    @torch.inference_mode()
    def judge() -> float:
        return float(padim(_read(next(theirs))[None]).pred_score)

    return paired(lambda: inspector.inspect(next(ours)), judge, rounds=ROUNDS_SINGLE, warmup=3)


def time_batch(inspector: Inspector, padim: torch.nn.Module, images: list[Path]) -> Paired:
    """Time a batch a round."""
    some = images[:BATCH]
    readers = ThreadPoolExecutor(max_workers=os.cpu_count())

    @torch.inference_mode()
    def judge() -> np.ndarray:
        return padim(torch.stack(list(readers.map(_read, some)))).pred_score.numpy()

    return paired(lambda: list(inspector.examine_many(some)), judge, rounds=ROUNDS_BATCH)


def multiplications(product: Product) -> Figure:
    """Return the multiplications of both networks for one image: with fp32 arithmetic, what bounds ours from below."""
    measurer = measurer_of(product)
    image_BCHW = torch.rand(1, 3, SIZE, SIZE)
    counts = {}
    calls = {"VQGAN and critic": measurer.detector.reconstruct, "backbone, both images": lambda given: [measurer.backbone(given) for _ in range(2)]}
    for name, call in calls.items():
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            call(image_BCHW)
        counts[name] = counter.get_total_flops() / 2e9
    note = ", ".join(f"{name} {value:.2f}" for name, value in counts.items())
    return Figure(what="multiplications of one verdict", value=sum(counts.values()), unit="thousand million", note=note)


def _read(path: Path) -> torch.Tensor:
    """Return a file as their reader gives it."""
    from anomalib.data.utils import read_image

    return read_image(path, as_tensor=True)
