"""One image file to its verdict by an exported folder, against the same model with torch, on the same files.

Run by onnxruntime and by OpenVINO, both in fp32. `Inspector.inspect` and `EdgeInspector.inspect` may use every core; decoding, keypoints,
patch distances and the classifier are the same code in both, so the networks alone gain more than the whole. The network is
untrained: how long it takes does not depend on its weights.
"""

import os
import tempfile
from itertools import cycle
from pathlib import Path

import numpy as np

from benchmarks.measure import Figure, paired, speedup
from benchmarks.parts import draw_images, make_bundle, quick_product
from zeromiss.edge.engines import ENGINES, open_graph
from zeromiss.edge.folder import write_folder
from zeromiss.edge.layout import GRAPH, IMAGE
from zeromiss.edge.runtime import EdgeInspector
from zeromiss.inspection.inspector import Inspector
from zeromiss.inspection.verdict import ModelName

SIZE, SIDE, ROUNDS = 256, 300, 20


def run() -> list[Figure]:
    """Return torch / engine from file to verdict for both engines, and onnxruntime / OpenVINO for the networks alone."""
    with tempfile.TemporaryDirectory() as scratch:
        images = draw_images(Path(scratch) / "images", 48, side=SIDE)
        bundle = make_bundle(Path(scratch), quick_product(SIZE, precision="fp32"), images)
        inspector, note = Inspector.load(bundle), f"{len(os.sched_getaffinity(0))} cores each; {SIZE} px, untrained network, fp32"
        folders = {engine: Path(scratch) / engine for engine in ENGINES}
        for engine, folder in folders.items():
            folder.mkdir()
            write_folder(folder, bundle, model=ModelName(name="bench", version="1"), engine=engine)
        return [*(whole(inspector, folder, images, engine, note) for engine, folder in folders.items()), networks(folders, note)]


def whole(inspector: Inspector, folder: Path, images: list[Path], engine: str, note: str) -> Figure:
    """Return how many times as fast as torch an engine comes from a file to its verdict."""
    edge, ours, theirs = EdgeInspector(folder), cycle(images), cycle(images)
    times = paired(lambda: edge.inspect(next(ours)), lambda: inspector.inspect(next(theirs)), rounds=ROUNDS, warmup=3)
    return speedup(times, what=f"one image, file to verdict, by {engine}", against="the same model with torch", least=1, note=note)


def networks(folders: dict[str, Path], note: str) -> Figure:
    """Return how many times as fast as onnxruntime OpenVINO runs the graph of VQGAN, critic and backbone."""
    image_BCHW = np.random.default_rng(0).random((1, 3, SIZE, SIZE), dtype=np.float32)
    runs = [open_graph(folders[engine] / "vqgan" / GRAPH, engine=engine, threads=0) for engine in ("openvino", "onnxruntime")]
    ours, theirs = (lambda run=run: run(**{IMAGE: image_BCHW}) for run in runs)
    times = paired(ours, theirs, rounds=ROUNDS, warmup=3)
    return speedup(times, what="the networks of one image, by OpenVINO", against="onnxruntime", least=1, note=note)
