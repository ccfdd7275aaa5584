"""docs/comparison.md, written from docs/results/comparison.json and from nothing else."""

import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student_t

from zeromiss.files import read_json
from zeromiss.reports.families import NAMES
from zeromiss.selection.paired import Difference

SCHEMA_VERSION = 1
ROOT = Path(__file__).resolve().parents[1]
RESULT, PAGE = ROOT / "docs" / "results" / "comparison.json", ROOT / "docs" / "comparison.md"
CONFIDENCE = 0.95
FIGURES = {"fpr_at_zero_missed": "FPR at no missed defect", "auroc": "AUROC"}
Values = dict[tuple[str, str], np.ndarray]  # one value a seed, (S,), by family and scoring

_HEAD = """\
# Which classifier, searched with which aim?

Written by `benchmarks/comparison.py` from `docs/results/comparison.json`. Three families (LR: logistic regression, ET:
extra trees, WMW: the classifier of the poster, which minimises false alarms where no defect may be missed), each
searched with three aims (`selection.scoring`): accuracy at 0.5 as in the paper, accuracy at the fold's own lowest
defect score, and the partial AUC over sensitivities of 0.9 and more.

Every figure is of images that neither fit nor choice has seen: {outer} outer folds by part, {draws} draws a family and {inner}
inner folds in each, all pooled, so that each image is judged once a seed. *FPR at no missed defect* is the share of
normals that score at or above the lowest defect of the whole pool; this threshold is known only afterwards, so the
figure says how well a classifier ranks. *Missed* and *FPR* at the inner threshold say what happens with the threshold
that training knows: the lowest score of a defect in the inner folds. Values are means and standard deviations over
{seeds} seeds, in percent. A seed changes folds, draws and fits, not the images: the spread is that of the method on
these images and says nothing about others.

Metric tables: solar cells and drawn boards by the `quick` profile, but with norms apart and in fp32, and without
their audit sets; paper impurities at 128 pixels, official split, no audit set, no mask of normal variation, from one
network trained in 700 steps on the clean training images of all papers together. *Each kind by itself* slices
that one table by paper and does everything after it paper by paper; a network of its own for each paper would have
been the fairer and dearer study. A seed of a paper's slice rests on 48 defects and 20 to 24 normals.
"""


def read_result() -> dict[str, Any]:
    """Return the committed result."""
    return read_json(RESULT, schema_version=SCHEMA_VERSION)


def page(result: dict[str, Any]) -> str:
    """Return docs/comparison.md."""
    groups = grouped(result)
    head = _HEAD.format(outer=result["outer_folds"], inner=result["folds"], draws=result["draws"], seeds=len(result["seeds"]))
    tables = [_table(result, title, names) for title, names in groups.items()]
    return "\n".join([head, *tables, _papers(result), _differences(result, groups)])


def grouped(result: dict[str, Any]) -> dict[str, list[str]]:
    """Return the data sets under their titles: each table by itself, and the slices of a table together."""
    groups: dict[str, list[str]] = {}
    for name, entry in result["data"].items():
        groups.setdefault(f"{entry['group']}, each kind by itself" if entry["group"] else name, []).append(name)
    return groups


def values(result: dict[str, Any], names: Sequence[str], figure: str) -> Values:
    """Return a figure's values by family and scoring, one a seed: the mean over the data sets `names`."""
    found = {}
    for key in product(result["families"], result["scorings"]):
        by_seed = [
            {run["seed"]: run[figure] for run in result["data"][name]["runs"] if (run["family"], run["scoring"]) == key} for name in names
        ]
        found[key] = np.mean([[one[seed] for seed in result["seeds"]] for one in by_seed], axis=0)
    return found


def paired(one_S: np.ndarray, other_S: np.ndarray) -> Difference:
    """Return the mean of `one_S` - `other_S` over the seeds with its interval (Student's t)."""
    difference_S = one_S - other_S
    mean, count = float(difference_S.mean()), len(difference_S)
    reach = float(student_t.ppf(0.5 + CONFIDENCE / 2, count - 1)) * float(difference_S.std(ddof=1)) / math.sqrt(count)
    return Difference(mean=mean, low=mean - reach, high=mean + reach)


def compared(result: dict[str, Any]) -> list[tuple[str, tuple[str, str], tuple[str, str]]]:
    """Return what is compared, as a sentence and two keys: WMW with the others under each aim, other aims with accuracy."""
    pairs = []
    for scoring in result["scorings"]:
        for family in result["families"]:
            if family != "wmw":
                pairs.append((f"{NAMES['wmw']} instead of {NAMES[family]}, both by {scoring}", ("wmw", scoring), (family, scoring)))
    for family in result["families"]:
        for scoring in result["scorings"][1:]:
            pairs.append((f"{NAMES[family]} by {scoring} instead of {result['scorings'][0]}", (family, scoring), (family, result["scorings"][0])))
    return pairs


def _table(result: dict[str, Any], title: str, names: list[str]) -> str:
    """Return one data set's table, or the means over several."""
    counts = [(result["data"][name]["n_normals"], result["data"][name]["n_defects"]) for name in names]
    normals, defects = (f"{min(each)}" if min(each) == max(each) else f"{min(each)} to {max(each)}" for each in zip(*counts, strict=True))
    what = f"{normals} normals, {defects} defects" + (f" each; means over {len(names)}" if len(names) > 1 else "")
    columns = [values(result, names, figure) for figure in ("fpr_at_zero_missed", "auroc", "fnr", "fpr")]
    head = "| classifier | searched by | FPR at no missed defect | AUROC | missed, inner threshold | FPR, inner threshold |\n|---|---|---|---|---|---|"
    rows = [
        f"| {NAMES[family]} | {scoring} | " + " | ".join(_spread(column[family, scoring]) for column in columns) + " |"
        for family, scoring in columns[0]
    ]
    return "\n".join([f"## {title}\n\n{what}.\n\n{head}", *rows]) + "\n"


def _papers(result: dict[str, Any]) -> str:
    """Return the table of slices, one a line, FPR at no missed defect."""
    names = [name for name, entry in result["data"].items() if entry["group"]]
    keys = list(product(result["families"], result["scorings"]))
    head = "| kind | " + " | ".join(f"{NAMES[family]}, {scoring}" for family, scoring in keys) + " |\n|---|" + "---|" * len(keys)
    rows = []
    for name in names:
        found = values(result, [name], "fpr_at_zero_missed")
        rows.append(f"| {name} | " + " | ".join(_spread(found[key]) for key in keys) + " |")
    return "\n".join(["## FPR at no missed defect, kind by kind\n", head, *rows]) + "\n"


def _differences(result: dict[str, Any], groups: dict[str, list[str]]) -> str:
    """Return the differences that are larger than the seeds' noise, and how many there would be by chance."""
    pairs, clear, seen = compared(result), [], 0
    for title, names in groups.items():
        for figure, text in FIGURES.items():
            found = values(result, names, figure)
            for sentence, one, other in pairs:
                difference, seen = paired(found[one], found[other]), seen + 1
                if not difference.is_noise:
                    better = (difference.mean < 0) == (figure == "fpr_at_zero_missed")
                    clear.append(f"| {title} | {sentence} | {text} | {_points(difference)} | {'better' if better else 'worse'} |")
    head = "| data | change | figure | difference in points (95 % interval) | |\n|---|---|---|---|---|"
    text = (
        f"Paired by seed, {seen} differences were looked at; {len(clear)} have a 95 % interval that leaves out 0, where about "
        f"{round((1 - CONFIDENCE) * seen)} would by chance alone if nothing mattered. All others are within the seeds' noise."
    )
    return "\n".join([f"## Differences larger than the seeds' noise\n\n{text}\n", *([head] if clear else []), *clear]) + "\n"


def _spread(value_S: np.ndarray) -> str:
    """Return mean and standard deviation over the seeds, in percent."""
    return f"{100 * value_S.mean():.1f} ± {100 * value_S.std(ddof=1):.1f}"


def _points(difference: Difference) -> str:
    """Return a difference with its interval, in percentage points."""
    return f"{100 * difference.mean:+.1f} ({100 * difference.low:+.1f} to {100 * difference.high:+.1f})"
