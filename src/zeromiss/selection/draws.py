"""Draws from a family's space: random where it is continuous, and never the same parameters twice."""

import json
from typing import Any

import numpy as np
from sklearn.model_selection import ParameterGrid, ParameterSampler

from zeromiss.selection.families import Space

ROUNDS = 100  # of drawing again what had been drawn before


def draw_parameters(space: Space, count: int, seed: int) -> list[dict[str, Any]]:
    """Return up to `count` different parameter sets drawn from `space`, as plain Python values.

    A finite space that holds fewer is listed whole.
    """
    if _finite(space):
        count = min(count, len(ParameterGrid(space)))
        return [_plain(params) for params in ParameterSampler(space, count, random_state=seed)]
    random = np.random.RandomState(seed)
    unlike: dict[str, dict[str, Any]] = {}
    for _ in range(ROUNDS):
        for params in ParameterSampler(space, count - len(unlike), random_state=random):
            plain = _plain(params)
            unlike.setdefault(json.dumps(plain, sort_keys=True), plain)
        if len(unlike) == count:
            break
    return list(unlike.values())


def _finite(space: Space) -> bool:
    """Whether every parameter is given as a list of values."""
    grids = [space] if isinstance(space, dict) else space
    return all(isinstance(values, list) for grid in grids for values in grid.values())


def _plain(params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters in the order of their names, without NumPy scalars."""
    return {key: value.item() if isinstance(value, np.generic) else value for key, value in sorted(params.items())}
