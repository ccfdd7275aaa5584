"""How costs grow with images, pixels and products; how good the plan is; how many cores a line needs.

    python -m benchmarks.scaling --page    only write docs/scaling.md anew from benchmarks/results/scaling.json

Everything is measured with the product's own stages on drawn images and small networks that nobody has trained: a cost
depends on sizes, not on weights. About five minutes on two cores.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from benchmarks.growth.chain import Costs, products_seconds, run_chain, run_intake, service_seconds, step_seconds
from benchmarks.growth.fit import Line, fit_line
from benchmarks.growth.line import p99, workers_needed
from benchmarks.growth.page import write_page
from benchmarks.growth.real_step import NETWORKS
from benchmarks.measure import FOLDER, RESULTS, Figure
from zeromiss.detector_params import VqganParams
from zeromiss.params import read_params
from zeromiss.planning.devices import CARDS, GIB, seconds
from zeromiss.planning.paper_step import paper_step

IMAGES, INTAKE = (60, 120, 240), (300, 600, 1200)
PRODUCTS = (1, 2, 4)
PIXELS = (64, 128, 256)
SERVICE_SIZE, SERVICE_IMAGES = 256, 30
RATES = {"one factory": 10.0, "one hundred factories": 1000.0}


def run() -> list[Figure]:
    """Measure everything and write docs/scaling.md."""
    started, figures = time.perf_counter(), []
    for part in tqdm((chain_figures, product_figures, pixel_figures, plan_figures, paper_figures, line_figures), desc="scaling"):
        figures += list(part())
        print(f"{part.__name__}: {time.perf_counter() - started:.0f} s so far", flush=True)
    write_page([asdict(figure) for figure in figures])
    return figures


def chain_figures() -> Iterator[Figure]:
    """Yield each step's cost against the number of images, and the bytes of what is kept."""
    run_chain(48, Costs())  # imports, compiled code, worker processes
    costs, kept = Costs(), {}
    for images in INTAKE:
        run_intake(images, costs)
    for images in IMAGES:
        kept = run_chain(images, costs)
    for step, points in costs.points.items():
        sizes, taken = zip(*points, strict=True)
        yield from line_figures_of(step, "image", fit_line(sizes, taken), sizes, taken)
    for what, size in kept.items():
        yield Figure(what=f"stored: {what}", value=size, unit="B", note=f"Parquet as written by a product of {IMAGES[-1]} images")
    yield Figure(what="stored: photo", value=mean_photo_bytes(), unit="B", note="mean of the solar cells' files, 300 x 300 grey PNG")


def line_figures_of(step: str, unit: str, line: Line, sizes: Sequence[float], taken: Sequence[float]) -> Iterator[Figure]:
    """Yield slope, fixed part, R2 and exponent of a step."""
    points = ", ".join(f"{size:g}: {cost:.3g} s" for size, cost in zip(sizes, taken, strict=True))
    yield Figure(what=f"{step}: each {unit}", value=line.each, unit="s", note=f"least squares over {points}")
    yield Figure(what=f"{step}: fixed", value=line.fixed, unit="s")
    yield Figure(what=f"{step}: R2 of the line", value=line.r2)
    yield Figure(what=f"{step}: exponent", value=line.exponent, note="of cost ~ size ** exponent; below 1 where the fixed part weighs")


def mean_photo_bytes() -> float:
    """Return the mean size of the solar cells' files."""
    import elpv_dataset

    files = [path.stat().st_size for path in Path(elpv_dataset.__file__).parent.rglob("*.png")]
    return statistics.mean(files)


def product_figures() -> Iterator[Figure]:
    """Yield the cost of ingest and manifest against the number of products."""
    numbers, taken = zip(*products_seconds(PRODUCTS, IMAGES[0]), strict=True)
    yield from line_figures_of("products", "product", fit_line(numbers, taken), numbers, taken)


def pixel_figures() -> Iterator[Figure]:
    """Yield training and inspection against pixels, in megapixels a batch and an image."""
    params = VqganParams(crop=None)
    batch = [params.batch * side**2 / 1e6 for side in PIXELS]
    taken = [step_seconds(params, side, rounds=4) for side in PIXELS]
    yield from line_figures_of("training step", "megapixel", fit_line(batch, taken), batch, taken)
    image = [side**2 / 1e6 for side in PIXELS]
    judged = [statistics.median(service_seconds(side, 8)) for side in PIXELS]
    yield from line_figures_of("inspection on one core", "megapixel", fit_line(image, judged), image, judged)


def plan_figures() -> Iterator[Figure]:
    """Yield how far `zeromiss plan` is off, memory and time, each network in a process of its own."""
    for name in NETWORKS:
        command = [sys.executable, "-m", "benchmarks.growth.real_step", name]
        done = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        memory, taken = found["memory"] / found["grown"], found["planned"] / found["real"]
        yield Figure(
            what=f"plan: memory planned / real, {name}", target="0.75 to 1.25", value=memory, unit="x",
            met=0.75 <= memory <= 1.25,
            note=f"planned {found['memory'] / GIB:.3f} GiB, the process grew by {found['grown'] / GIB:.3f} GiB, of which libraries keep some",
        )  # fmt: skip
        yield Figure(
            what=f"plan: step planned / real, {name}", target="0.5 to 2", value=taken, unit="x", met=0.5 <= taken <= 2,
            note=f"planned {found['planned']:.3g} s, least of four {found['real']:.3g} s, {found['flops'] / 1e9:.3g} GFLOP",
        )  # fmt: skip


def paper_figures() -> Iterator[Figure]:
    """Yield the paper profile on paper: memory with and without checkpointing, hours of a training."""
    profile = read_params(FOLDER.parent / "params.yaml")["profiles"]["paper"]
    params = VqganParams(**profile["vqgan"])
    for on in (False, True):
        step = paper_step(params.model_copy(update={"gradient_checkpointing": on}), profile["size"], gpu=True, phases=False)
        name = f"checkpointing {'on' if on else 'off'}"
        fits = step.memory.peak + CARDS["a6000"].reserve <= CARDS["a6000"].memory
        yield Figure(
            what=f"paper profile: memory of a step, {name}", target="48 GB" if on else "", value=step.memory.peak / GIB, unit="GiB",
            met=fits if on else None,
            note=f"on paper, {profile['size']} px, batch {params.batch}; {step.phases[-1].flops / 1e12:.3g} TFLOP a step",
        )  # fmt: skip
        for card in ("a6000", "h100"):
            hours = params.steps * seconds(step.phases[-1].work, CARDS[card]) / 3600
            yield Figure(what=f"paper profile: hours on one {card}, {name}", value=hours, unit="h", note=CARDS[card].source)


def line_figures() -> Iterator[Figure]:
    """Yield how many cores keep 99 of 100 verdicts within a second, by simulation."""
    services = service_seconds(SERVICE_SIZE, SERVICE_IMAGES)
    yield Figure(
        what="inspection on one core: mean", value=statistics.mean(services), unit="s", spread=(min(services), max(services)),
        note=f"quick profile, {SERVICE_SIZE} px, verdict without overlay, CPU time of {SERVICE_IMAGES} images",
    )  # fmt: skip
    for name, rate in RATES.items():
        workers = workers_needed(services, rate=rate)
        found = [p99(services, rate=rate, workers=workers, seed=seed) for seed in range(5)]
        note = f"Poisson arrivals of {rate:g} images a second, first come first served; five seeds"
        yield Figure(what=f"line: cores for {name}", value=workers, note=note)
        yield Figure(
            what=f"line: p99 latency of {name}", target="< 1 s", value=statistics.median(found), unit="s",
            spread=(min(found), max(found)), met=max(found) < 1, note=note,
        )  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:] != ["--page"]:
        raise SystemExit("python -m benchmarks.scaling --page, or python -m benchmarks.run scaling")
    write_page(json.loads((RESULTS / "scaling.json").read_text(encoding="utf-8"))["figures"])
