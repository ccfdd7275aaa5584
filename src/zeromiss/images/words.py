"""Counts in sentences."""


def counted(number: int, thing: str) -> str:
    """Return a count with its noun: `counted(1, "normal image")` is `1 normal image`, with 2 `2 normal images`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
