"""docs/scaling.md, written from the figures of benchmarks/results/scaling.json and nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zeromiss.detector_params import VqganParams

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scaling.md"
LINES, SECONDS_A_DAY, DAYS = 10, 86_400, 365  # of a factory: lines of one image a second, day and night
LABELLED = 1_000  # images of a product's table
STEPS, SIDE, BATCH = VqganParams().steps, VqganParams().crop, VqganParams().batch  # the quick profile's training
TRAININGS = 12  # of each product a year
_CHAIN = {
    "ingest": "ingest (hashed and copied, without DVC's copy)",
    "manifest": "manifest (decoded, checked, split)",
    "extraction": "extraction of the metric table",
    "selection": "selection, two draws a family, leave-one-out",
    "report": "report",
    "inspection": "inspection",
}
_GROWTH = {
    "products": ("product", "ingest and manifest of more products"),
    "training step": ("megapixel", "training step, quick profile's network, a batch's pixels"),
    "inspection on one core": ("megapixel", "inspection of an image, core seconds"),
}


def write_page(figures: Sequence[dict[str, Any]]) -> None:
    """Write docs/scaling.md."""
    PAGE.write_text(page(figures), encoding="utf-8")


def page(figures: Sequence[dict[str, Any]]) -> str:
    """Return the page for the figures of a run."""
    values = {figure["what"]: figure["value"] for figure in figures}
    return "\n\n".join([_HEAD, _costs(values), _needs(values), _LIMITS, _plan(figures, values), _DOUBTS]) + "\n"


def _costs(values: dict[str, float]) -> str:
    rows = [_cost(step, "image", text, values) for step, text in _CHAIN.items()]
    rows += [_cost(step, unit, text, values) for step, (unit, text) in _GROWTH.items()]
    head = "| step | fixed | each | of | R² | exponent |\n|---|---|---|---|---|---|"
    return "\n".join(["## What each step costs, measured\n", _COSTS, "", head, *rows])


def _cost(step: str, unit: str, text: str, values: dict[str, float]) -> str:
    fixed, each = values[f"{step}: fixed"], values[f"{step}: each {unit}"]
    r2, exponent = values[f"{step}: R2 of the line"], values[f"{step}: exponent"]
    return f"| {text} | {_time(fixed)} | {_time(each)} | {unit} | {r2:.3f} | {exponent:.2f} |"


def _needs(values: dict[str, float]) -> str:
    names = ("one factory", "one hundred factories")
    cells = [_need(values, factories, name) for factories, name in zip((1, 100), names, strict=True)]
    rows = [f"| {what} | {cells[0][what]} | {cells[1][what]} |" for what in cells[0]]
    head = f"| | {names[0]} | {names[1]} |\n|---|---|---|"
    return "\n".join(["## What factories need\n", _ASSUMED, "", head, *rows])


def _need(values: dict[str, float], factories: int, name: str) -> dict[str, str]:
    """Return the needs of so many factories, by what."""
    rate = factories * LINES
    images, service = rate * SECONDS_A_DAY, values["inspection on one core: mean"]
    cores, products = int(values[f"line: cores for {name}"]), factories * LINES
    quick = training_hours(values)
    cards = [(card, values[f"paper profile: hours on one {card}, checkpointing off"]) for card in ("a6000", "h100")]
    return {
        "images a second, a day": f"{rate:,}, {images:,}",
        "cores busy with inspection, quick profile": f"{rate * service:,.1f}",
        "cores that keep 99 of 100 verdicts under 1 s (simulated)": f"{cores:,}",
        "99th percentile then": f"{values[f'line: p99 latency of {name}']:.2f} s",
        "photos a day, a year": _pair(images * values["stored: photo"]),
        "verdict rows a day, a year (Parquet, 250 patches each)": _pair(images * values["stored: verdict row"]),
        f"metric tables, {LABELLED:,} labelled images a product": _bytes(products * LABELLED * values["stored: table row"]),
        "trainings a year": f"{TRAININGS * products:,}",
        "machine hours a year to train them, quick profile, two cores": f"{TRAININGS * products * quick:,.0f}",
        **{
            f"GPU hours a year, paper profile, {card} (on paper)": f"{TRAININGS * products * hours:,.0f} ({TRAININGS * products * hours / 8760:.1f} cards)"
            for card, hours in cards
        },
    }


def training_hours(values: dict[str, float]) -> float:
    """Return the hours of a training in the quick profile, from the line through its steps."""
    step = values["training step: fixed"] + values["training step: each megapixel"] * BATCH * SIDE**2 / 1e6
    return STEPS * step / 3600


def _plan(figures: Sequence[dict[str, Any]], values: dict[str, float]) -> str:
    planned = [figure for figure in figures if figure["what"].startswith("plan:")]
    rows = [f"| {figure['what']} | {figure['value']:.2f} | {figure['note']} |" for figure in planned]
    off, on = (values[f"paper profile: memory of a step, checkpointing {state}"] for state in ("off", "on"))
    text = (
        "`zeromiss plan PRODUCT --device NAME` runs the product's own training step on tensors without values and adds up\n"
        f"bytes and operations. For the paper profile (1024 px, 128 channels, batch 1, bf16) a step needs {off:.1f} GiB, and\n"
        f"{on:.1f} GiB with `vqgan.gradient_checkpointing: true`. How far the plan is off on the machine that measured:"
    )
    return "\n".join(["## How good the plan is\n", text, "", "| planned / real | ratio | |\n|---|---|---|", *rows])


def _pair(daily: float) -> str:
    return f"{_bytes(daily)}, {_bytes(daily * DAYS)}"


def _bytes(count: float) -> str:
    """Return bytes in the decimal unit that suits them."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} PB"


def _time(taken: float) -> str:
    return f"{taken * 1000:.3g} ms" if abs(taken) < 1 else f"{taken:.3g} s"


_HEAD = """\
# Growing: what it costs, where it ends, what is configured then

Written by `benchmarks/scaling.py` from `benchmarks/results/scaling.json`; `benchmarks/RESULTS.md` names the machine. The
first table is measured, the second multiplies it out, and what is simulated or reckoned on paper is called so."""

_COSTS = """\
Least squares, no part below 0, over three sizes (60, 120 and 240 images of 128 px, for ingest and manifest five times as many; one, two and four
products; 64, 128 and 256 px), seconds of a machine with two cores unless it says core seconds. An exponent of 1 means that twice the size costs twice as much; below 1
a fixed part still weighs, above 1 the line is only good between the sizes that were measured."""

_ASSUMED = f"""\
Assumed: a factory has {LINES} lines with one camera and one product each, every line takes one image a second, day and night,
every photo and every verdict is kept; a photo is as large as a solar cell's (300 x 300, grey PNG); 256 px are judged, without
overlays; each product is trained anew every month. Arrivals are random (Poisson): lines do not wait for each other. The
simulation draws service times from those measured and serves first come, first served, from one queue for all cores."""

_LIMITS = """\
## What becomes the bottleneck, and what is configured then

| scale | the bottleneck | configured then |
|---|---|---|
| one product, one machine | training, then selection | nothing: both use all cores; `zeromiss plan` says how long before it starts |
| some products, one machine | the same, one product after the other | nothing shared between products: run them on several machines, the DVC remote hands files over (`dvc push`, `dvc pull --run-cache`) |
| one factory, tables of 10,000 images and more | leave-one-out: fits x rows, each fit longer with more rows | Dask for extraction, search and leave-one-out: `zeromiss run PRODUCT --cluster tcp://HOST:8786` or `cluster` in params.yaml; the table comes out the same, bit for bit |
| one factory, 1024 px | training, no longer a matter of cores | a GPU; more of them share a batch with `vqgan.devices`, gradients are recomputed with `vqgan.gradient_checkpointing` |
| one factory, inspection | cores | one process a core; `zeromiss inspect` takes folders, with `--cluster` on Dask's workers |
| one factory, a year | the photos' disk, long before anything else | a DVC remote on S3: `dvc remote add -d store s3://BUCKET/PATH` (DVC's setting) |
| many factories | SQLite behind MLflow and Prefect takes one writer at a time | MLflow's server with PostgreSQL, named by `MLFLOW_TRACKING_URI`; Prefect's server with PostgreSQL (`PREFECT_SERVER_DATABASE_CONNECTION_URL`), named by `PREFECT_API_URL` |
| one hundred factories | network and storage of the photos, then verdict rows | inspection stays in the factory: the bundle is all that it needs; what travels is verdicts, and the photos that a person relabels |

**Not built yet**: a service that cameras send images to (inspection reads files); one store for the verdicts of many
inspections (each writes its own Parquet file, 250 patches a row, which is most of its size); deleting photos after a
time; assigning GPUs to products (Prefect's work pools can place a stage, nothing does so by itself)."""

_DOUBTS = """\
## How far to trust this

- One machine with two shared cores measured all of it; another machine moves every figure, ratios between steps less so.
- Each line rests on three sizes. Far outside of them, measure again: `python -m benchmarks.run scaling` takes minutes.
- GPU hours are reckoned, not measured: operations and traffic of the real step, at 50 % and 80 % of the card's data sheet. A
  factor of two either way would not surprise; `torch.compile` fuses traffic away, and small images never fill a large card.
- The selection was measured with two draws a family; more draws cost in proportion, except that those that fall behind are
  dropped early.
- The simulation has no pauses, no restarts and no bursts beyond those of random arrivals. Leave a third of the cores free.
- Nothing above promises anything about missed defects: see [guarantees.md](guarantees.md)."""
