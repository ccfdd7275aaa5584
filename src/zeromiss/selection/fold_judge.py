"""Draws of a family judged on one fold: probabilities of the images put aside, whatever way of fitting is fastest.

Nothing here changes a probability: forests, boosted trees and boosters are fitted by the libraries' own code
without the overhead of their estimators, the other families by `fit_family`. Axis M: judged images.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sklearn
from sklearn.base import ClassifierMixin

from zeromiss.selection.bench import Bench
from zeromiss.selection.boosters import lightgbm_probability, xgboost_probability
from zeromiss.selection.ensembles import ada_probability, forest_probabilities, gradient_probability
from zeromiss.selection.families import FAMILY
from zeromiss.selection.fit import fit_family
from zeromiss.selection.probability import checked_probability, defect_probability

FORESTS = ("rf", "et")  # a smaller forest is the beginning of a larger one
FAST: dict[str, Callable[[ClassifierMixin, Bench], np.ndarray]] = {
    "ada": ada_probability,
    "gbc": gradient_probability,
    "lightgbm": lightgbm_probability,
    "xgboost": xgboost_probability,
}


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What one draw said of the images put aside; None and an error where it failed."""

    probability_M: np.ndarray | None  # of a defect, in [0, 1]
    seconds: float  # of fitting and judging; draws that share a forest share its seconds
    error: str


def judge_draws(family: str, draws: Sequence[dict[str, Any]], bench: Bench, seed: int) -> list[Judged]:
    """Fit each draw on the fold's training part and let it judge the images put aside; one entry a draw, in order.

    A draw that fails is reported, and the others go on. Same probabilities as `fit_family` and
    `defect_probability`, bit for bit, whichever draws are judged together.
    """
    together: dict[str, list[int]] = {}
    for number, params in enumerate(draws):
        together.setdefault(sharing_key(family, params) if family in FORESTS else str(number), []).append(number)
    found: dict[int, Judged] = {}
    with sklearn.config_context(skip_parameter_validation=True, assume_finite=True):
        for numbers in together.values():
            found |= zip(numbers, _judge_together(family, [draws[number] for number in numbers], bench, seed), strict=True)
    return [found[number] for number in range(len(draws))]


def sharing_key(family: str, params: dict[str, Any]) -> str:
    """Return a text that is equal for draws which can share work: one forest, or one binning of the rows."""
    if family in FORESTS:
        return json.dumps({name: value for name, value in params.items() if name != "n_estimators"}, sort_keys=True)
    return f"{params['min_child_samples']:06d}" if family == "lightgbm" else ""


def describe(problem: Exception) -> str:
    """Return an exception's kind and text on one line."""
    return f"{type(problem).__name__}: {' '.join(str(problem).split())}"[:300]


def _judge_together(family: str, draws: Sequence[dict[str, Any]], bench: Bench, seed: int) -> list[Judged]:
    """Judge draws that differ in their number of trees at most."""
    start, error = time.perf_counter(), ""
    found: list[np.ndarray | None] = [None] * len(draws)
    try:
        found = [checked_probability(probability_M) for probability_M in _probabilities(family, draws, bench, seed)]
    except Exception as problem:  # whatever a library raises, the other draws must go on
        error = describe(problem)
    seconds = (time.perf_counter() - start) / len(draws)
    return [Judged(probability_M=probability_M, seconds=seconds, error=error) for probability_M in found]


def _probabilities(family: str, draws: Sequence[dict[str, Any]], bench: Bench, seed: int) -> list[np.ndarray]:
    """Return each draw's probabilities; the draws are one, or of one forest."""
    if family in FORESTS:
        sizes = [params["n_estimators"] for params in draws]
        found = forest_probabilities(FAMILY[family].build(draws[0], seed, bench.fold.rising_F), sizes, bench)
        return [found[size] for size in sizes]
    [params] = draws
    if family in FAST:
        return [FAST[family](FAMILY[family].build(params, seed, bench.fold.rising_F), bench)]
    classifier = fit_family(family, params, bench.fold.train_NF, bench.fold.train_N, seed, bench.fold.rising_F)
    return [defect_probability(classifier, bench.fold.judged_MF)]
