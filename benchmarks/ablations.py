"""Collect what `zeromiss ablate` found into docs/results/ablations.json and write docs/ablations.md from it.

    python benchmarks/ablations.py solar_cell     after `zeromiss ablate solar_cell`
    python benchmarks/ablations.py                only write the page anew

Every figure of the page comes from the committed file; a test compares the two.
"""

import sys
from pathlib import Path
from typing import Any

from zeromiss.ablation.command import RESULT
from zeromiss.ablation.command import SCHEMA_VERSION as RESULT_VERSION
from zeromiss.ablation.text import TITLES, full_cell, heading, notes
from zeromiss.files import read_json, write_json
from zeromiss.workspace import Workspace

SCHEMA_VERSION = 1  # of the file that the page is made of
ROOT = Path(__file__).resolve().parents[1]
FOUND, PAGE = ROOT / "docs" / "results" / "ablations.json", ROOT / "docs" / "ablations.md"
_HEAD = """\
# What each part of the method contributes

Written by `benchmarks/ablations.py` from `docs/results/ablations.json`, what `zeromiss ablate` found on two cores without a
GPU. Every variant is judged on the same outer folds, from the same seeds, as the full system, so that the differences are
paired: preprocessing, search, choice of the classifier and threshold see the inner part of a fold alone. *FPR at zero missed*
and *AUROC* rank the outer part; *FPR*, *FNR* and *accuracy* are those at the inner part's zero-false-negative threshold.
Fewer families and draws were searched than the profile `quick` has, so that all variants took minutes: what is compared is
the method with a smaller search. The full system's network is one that an earlier commit trained with the same parameters;
those of variants with a network of their own are new, so that part of what sets them apart is luck, as `other_seed` shows.
How alike the modes `dense` and `crops` rank patches is in `benchmarks/RESULTS.md`.
"""


def collect(product: str, root: Path) -> dict[str, Any]:
    """Return what the last ablation of `product` found in the workspace `root`."""
    return read_json(Workspace(root=root).ablation(product) / RESULT, schema_version=RESULT_VERSION)


def read_found() -> dict[str, dict[str, Any]]:
    """Return the committed ablations, by product."""
    return read_json(FOUND, schema_version=SCHEMA_VERSION)["products"] if FOUND.is_file() else {}


def page(found: dict[str, dict[str, Any]]) -> str:
    """Return docs/ablations.md for the given products' ablations."""
    return "\n".join([_HEAD, *(_product(content) for content in found.values())])


def sentence(content: dict[str, Any]) -> str:
    """Return in one sentence how many differences are noise, and which are not."""
    told = [
        f"{row['variant']} ({TITLES[name]}: {difference['verdict']})"
        for row in content["variants"]
        for name, difference in row["differences"].items()
        if difference["verdict"] != "noise"
    ]
    count = content["intervals"]
    if not told:
        return f"All {count} differences are noise: these folds tell none of the variants from the full system."
    return f"{count - len(told)} of {count} differences are noise; the others: {', '.join(told)}."


def _product(content: dict[str, Any]) -> str:
    head = "| variant | what is different | columns | " + " | ".join(TITLES.values()) + " |\n|---|---|---|" + "---|" * len(TITLES)
    full = [full_cell(content["full"]["figures"][name]) for name in TITLES]
    rows = [_row("**full system**", "", content["full"]["columns"], full)]
    rows += [_row(row["variant"], row["change"], row["columns"], [_cell(row["differences"][name]) for name in TITLES]) for row in content["variants"]]
    left_out = [f"- {entry['variant']} is left out: {entry['reason']}." for entry in content["left_out"]]
    left_out += [f"- Not measured: {', '.join(content['not_asked'])}."] if content["not_asked"] else []
    settings, compared = content["settings"], heading(content).removeprefix(f"{content['product']}: ")
    told = (
        f"Families searched: {', '.join(settings['families'])}; {settings['draws']} draws each, {settings['folds']} inner folds, seed "
        f"{settings['seed']}. The network: {settings['codes']} codes, {settings['size']} pixels, {settings['steps']} steps, mode {settings['mode']}."
    )
    parts = [f"## {content['product']}", f"{compared} {told}", "\n".join([head, *rows]), sentence(content)]
    return "\n\n".join([*parts, "\n".join([*(f"- {note}" for note in notes(content)), *left_out])]) + "\n"


def _row(name: str, change: str, columns: int, cells: list[str]) -> str:
    return f"| {name} | {change} | {columns} | " + " | ".join(cells) + " |"


def _cell(difference: dict[str, Any]) -> str:
    mean, low, high = (100 * difference[name] for name in ("mean", "low", "high"))
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}] {difference['verdict']}"


def main(products: list[str], root: Path = ROOT) -> None:
    """Collect the named products' ablations from the workspace `root` and write the page."""
    found = read_found()
    if products:
        found |= {product: collect(product, root) for product in products}
        write_json(FOUND, {"products": found}, schema_version=SCHEMA_VERSION)
    PAGE.write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:], Workspace.find().root)
