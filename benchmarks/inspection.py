"""One image file to its verdict, against anomalib's PaDiM with the same EfficientNet-Lite0 on the same files.

Ours: `Inspector.inspect` for single images, `Inspector.examine_many` for batches, without overlays. Theirs: the
fast way round the trainer, `read_image` and the model's own pre-processing, network and post-processing in inference
mode; a batch is read by as many threads as there are cores and judged in one call. Both may use every core. Theirs
has a process of its own: ours tells the C library to keep freed memory, which would speed it up too.
"""

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle
from multiprocessing.connection import Connection
from pathlib import Path

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
        with peer(images[:FITTED]) as padim:
            single = time_single(inspector, padim, images[FITTED:])
            batch = time_batch(inspector, padim, images[FITTED:])
    note = f"{os.cpu_count()} cores each; norms {product.metrics.norms}, decoder in {product.metrics.precision}; files of {SIDE} x {SIDE} pixels, decoded by both; untrained network"
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


@contextmanager
def peer(normals: list[Path]) -> Iterator[Callable[[list[Path]], list[float]]]:
    """Yield a function that has PaDiM judge files in a process of its own and waits for the scores."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, normals), daemon=True)
    process.start()
    theirs.close()

    def judge(paths: list[Path]) -> list[float]:
        """Return the scores of one call."""
        ours.send(paths)
        return ours.recv()

    yield judge
    ours.close()
    process.join()


def _serve(pipe: Connection, normals: list[Path]) -> None:
    """Judge what comes through the pipe until it is closed."""
    padim, readers = build_padim(normals), ThreadPoolExecutor(max_workers=os.cpu_count())
    while True:
        try:
            paths = pipe.recv()
        except EOFError:
            return
        images = [_read(paths[0])] if len(paths) == 1 else list(readers.map(_read, paths))
        with torch.inference_mode():
            scores = padim(torch.stack(images)).pred_score
        pipe.send(scores.flatten().tolist())


def time_single(inspector: Inspector, padim: Callable[[list[Path]], list[float]], images: list[Path]) -> Paired:
    """Time one image a round, another one each round."""
    ours, theirs = cycle(images), cycle(images)
    return paired(lambda: inspector.inspect(next(ours)), lambda: padim([next(theirs)]), rounds=ROUNDS_SINGLE, warmup=3)


def time_batch(inspector: Inspector, padim: Callable[[list[Path]], list[float]], images: list[Path]) -> Paired:
    """Time a batch a round."""
    some = images[:BATCH]
    return paired(lambda: list(inspector.examine_many(some)), lambda: padim(some), rounds=ROUNDS_BATCH)


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
