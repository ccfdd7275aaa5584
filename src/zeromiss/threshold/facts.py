"""A product's threshold with all that can be said of it: the content of threshold.json."""

from typing import Any

import numpy as np
import pandas as pd

from zeromiss.selection.honest_rates import honest_figures
from zeromiss.stage_params import InspectionParams, ThresholdParams
from zeromiss.threshold.bounds import clopper_pearson_upper
from zeromiss.threshold.escapes import escapes
from zeromiss.threshold.rules import outer_thresholds, place
from zeromiss.threshold.statement import assumption, guarantee, statement
from zeromiss.threshold.zfn import zfn_threshold


def count_parts(part_D: np.ndarray) -> int:
    """Return how many parts the images of defects come from: images of one part are not independent."""
    return len(np.unique(part_D.astype(str)))


def threshold_facts(
    *,
    y_N: np.ndarray,
    probability_N: np.ndarray,
    part_N: np.ndarray,
    defect_type_N: np.ndarray,
    params: ThresholdParams,
    n_candidates: int,
    outer: pd.DataFrame | None = None,
    aside: pd.DataFrame | None = None,
    inspection: InspectionParams | None = None,
) -> dict[str, Any]:
    """Return the content of threshold.json.

    y_N: 1 = defect; probability_N: out of fold, in [0, 1], higher = more abnormal; part_N and defect_type_N: strings.
    `outer`: rows of outer.parquet, None without the honest protocol; `aside`: of threshold_set.parquet, None without defects put
    aside for the threshold. Bounds count parts. They are valid where the rule places the threshold by defects that outer folds judged or
    that were put aside, and descriptive where it does so by the pool on which the classifier was chosen among `n_candidates`.
    `inspection` says what is known of the line (None: nothing), see `escapes`. Raises ZeromissError without defects, and as `place` does.
    """
    defect_N = np.asarray(y_N) == 1
    lowest, placement = zfn_threshold(y_N, probability_N), place(params, outer, aside)
    value = placement.at(lowest)
    probability_D, part_D = np.asarray(probability_N)[defect_N], part_N[defect_N]
    missed_D = probability_D < value
    known = count_parts(part_D)
    facts = {
        "value": value,
        "rule": params.rule,
        "margin": params.margin,
        "target": params.target,
        "budget_ppm": params.budget_ppm,
        "confidence": params.confidence,
        "zfn_threshold": lowest,
        "multiplier": placement.multiplier,
        "clipped": placement.multiplier is not None and lowest * placement.multiplier > 1.0,
        "n_defects": int(defect_N.sum()),
        "n_defect_parts": known,
        "n_candidates": n_candidates,
        "missed_known": int(missed_D.sum()),
        "missed_known_parts": count_parts(part_D[missed_D]),
        "rank": placement.rank,
        "defects_behind": placement.n_parts or known,
        "bound_is": "descriptive" if placement.rank is None else "valid",
        "doubt_shared_among": placement.shares or n_candidates,
        "honest": None if outer is None else honest_figures(outer, outer_thresholds(params, outer, aside)),
    }
    facts |= _bounds(facts)
    line = inspection or InspectionParams()
    bounds = facts["miss_rate_bound"], facts["next_defect_miss_bound"]
    facts["escapes"] = escapes(*bounds, defect_share=line.defect_share, next_parts=line.next_parts)
    facts |= {"guarantee": guarantee(facts), "assumption": assumption(facts)}
    types = defect_types(probability_D, part_D, defect_type_N[defect_N], value=value, n_candidates=n_candidates)
    return facts | {"types": types, "statement": statement(facts)}


def _bounds(facts: dict[str, Any]) -> dict[str, float]:
    """Return the bounds of a threshold at the k-th lowest of the defects behind it; k is 1 for zfn and margin.

    Their doubt is shared among the candidates compared on these defects, or among twice the outer folds that chose; not at all where
    the defects were put aside.
    """
    rank, behind, candidates = facts["rank"] or 1, facts["defects_behind"], facts["doubt_shared_among"]
    return {
        "miss_rate_bound_95": clopper_pearson_upper(rank - 1, behind, n_candidates=candidates),
        "miss_rate_bound": clopper_pearson_upper(rank - 1, behind, confidence=facts["confidence"], n_candidates=candidates),
        "next_defect_miss_bound": rank / (behind + 1),
    }


def defect_types(
    probability_D: np.ndarray, part_D: np.ndarray, type_D: np.ndarray, *, value: float, n_candidates: int
) -> list[dict[str, Any]]:
    """Return one entry a named type, by name: its counts, lowest probability, parts missed at `value`, and bounds.

    Bounds are for the type alone and descriptive under every rule: they rest on leave-one-out.
    """
    entries = []
    for name in sorted({str(name) for name in type_D} - {""}):
        own_D = type_D == name
        parts, missed = count_parts(part_D[own_D]), count_parts(part_D[own_D & (probability_D < value)])
        entries.append(
            {
                "defect_type": name,
                "n_defects": int(own_D.sum()),
                "n_defect_parts": parts,
                "lowest_probability": float(probability_D[own_D].min()),
                "missed_parts": missed,
                "miss_rate_bound_95": clopper_pearson_upper(missed, parts, n_candidates=n_candidates),
                "next_defect_miss_bound": (missed + 1) / (parts + 1),
            }
        )
    return entries
