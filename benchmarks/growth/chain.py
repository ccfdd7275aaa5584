"""The product's own stages, timed at several sizes: nothing here does their work in another way."""

import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import torch

from benchmarks.parts import draw_images, make_bundle, quick_product
from zeromiss.backbones.load import build_backbone
from zeromiss.detectors.vqgan.trainer import Trainer
from zeromiss.detectors.vqgan.vqgan import Vqgan
from zeromiss.images.ingest import ingest
from zeromiss.inspection.batch import VERDICTS, inspect_paths
from zeromiss.inspection.inspector import Inspector
from zeromiss.detector_params import VqganParams
from zeromiss.params import Product, resolve_product
from zeromiss.planning.counts import count_images
from zeromiss.stages import bundle, manifest, metrics, report, selection, threshold, vqgan
from zeromiss.stages.base import NoLog
from zeromiss.workspace import Workspace

SIDE = 128  # pixels of the chain's images
_SECTIONS = {
    "manifest": {"train": 0.3, "mask": 8, "audit": 0.1},
    "vqgan": {"steps": 12, "codebook_start": 2, "critic_start": 4, "critic_warmup": 2, "crop": 64},
    "metrics": {},
    "selection": {"draws": 2},
    "threshold": {},
    "promotion": {},
    "inspection": {},
}


@dataclass
class Costs:
    """Seconds of each step, at the number of images that the step saw."""

    points: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def time(self, step: str, images: int, call: Callable[[], object]) -> None:
        """Time one call, its sentences unsaid."""
        start = time.perf_counter()
        with redirect_stdout(StringIO()):
            call()
        self.points.setdefault(step, []).append((images, time.perf_counter() - start))


def csv_product(name: str, folder: Path, images: int, *, seed: int = 0) -> Product:
    """Draw images, two thirds of them called normal, and return a product that reads them."""
    paths = draw_images(folder / name, images, side=SIDE, seed=seed)
    lines = [f"{path},{'normal' if number % 3 else 'defect'}" for number, path in enumerate(paths)]
    (folder / f"{name}.csv").write_text("\n".join(["path,label", *lines]) + "\n", encoding="utf-8")
    source = {"kind": "csv", "path": str(folder / f"{name}.csv")}
    tree = {"profiles": {"quick": {}}, "products": {name: {"profile": "quick", "size": SIDE, "source": source, **_SECTIONS}}}
    return resolve_product(tree, name, origin=folder)


def run_chain(images: int, costs: Costs) -> dict[str, float]:
    """Take `images` drawn images from ingest to report and inspection; return bytes of what is kept an image or row."""
    with tempfile.TemporaryDirectory(prefix="zeromiss-") as scratch:
        workspace, log = Workspace(root=Path(scratch)), NoLog()
        product = csv_product("chain", Path(scratch), images)
        ingest(product, workspace)
        manifest.run(product, workspace, log)
        counts = count_images(product, workspace)
        vqgan.run(product, workspace, log)
        costs.time("extraction", counts.rows + counts.mask, lambda: metrics.run(product, workspace, log))
        costs.time("selection", counts.rows, lambda: selection.run(product, workspace, log))
        threshold.run(product, workspace, log)
        bundle.run(product, workspace, log)
        costs.time("report", counts.rows, lambda: report.run(product, workspace, log))
        unseen, out = draw_images(Path(scratch) / "unseen", images // 2, side=SIDE, seed=1), Path(scratch) / "verdicts"
        inspector = Inspector.load(workspace.bundle("chain"))
        costs.time("inspection", len(unseen), lambda: inspect_paths(inspector, unseen, out=out, overlays=False, progress=False))
        return {
            "table row": (workspace.metrics("chain") / "table.parquet").stat().st_size / counts.rows,
            "verdict row": (out / VERDICTS).stat().st_size / len(unseen),
        }


def run_intake(images: int, costs: Costs) -> None:
    """Time ingest and manifest of `images` drawn images: they are so quick that it takes many to tell an image's cost."""
    with tempfile.TemporaryDirectory(prefix="zeromiss-") as scratch:
        workspace = Workspace(root=Path(scratch))
        product = csv_product("intake", Path(scratch), images)
        costs.time("ingest", images, lambda: ingest(product, workspace))
        costs.time("manifest", images, lambda: manifest.run(product, workspace, NoLog()))


def products_seconds(numbers: Iterable[int], images: int) -> list[tuple[int, float]]:
    """Return what ingest and manifest of so many products take, one after the other, each of `images` images."""
    found = Costs()
    for number in numbers:
        with tempfile.TemporaryDirectory(prefix="zeromiss-") as scratch:
            workspace = Workspace(root=Path(scratch))
            products = [csv_product(f"part{index}", Path(scratch), images, seed=index) for index in range(number)]

            def take_in(products: list[Product] = products, workspace: Workspace = workspace) -> None:
                """Ingest every product and draw its manifest."""
                for product in products:
                    ingest(product, workspace)
                    manifest.run(product, workspace, NoLog())

            found.time("products", number, take_in)
    return found.points["products"]


def step_seconds(params: VqganParams, side: int, rounds: int) -> float:
    """Return the least time of a training step at its full work, on images of `side` pixels."""
    vqgan_network = Vqgan(params, size=side).train()
    trainer = Trainer(vqgan_network, build_backbone(params.backbone), seed=0)
    batch_BCHW = torch.randint(0, 256, (params.batch, 3, side, side), dtype=torch.uint8)
    last, found = params.steps - 1, []
    for _ in range(rounds + 1):  # the first makes the optimisers' state
        start = time.perf_counter()
        trainer.step(batch_BCHW, last)
        found.append(time.perf_counter() - start)
    return min(found[1:])


def service_seconds(size: int, images: int) -> list[float]:
    """Return seconds on one core that each of some inspections takes, verdict without overlay, quick profile."""
    with tempfile.TemporaryDirectory(prefix="zeromiss-") as scratch:
        product = quick_product(size)
        paths = draw_images(Path(scratch) / "images", images, side=size)
        inspector = Inspector.load(make_bundle(Path(scratch) / "bundle", product, paths))
        found = []
        for path in [paths[0], *paths]:
            start = time.process_time()  # of all threads: an image shared by two cores takes as long on one
            inspector.inspect(path)
            found.append(time.process_time() - start)
        return found[1:]
