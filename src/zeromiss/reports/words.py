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
