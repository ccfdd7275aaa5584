"""One type of defect left out at a time: what share of it is found by a classifier that was chosen without it.

Search, family and threshold see normal images and defects of the other types only, as in an outer fold of the nested
cross-validation; the type itself is judged afterwards. Its figures say how far a model carries to defects nobody has labelled yet.
"""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from zeromiss.errors import ZeromissError
from zeromiss.selection.honest_rates import part_interval
from zeromiss.selection.probability import defect_probability
from zeromiss.selection.select import select
from zeromiss.selection.source import Source
from zeromiss.stage_params import SelectionParams

FILE, SCHEMA_VERSION = "unseen_types.json", 1
MIN_PARTS = 5  # of a type: of fewer the interval says nothing
MOST_TYPES = 6  # the most frequent: each costs a search of its own


def unseen_types(source: Source, params: SelectionParams, seed: int) -> dict[str, Any]:
    """Return the content of unseen_types.json: `types`, one entry a type left out, `skipped` ones with the reason, `sentence`, `seconds`.

    An entry: defect_type, n_defects and n_parts that it has, `found` of them at the zero-miss threshold of the others, `share` of them
    with `low` and `high` (95 %, Clopper and Pearson on parts), the `family` chosen, and `fpr`, the share of normal images at that
    threshold or above, out of fold. With `params.unseen_type_draws` null nothing is computed.
    """
    started = time.perf_counter()
    if params.unseen_type_draws is None:
        return _content([], {}, "not computed: selection.unseen_type_draws is null", started)
    parts = parts_of_types(source)
    if len(parts) < 2:
        kind = f"one type, {next(iter(parts))}" if parts else "no named type"
        return _content([], {}, f"the defects are of {kind}: no type can be left out", started)
    skipped = {name: f"{count} part{'' if count == 1 else 's'}, at least {MIN_PARTS} are needed" for name, count in parts.items() if count < MIN_PARTS}
    wanted = [name for name in parts if name not in skipped]
    skipped |= dict.fromkeys(wanted[MOST_TYPES:], f"the {MOST_TYPES} most frequent types are left out in turn")
    entries = []
    own = params.model_copy(update={"draws": min(params.draws, params.unseen_type_draws)})
    for name in tqdm(wanted[:MOST_TYPES], desc="unseen types", unit="type", dynamic_ncols=True):
        try:
            entries.append(_leave_out(source, name, own, seed))
        except ZeromissError as error:
            skipped[name] = str(error)
    return _content(entries, skipped, "" if entries else "no type could be left out", started)


def parts_of_types(source: Source) -> dict[str, int]:
    """Return how many parts show each named type of defect, the most frequent first, then by name."""
    facts = source.facts.assign(defect_type=source.facts["defect_type"].fillna(""))[source.y_N == 1]
    counts = facts[facts["defect_type"] != ""].groupby("defect_type")["part_id"].nunique()
    return {str(name): int(count) for name, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))}


def _leave_out(source: Source, name: str, params: SelectionParams, seed: int) -> dict[str, Any]:
    """Choose without the parts that show the type, and judge its images."""
    of_type_N = (source.y_N == 1) & (source.facts["defect_type"].fillna("") == name).to_numpy()
    kept_N = ~np.isin(source.part_N, source.part_N[of_type_N])
    chosen = select(source.take(np.flatnonzero(kept_N)), params, seed, pool="folds")
    judged, judgement = source.take(np.flatnonzero(of_type_N)), chosen.judgements[chosen.winner]
    found_M = defect_probability(chosen.classifier, judged.features) >= judgement.zfn_threshold
    low, high = part_interval(pd.DataFrame({"part_id": judged.part_N, "hit": found_M}))
    return {
        "defect_type": name,
        "n_defects": len(found_M),
        "n_parts": len(np.unique(judged.part_N)),
        "found": int(found_M.sum()),
        "share": float(found_M.mean()),
        "low": low,
        "high": high,
        "family": chosen.winner,
        "fpr": judgement.zfn.fpr,
    }


def _content(entries: list[dict[str, Any]], skipped: Mapping[str, str], sentence: str, started: float) -> dict[str, Any]:
    """Return the file's content."""
    left_out = [{"defect_type": name, "why": why} for name, why in skipped.items()]
    return {"types": entries, "skipped": left_out, "sentence": sentence, "seconds": time.perf_counter() - started}
