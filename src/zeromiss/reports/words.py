"""Figures and sentences as the page and the terminal both write them."""

from typing import Any

from zeromiss.reports.families import percent


def whole(sentence: str) -> str:
    """Return a sentence with a capital at its beginning and a full stop at its end."""
    return sentence[:1].upper() + sentence[1:] + ("" if sentence.endswith(".") else ".")


def interval(figures: dict[str, float]) -> str:
    """Return a mean with its 95 % interval in per cent."""
    return f"{percent(figures['mean'])} % ({percent(figures['low'])} to {percent(figures['high'])})"


def price_basis(hardest: dict[str, Any]) -> str:
    """Return which scores the price of the hardest defects rests on. hardest: of summary.json, or hardest.json."""
    if hardest["protocol"] == "leave-one-out":
        return "leave-one-out scores of the classifier in use, which was chosen on them: there are no outer folds"
    times = "one repeat" if hardest["repeats"] == 1 else f"mean of {hardest['repeats']} repeats"
    return f"nested cross-validation, {times}"


def near_duplicates(figures: dict[str, Any]) -> str:
    """Return what near-duplicate photographs do to the figures. figures: `near_duplicates` of summary.json."""
    grouped, spread = figures["grouped"], figures["spread"]
    count = "1 group" if figures["groups"] == 1 else f"{figures['groups']} groups"
    return (
        f"Near-duplicates: {figures['images']} images of the table are {count} of photographs of one part each. With each group in one fold the "
        f"winner has image AUROC {grouped['image_auroc']:.4f} and FPR {percent(grouped['fpr_at_zero_missed'])} % with no miss; with the photographs of a "
        f"group in several folds {spread['image_auroc']:.4f} and {percent(spread['fpr_at_zero_missed'])} % "
        f"(cross-validation, {figures['repeats']} x {figures['folds']} folds)."
    )
