"""Figures and sentences as the page and the terminal both write them."""

from zeromiss.reports.families import percent


def whole(sentence: str) -> str:
    """Return a sentence with a capital at its beginning and a full stop at its end."""
    return sentence[:1].upper() + sentence[1:] + ("" if sentence.endswith(".") else ".")


def interval(figures: dict[str, float]) -> str:
    """Return a mean with its 95 % interval in per cent."""
    return f"{percent(figures['mean'])} % ({percent(figures['low'])} to {percent(figures['high'])})"
