"""The honest curves in sentences, as the page and the terminal both write them. Shares are fractions in [0, 1]; in the text per cent."""

from collections.abc import Mapping
from typing import Any

from zeromiss.reports.families import percent
from zeromiss.reports.words import interval, price_basis, whole

SIZE = "square root of the area of a defect's largest marked region, in pixels of the image as inspected"

ALONE = "trivial properties alone"
MATCHED = (
    "AUROC over all pairs of a defect and a normal image, and over the pairs that look alike by brightness, focus, file size and the other "
    "trivial properties together. What the trivial properties alone keep over such pairs is what the matching leaves of a shortcut."
)


def sentences(summary: Mapping[str, Any]) -> list[str]:
    """Return what the curves say, a sentence each. summary: of summary.json."""
    composite = summary["composite"]
    told = [passed(composite), matched(systems(summary)), unseen(composite["unseen_types"])]
    return [sentence for sentence in (*told, *by_size(composite["by_size"])) if sentence]


def passed(composite: Mapping[str, Any]) -> str:
    """Return the shares of good parts that pass."""
    figures = ", ".join(f"{name} {interval(one)}" for name, one in composite["passed"].items())
    missed = ", ".join(percent(one["missed"]) for one in composite["passed"].values())
    return f"Good parts passed when {missed} % of the defects are missed ({price_basis(composite['hardest'])}): {figures}."


def systems(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of each score over matched pairs, the composite score first, trivial properties last; empty where there are no strata."""
    found = {"composite score": summary["composite"]["matched"]} | {name: one["matched"] for name, one in summary["detectors"].items()}
    found[ALONE] = summary["properties"]
    return {name: one for name, one in found.items() if one}


def native_systems(found: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the same of a comparison's native scores. found: `matched` of compare.json."""
    return {ALONE if name == "properties" else name: one for name, one in (found or {}).items()}


def matched(scores: Mapping[str, Any]) -> str:
    """Return the AUROC over all pairs and over matched ones of each score (see `systems`); nothing where there are no strata."""
    told = [f"{name} {two_aurocs(one)}" for name, one in scores.items()]
    return f"Image AUROC over all pairs -> over pairs alike by their trivial properties: {'; '.join(told)}." if told else ""


def two_aurocs(figures: Mapping[str, Any]) -> str:
    """Return both AUROCs of one system, the second with its interval."""
    within = figures["matched"]
    alike = "no such pair" if within is None else f"{within['mean']:.4f} ({within['low']:.4f} to {within['high']:.4f})"
    return f"{figures['auroc']['mean']:.4f} -> {alike}"


def unseen(found: Mapping[str, Any]) -> str:
    """Return what is found of types of defects that the selection has not seen."""
    types = "; ".join(
        f"{one['defect_type']}, {one['found']} of {one['n_defects']} found ({percent(one['low'])} to {percent(one['high'])} %)" for one in found["types"]
    )
    return f"Defects of a type that the selection never saw: {types}." if types else f"Unseen defect types: {whole(found['sentence'])}"


def by_size(found: Mapping[str, Any] | None) -> list[str]:
    """Return the sizes that are found with 90 % probability, a sentence a threshold; nothing without masks."""
    return [] if found is None else [f"Detection by size, {at}: {size_words(one)}" for at, one in found["curves"].items()]


def size_words(curve: Mapping[str, Any]) -> str:
    """Return a curve's sizes, or why there are none."""
    if curve["a90"] is None:
        return whole(curve["sentence"])
    bound = f"a90/95 {curve['a90_95']:.1f} px" if curve["a90_95"] is not None else f"no a90/95, since {curve['sentence']}"
    return f"a50 {curve['a50']:.1f} px, a90 {curve['a90']:.1f} px, {bound}."
