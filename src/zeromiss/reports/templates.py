"""The pages' templates, all set up alike: what they show is escaped, and a value that is missing is an error."""

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def templates(**filters: Callable[..., Any]) -> Environment:
    """Return this folder's templates with a page's own filters."""
    environment = Environment(
        loader=PackageLoader("zeromiss.reports", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= filters
    return environment
