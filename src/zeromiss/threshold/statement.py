"""A product's threshold with all that can be said of it: numbers, bounds by defect type, one sentence."""

from typing import Any

import numpy as np

from zeromiss.threshold.bounds import miss_rate_bound, next_defect_miss_bound
from zeromiss.threshold.zfn import Rule, zfn_threshold


def count_parts(part_D: np.ndarray) -> int:
    """Return how many parts the images of defects come from: images of one part are not independent."""
    return len(np.unique(part_D.astype(str)))


def threshold_facts(
    *,
    y_N: np.ndarray,
    probability_N: np.ndarray,
    part_N: np.ndarray,
    defect_type_N: np.ndarray,
    rule: Rule,
    margin: float,
    confidence: float,
    n_candidates: int,
    independent: bool = False,
) -> dict[str, Any]:
    """Return the content of threshold.json.

    y_N: 1 = defect; probability_N in [0, 1], higher = more abnormal; part_N and defect_type_N: strings.
    Bounds count parts. `independent` says that the scorer was fixed before it met these defects (an audit set,
    outer folds): only then are the bounds valid. Raises ZeromissError without defects.
    """
    defect_N = np.asarray(y_N) == 1
    value = zfn_threshold(y_N, probability_N, rule=rule, margin=margin)
    n_images, n_parts = int(defect_N.sum()), count_parts(part_N[defect_N])
    facts = {
        "value": value,
        "rule": rule,
        "margin": margin,
        "n_defects": n_images,
        "n_defect_parts": n_parts,
        "n_candidates": n_candidates,
        "miss_rate_bound_95": miss_rate_bound(n_parts, n_candidates=n_candidates),
        "miss_rate_bound": miss_rate_bound(n_parts, confidence=confidence, n_candidates=n_candidates),
        "confidence": confidence,
        "next_defect_miss_bound": next_defect_miss_bound(n_parts),
        "bound_is": "valid" if independent else "descriptive",
    }
    types = defect_types(probability_N[defect_N], part_N[defect_N], defect_type_N[defect_N], n_candidates=n_candidates)
    return facts | {"types": types, "statement": statement(facts)}


def defect_types(
    probability_D: np.ndarray, part_D: np.ndarray, type_D: np.ndarray, *, n_candidates: int
) -> list[dict[str, Any]]:
    """Return one entry a named type, by name: its counts, lowest probability and bounds, each for the type alone."""
    entries = []
    for name in sorted({str(name) for name in type_D} - {""}):
        own_D = type_D == name
        n_parts = count_parts(part_D[own_D])
        entries.append(
            {
                "defect_type": name,
                "n_defects": int(own_D.sum()),
                "n_defect_parts": n_parts,
                "lowest_probability": float(probability_D[own_D].min()),
                "miss_rate_bound_95": miss_rate_bound(n_parts, n_candidates=n_candidates),
                "next_defect_miss_bound": next_defect_miss_bound(n_parts),
            }
        )
    return entries


def statement(facts: dict[str, Any]) -> str:
    """Return what the threshold guarantees in one sentence, with the number of defects behind it."""
    n_images, n_parts = facts["n_defects"], facts["n_defect_parts"]
    known = _count(n_images, "known defect") + (f" ({_count(n_parts, 'part')})" if n_parts != n_images else "")
    place = "at the lowest score" if facts["rule"] == "zfn" else f"{facts['margin']:.3g} of it below the lowest score"
    bounds = (
        f"the next defective part is missed with probability up to {percent(facts['next_defect_miss_bound'])} and, with "
        f"{percent(facts['confidence'])} confidence shared among {_count(facts['n_candidates'], 'compared classifier')}, "
        f"a share of misses up to {percent(facts['miss_rate_bound'])}"
    )
    if facts["bound_is"] == "valid":
        return f"The threshold lies {place} of {known}, none of which is missed: {bounds}."
    return (
        f"The threshold lies {place} of {known}, none of which is missed in leave-one-out; were those scores independent and the "
        f"classifier fixed beforehand, it would follow that {bounds}, but both were chosen on the same defects: these bounds are "
        "descriptive, not a guarantee."
    )


def percent(share: float) -> str:
    """Return a share as per cent with three significant digits."""
    return f"{100.0 * share:.3g} %"


def _count(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
