"""docs/systems_results.md, written from docs/results/systems.json and from nothing else."""

from collections.abc import Mapping
from typing import Any

from zeromiss.reports.systems import RANKED, TITLES
from zeromiss.reports.systems_words import FIGURES, percent, ranged, signed, system_title

STACK, FIGURE = "stack", "fpr_at_zero_missed"
_HEAD = """\
# Every system on the same images

Written by `benchmarks/systems.py` from `docs/results/systems.json`, what `zeromiss compare` found with the profile `quick`.
In per cent. *Native* scores are each paper's own, in the table of images; both accuracies there are at thresholds chosen on
these very images. The *honest* figures are means over outer folds with 95 % intervals: columns, classifier and threshold see
the inner part alone. *FPR at zero missed* is the share of normal images at or above the lowest defect of the outer part, so
that one defect nobody can see decides it; *FPR* and *FNR* are at the inner part's lowest defect.

CycleGAN-AD learns from defects as well (a tenth of them, which nobody is judged on); no other detector does. Detectors were
fitted on one H100, up to sixteen side by side, so seconds of a fit are that and `zeromiss detectors` tells what they are on two
cores; an image's time is one thread's of that machine's processor, beside other work. What the networks were given is the
`quick` profile's minutes, not the papers' days: the figures say what a user of this profile gets, not what the papers' authors
would. The 150 columns that composites keep were chosen on the solar cells' outer folds of seed 0 (of 20, 60, 100, 150 and all),
so the figure there is the best of a few; the other products and the other seed had no part in that.
"""


def page(found: Mapping[str, Any]) -> str:
    """Return docs/systems_results.md for the committed comparisons."""
    products = [_product(content) for content in found["products"].values()]
    kinds = [_slices(name, content) for name, content in found["slices"].items()]
    return "\n".join([_HEAD, *products, *kinds])


def standing(content: Mapping[str, Any], stack: str = STACK) -> str:
    """Return how a stack's mean honest FPR at zero missed stands beside those of all systems of one detector: lower, equal or higher."""
    judged = content["systems"]
    lowest = min(one["figures"][FIGURE]["mean"] for one in judged.values() if len(one["detectors"]) == 1)
    own = judged[stack]["figures"][FIGURE]["mean"]
    return "lower" if own < lowest else "equal" if own == lowest else "higher"


def _product(content: Mapping[str, Any]) -> str:
    judged = content["composites"]
    parts = [
        f"## {content['product']}",
        f"{content['n_normals']} normal and {content['n_defects']} defect images of {content['size']} pixels.",
        _native(content["detectors"]),
        _costs(content["detectors"]),
        _settings(judged["settings"]),
        _honest(judged["systems"], content),
        *(_paired(stack, others, content) for stack, others in judged["differences"].items()),
    ]
    return "\n\n".join(parts) + "\n"


def _settings(settings: Mapping[str, Any]) -> str:
    return (
        f"Honest protocol: {settings['outer_repeats']} x {settings['outer_folds']} outer folds by part; families "
        f"{', '.join(settings['families'])}, {settings['draws']} draws each, judged by {settings['scoring']}; at most {settings['most']} columns."
    )


def _native(detectors: Mapping[str, Any]) -> str:
    rows = [f"| {name} | " + " | ".join(percent(one[key]) for key in RANKED) + " |" for name, one in detectors.items()]
    rows += [
        f"| {name}, score {score} | " + " | ".join(percent(figures.get(key)) for key in RANKED) + " |"
        for name, one in detectors.items()
        for score, figures in one["scores"].items()
    ]
    return _table(["native score", *(TITLES[key] for key in RANKED)], rows)


def _costs(detectors: Mapping[str, Any]) -> str:
    rows = [
        f"| {name} | {one['fit_seconds']:.0f} s | {1000 * one['seconds_per_image']:.0f} ms | {_mib(one['tensors_mib'])} | {one['parameters']:,} |"
        for name, one in detectors.items()
    ]
    return _table(["detector", "fit", "an image, all its columns", "tensors", "numbers"], rows)


def _mib(tensors: float | None) -> str:
    return "-" if tensors is None else f"{tensors:.0f} MiB"


def _honest(judged: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    rows = [
        f"| {system_title(name, content)} | " + " | ".join(ranged(one["figures"][key]) for key in FIGURES) + f" | {one['missed']} of {one['defects']} |"
        for name, one in judged.items()
    ]
    return _table(["honest", *FIGURES.values(), "missed"], rows)


def _paired(stack: str, others: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    rows = [
        f"| {system_title(name, content)} | " + " | ".join(f"{signed(one[key])}" for key in (FIGURE, "image_auroc")) + " |"
        for name, one in others.items()
    ]
    return _table([f"{system_title(stack, content)} minus", "FPR at zero missed", "AUROC"], rows)


def _slices(name: str, content: Mapping[str, Any]) -> str:
    kinds = content["kinds"]
    found = [standing(one) for one in kinds.values()]
    parts = [
        f"## {name}, kind by kind",
        f"Networks learned from all {len(kinds)} kinds together, at {content['size']} pixels; what comes after the metric table is done kind by "
        f"kind. Beside the lowest of all single detectors and all single detectors' columns, the stack's mean FPR at zero missed is lower on "
        f"{found.count('lower')} of {len(kinds)} kinds, equal on {found.count('equal')} and higher on {found.count('higher')}. Which single one "
        f"is lowest differs from kind to kind: the last column counts on how many kinds each reaches the kind's lowest.",
        _kinds(kinds),
    ]
    return "\n\n".join(parts) + "\n"


def _kinds(kinds: Mapping[str, Any]) -> str:
    """Return one row a system: kinds are too few columns to turn, and systems too many."""
    means = {kind: {name: one["figures"][FIGURE]["mean"] for name, one in content["systems"].items()} for kind, content in kinds.items()}
    names = list(next(iter(means.values())))
    lowest = {kind: min(of.values()) for kind, of in means.items()}
    head = [f"{kind.removeprefix('PA_')} {one['n_normals']} / {one['n_defects']}" for kind, one in kinds.items()]
    rows = []
    for name in names:
        cells = [percent(of[name]) if name in of else "-" for of in means.values()]
        rows.append(f"| {name} | " + " | ".join(cells) + f" | {sum(of.get(name) == lowest[kind] for kind, of in means.items())} |")
    return _table(["FPR at zero missed, honest mean (normal / defect images)", *head, "lowest on"], rows)


def _table(head: list[str], rows: list[str]) -> str:
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *rows])
