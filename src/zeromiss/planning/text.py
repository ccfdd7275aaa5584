"""A plan as the terminal shows it, in at most 100 columns."""

from zeromiss.detectors.vqgan.vqgan import Vqgan
from zeromiss.lines import wrap
from zeromiss.planning.devices import GIB
from zeromiss.planning.paper_step import Memory, planned_precision
from zeromiss.planning.plan import Plan, Training

_PARTS = ("weights", "gradients", "optimiser", "activations", "peak")


def render(plan: Plan) -> str:
    """Return the text of a plan."""
    return "\n\n".join([_heading(plan), _networks(plan.training), _memory(plan), _work(plan), _rest(plan)]) + "\n"


def _heading(plan: Plan) -> str:
    params, device = plan.product.vqgan, plan.device
    text = (
        f"{plan.product.name} on paper: profile {plan.product.profile}, {plan.training.size} px, batch {params.batch}, "
        f"{planned_precision(params)}, {params.steps:,} steps on {_number(params.devices)} {device.name} with {device.memory / GIB:.1f} GiB."
    )
    others = [name for name in plan.product.detectors if name != Vqgan.name]
    if others:
        text += f" Only the VQGAN is planned; zeromiss detectors says what {', '.join(others)} take."
    rates = f"{device.bf16 / 1e12:.3g} TFLOP/s in bf16, {device.fp32 / 1e12:.3g} in fp32, {device.bandwidth / 1e9:.3g} GB/s"
    return wrap(text, hanging=4) + "\n" + wrap(f"{device.name}: {rates}; {device.source}.", hanging=4)


def _number(devices: int) -> str:
    return "one" if devices == 1 else f"each of {devices}"


def _networks(training: Training) -> str:
    rows = [f"  {name:<24}{count:>14,}" for name, count in training.parameters.items()]
    return "\n".join(["Parameters", *rows])


def _memory(plan: Plan) -> str:
    """Return both memories side by side, and what to do where the first does not fit."""
    training, chosen = plan.training, plan.product.vqgan.gradient_checkpointing
    columns = [(on, training.memory[on]) for on in (False, True)]
    heads = "".join(f"{_title(on, chosen):>24}" for on, _ in columns)
    lines = [f"{'Memory of a step, GiB':<26}{heads}", f"{'  gradient checkpointing':<26}{'off':>24}{'on':>24}"]
    lines += [f"  {part:<24}" + "".join(f"{_gib(memory, part):>24}" for _, memory in columns) for part in _PARTS]
    lines.append(f"  {'fits':<24}" + "".join(f"{'yes' if training.fits[on] else 'NO':>24}" for on, _ in columns))
    return "\n".join([*lines, *(wrap(f"! {line}", hanging=4) for line in training.advice)])


def _title(on: bool, chosen: bool) -> str:
    return "as set" if on == chosen else "otherwise"


def _gib(memory: Memory, part: str) -> str:
    return f"{getattr(memory, part) / GIB:.2f}"


def _work(plan: Plan) -> str:
    training = plan.training
    lines = [
        f"  from step {part.first:<8,}{part.steps:>9,} steps{part.flops / 1e12:>10.3g} TFLOP a step{part.seconds:>10.3g} s a step"
        for part in training.stretches
    ]
    total = f"  {_span(60 * training.hours)} in all, {100 * training.reached:.0f} % of the device's peak rate"
    return "\n".join(["Training", *lines, total])


def _rest(plan: Plan) -> str:
    counts, extraction, fits = plan.counts, plan.extraction, plan.fits
    if counts is None or extraction is None or fits is None:
        name = plan.product.name
        return wrap(f"How many images there are is not known yet: zeromiss ingest {name}, then plan the rest of the pipeline.", hanging=4)
    lines = (
        f"images ({counts.source}): {counts.train} train, {counts.mask} for the mask, "
        f"{counts.normals} normals and {counts.defects} defects are measured",
        f"extraction: {extraction.images} images, {extraction.seconds_per_image:.2f} s each on a core, {_span(extraction.minutes)}",
        f"table: {extraction.rows} rows, {extraction.columns} columns, {extraction.table_bytes / 1e6:.2f} MB",
        f"selection: {fits.draws:,} candidates, at most {fits.fits:,} fits and {_span(fits.minutes)}",
    )
    return "\n".join(["After the training, on this machine", *(wrap(f"  {line}", hanging=4) for line in lines)])


def _span(minutes: float) -> str:
    """Return a time in the unit that suits it."""
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    if minutes < 120:
        return f"{minutes:.0f} minutes"
    return f"{minutes / 60:.1f} hours" if minutes < 72 * 60 else f"{minutes / 1440:.1f} days"
