"""An ablation as the terminal shows it, in at most 100 columns; differences in points of per cent."""

from collections.abc import Sequence
from typing import Any

from zeromiss.lines import wrap

TABLES = (
    ("Ranking the outer parts", ("fpr_at_zero_missed", "image_auroc")),
    ("At the threshold of the inner parts (zero false negatives there)", ("fpr", "fnr", "accuracy")),
)
TITLES = {
    "fpr_at_zero_missed": "FPR at zero missed",
    "image_auroc": "image AUROC",
    "fpr": "FPR",
    "fnr": "FNR",
    "accuracy": "accuracy",
}
_NAME, _CELL = 13, 27


def render(content: dict[str, Any]) -> str:
    """Return the text of an ablation's result."""
    blocks = [wrap(heading(content), hanging=4), *(_table(content, title, figures) for title, figures in TABLES)]
    blocks.append("\n".join(wrap(f"{row['variant']}: {row['change']}", hanging=4) for row in content["variants"]))
    if content["left_out"]:
        blocks.append("\n".join(wrap(f"left out: {entry['variant']}: {entry['reason']}", hanging=4) for entry in content["left_out"]))
    if content["not_asked"]:
        blocks.append(wrap(f"not asked for: {', '.join(content['not_asked'])}", hanging=4))
    blocks.append("\n".join(wrap(line, hanging=4) for line in notes(content)))
    return "\n\n".join(blocks) + "\n"


def heading(content: dict[str, Any]) -> str:
    """Return what was compared, in a sentence."""
    settings = content["settings"]
    folds = settings["outer_repeats"] * settings["outer_folds"]
    return (
        f"{content['product']}: {content['n_normals']} normals and {content['n_defects']} defects, judged in {folds} outer folds "
        f"({settings['outer_repeats']} times {settings['outer_folds']}); in each, {len(settings['families'])} families with "
        f"{settings['draws']} draws are searched in the inner part alone. Figures in per cent, differences to the full system in "
        "points, all with 95 % intervals."
    )


def notes(content: dict[str, Any]) -> list[str]:
    """Return how the table is to be read."""
    chance = (1 - content["confidence"]) * content["intervals"]
    lines = [
        "noise: the interval of the paired difference holds 0, so that these folds cannot tell the variant from the full system. "
        "That is no proof that the part contributes nothing.",
        f"Of {content['intervals']} such intervals, {chance:.1f} would leave 0 out by chance alone if nothing made a difference.",
    ]
    if any(row["trained"] for row in content["variants"]):
        lines.append(
            "Each network was trained once: intervals tell the spread of the folds, not of trainings. retrain: the difference is no "
            "larger than what training the same network again from another seed (other_seed) makes."
        )
    return lines


def full_cell(figure: dict[str, float]) -> str:
    """Return a figure of the full system with its interval, in per cent."""
    return f"{100 * figure['mean']:.1f} [{100 * figure['low']:.1f}, {100 * figure['high']:.1f}]"


def difference_cell(difference: dict[str, Any]) -> str:
    """Return a difference in points with what its interval reaches to either side, and what it says."""
    reach = (difference["high"] - difference["low"]) / 2
    return f"{100 * difference['mean']:+.1f} +/- {100 * reach:.1f} {difference['verdict']}"


def _table(content: dict[str, Any], title: str, figures: Sequence[str]) -> str:
    """Return one table: the full system's figures, then every variant's differences."""
    head = _line("", [TITLES[name] for name in figures])
    full = _line("full system", [full_cell(content["full"]["figures"][name]) for name in figures])
    rows = [_line(row["variant"], [difference_cell(row["differences"][name]) for name in figures]) for row in content["variants"]]
    return "\n".join([title, head, "-" * (_NAME + _CELL * len(figures)), full, *rows])


def _line(name: str, cells: Sequence[str]) -> str:
    return (f"{name:<{_NAME}}" + "".join(f"{cell:<{_CELL}}" for cell in cells)).rstrip()
