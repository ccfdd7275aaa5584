"""Lines for the terminal, in at most 100 columns: a name with a text beside it, paragraphs, titled blocks, figures."""

import math
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

WIDTH = 100
LABEL = 14  # columns of the names at the left


def section(title: str, lines: Iterable[str]) -> str:
    """Return a titled block, nothing where there are no lines."""
    body = list(lines)
    return "\n".join([title, *body]) if body else ""


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values as `outer.inner` -> value; lists stay as they are."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def figure(value: Any) -> str:
    """Return a value, a fractional number with six digits."""
    return f"{value:.6g}" if isinstance(value, float) else ("none" if value is None else str(value))


def rounded_up(bound: float) -> str:
    """Return an upper bound in (0, 1] in per cent, rounded up to one decimal, from 1 % downwards to two digits."""
    digits = max(1, 1 - math.floor(math.log10(100.0 * bound)))
    return f"{math.ceil(100.0 * bound * 10**digits - 1e-9) / 10**digits:g}"


def time(text: str | None) -> str:
    """Return a time to the second, in UTC."""
    return "no time" if text is None else text[:19].replace("T", " ") + "Z"


def seconds(value: float | None) -> str:
    """Return a duration."""
    return "" if value is None else f"{value:,.1f} s"


def row(label: str, text: str) -> str:
    """Return a name and a text beside it, broken to the width."""
    head = f"  {label:<{LABEL}}" if len(label) < LABEL else f"  {label}\n  {'':<{LABEL}}"
    filled = textwrap.wrap(text, WIDTH - LABEL - 2, break_on_hyphens=False) or [""]
    return head + f"\n  {'':<{LABEL}}".join(filled)


def paragraph(text: str, indent: int = 2) -> str:
    """Return a text broken to the width, later lines two columns further in."""
    start = " " * indent
    return textwrap.fill(text, WIDTH, initial_indent=start, subsequent_indent=f"{start}  ", break_on_hyphens=False)


def wrap(text: str, *, hanging: int = 0) -> str:
    """Return text broken to the width, its later lines `hanging` columns further in."""
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * hanging, break_long_words=False, break_on_hyphens=False)
