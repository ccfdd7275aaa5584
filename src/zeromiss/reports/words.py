"""Figures and sentences as the page and the terminal both write them."""

import math

from zeromiss.reports.families import percent


def whole(sentence: str) -> str:
    """Return a sentence with a capital at its beginning and a full stop at its end."""
    return sentence[:1].upper() + sentence[1:] + ("" if sentence.endswith(".") else ".")


def interval(figures: dict[str, float]) -> str:
    """Return a mean with its 95 % interval in per cent."""
    return f"{percent(figures['mean'])} % ({percent(figures['low'])} to {percent(figures['high'])})"


def upper(bound: float) -> str:
    """Return an upper bound in [0, 1] in per cent, rounded up to a tenth: what lies below it lies below the text too."""
    return percent(math.ceil(1000.0 * bound - 1e-9) / 1000.0)
