"""A comparison as the terminal shows it, in at most 100 columns; figures in per cent."""

from collections.abc import Mapping, Sequence
from typing import Any

from zeromiss.lines import wrap
from zeromiss.reports.curves_text import matched, native_systems
from zeromiss.reports.systems import COSTS, NOTES, RANKED, TITLES
from zeromiss.reports.systems_words import (
    FIGURES, HONEST, OPTIMISTIC, costs, heading, percent, protocol, ranged, signed, speed, system_title, with_std,
)  # fmt: skip
from zeromiss.reports.words import whole

_NAME, _WIDE, _SHARE = 13, 24, 18
_SHORT = {"fpr_at_zero_missed": "FPR zero m.", "average_precision": "AP", "image_auroc": "AUROC", "pixel_auroc": "pixel AUROC", "pro": "PRO"}
_IN_TABLE = ("image_auroc", "average_precision", "fpr_at_zero_missed", "std_accuracy", "zfn_accuracy")


def render(content: Mapping[str, Any]) -> str:
    """Return the text of a comparison."""
    blocks = [wrap(heading(content)), ranking_table(content), wrap(matched(native_systems(content["matched"]))), cost_table(content), "\n".join(wrap(note) for note in NOTES)]
    blocks += [honest_table(content), optimistic_table(content), differences(content)]
    blocks += ["\n".join(wrap(whole(line)) for line in speed(content))]
    if content["composites"]["left_out"]:
        blocks.append("\n".join(wrap(f"left out: {name}: {why}", hanging=4) for name, why in content["composites"]["left_out"].items()))
    return "\n\n".join(block for block in blocks if block) + "\n"


def ranking_table(content: Mapping[str, Any]) -> str:
    """Return how each detector's native score ranks images and its map pixels."""
    head = ["detector", *(_SHORT.get(key, TITLES[key].replace("accuracy", "acc.")) for key in RANKED)]
    rows = [[name, *(with_std(entry, key) for key in RANKED)] for name, entry in content["detectors"].items()]
    return table("Native scores in the table (%)", head, rows, name=_NAME, cell=12)


def cost_table(content: Mapping[str, Any]) -> str:
    """Return what each detector takes."""
    head = ["detector", *(TITLES[key] for key in COSTS), "seeds"]
    rows = [[name, *costs(entry).values(), str(entry["seeds"])] for name, entry in content["detectors"].items()]
    return table("What they take", head, rows, name=_NAME, cell=12)


def honest_table(content: Mapping[str, Any]) -> str:
    """Return every system under the honest protocol."""
    figures = ("fpr_at_zero_missed", "image_auroc", "fpr", "fnr")
    rows = [
        [system_title(name, content), *(ranged(entry["figures"][figure]) for figure in figures)]
        for name, entry in content["composites"]["systems"].items()
    ]
    made = table("Honest protocol (%)", ["system", *(FIGURES[figure] for figure in figures)], rows, name=_WIDE, cell=_SHARE + 1)
    return f"{made}\n{wrap(protocol(content))}\n{wrap(HONEST)}"


def optimistic_table(content: Mapping[str, Any]) -> str:
    """Return every system in its own table."""
    rows = []
    for name, entry in content["composites"]["systems"].items():
        found = entry["in_table"]
        cells = [found["winner"] or "-", str(entry["columns"]), f"{1000 * entry['seconds_per_image']:.0f}", *(percent(found[key]) for key in _IN_TABLE)]
        rows.append([system_title(name, content), *cells])
    head = ["system", "winner", "columns", "ms/image", "AUROC", "AP", "FPR 0", "STD", "ZFN"]
    return table("In the table, optimistic (%)", head, rows, name=_WIDE, cell=9) + "\n" + wrap(OPTIMISTIC)


def differences(content: Mapping[str, Any]) -> str:
    """Return the stacks' paired differences to each single detector."""
    blocks = []
    for stack, others in content["composites"]["differences"].items():
        rows = [
            [system_title(other, content), *(signed(found[figure]) for figure in ("fpr_at_zero_missed", "image_auroc", "fpr"))]
            for other, found in others.items()
        ]
        head = ["minus", *(FIGURES[figure] for figure in ("fpr_at_zero_missed", "image_auroc", "fpr"))]
        title = f"{whole(system_title(stack, content))[:-1]}: paired differences over the outer folds, in points"
        blocks.append(table(title, head, rows, name=_WIDE, cell=24))
    return "\n\n".join(blocks)


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], *, name: int, cell: int) -> str:
    """Return a titled table: a first column of `name` characters, the others of `cell`, to the right."""
    lines = [_line(head, name, cell), *(_line(row, name, cell) for row in rows)]
    return "\n".join([title, lines[0], "-" * len(lines[0]), *lines[1:]])


def _line(cells: Sequence[str], name: int, cell: int) -> str:
    return f"{cells[0]:<{name}}" + "".join(f"{text:>{cell}}" for text in cells[1:])
