"""A made-up metric table of three detectors and what a comparison of them found."""

import numpy as np
import pandas as pd

from zeromiss.selection.composites import fast_members, judge_systems, systems
from zeromiss.selection.matched_auroc import matched_scores, native_scores
from zeromiss.stage_params import SelectionParams

SECONDS = {"vqgan": 0.2, "padim": 0.05, "cpcae": 0.06}
NORMALS, DEFECTS = 30, 20
SHIFTS = {"vqgan": (1.0, 0.0, 0.0), "padim": (0.0, 1.5), "cpcae": (2.0, 0.0)}  # of a defect, in each detector's columns
QUICK = SelectionParams(families=("lda",), draws=1, folds=2, outer_folds=2, jobs=1)


def drawn_table():
    """Return the metric table and the native scores: each detector's native score is its first column."""
    random, y_N = np.random.default_rng(5), np.repeat([0, 1], [NORMALS, DEFECTS])
    facts = pd.DataFrame(
        {
            "path": [f"images/{number}.png" for number in range(len(y_N))],
            "sha256": "0" * 64,
            "label": np.where(y_N, "defect", "normal"),
            "defect_type": "",
            "part_id": [f"p{number}" for number in range(len(y_N))],
            "native_score": 0.0,
        }
    )
    columns = {
        f"{name}.image.{'score' if not place else f'other{place}'}": random.normal(size=len(y_N)) + shift * y_N
        for name, shifts in SHIFTS.items()
        for place, shift in enumerate(shifts)
    }
    table = facts.join(pd.DataFrame(columns))
    return table, facts[["path", "label"]].assign(**{name: columns[f"{name}.image.score"] for name in SHIFTS})


def found_composites(folder, *, speed=2.0):
    """Return what the honest protocol finds on the drawn table."""
    table, natives = drawn_table()
    return judge_systems(table, natives, systems(SECONDS, speed), QUICK, seed=0, folder=folder)


def content_of(folder, *, product="toy", speed=2.0):
    """Return a comparison's whole content but for its pictures."""
    from zeromiss.reports.systems import detector_entry, with_spread

    table, natives = drawn_table()
    training = {"seconds": 120.0, "parameters": 1_250_000, "images": 40, "peak_mib": 812.4}
    ranked = {"pixel_auroc": 0.875, "pro": None}
    detectors = {}
    for name, seconds in SECONDS.items():
        scores = table[[f"{name}.image.other1"]].rename(columns={f"{name}.image.other1": "sse"})
        own = {key: training[key] for key in ("seconds", "parameters")} if name == "vqgan" else training
        entry = detector_entry(
            name, native=ranked | {"seconds_per_image": seconds}, training=own, natives=natives, scores=scores, tensors_mib=4.5
        )
        again = entry | {"image_auroc": entry["image_auroc"] - 0.1}
        seeds = [entry, again] if name == "padim" else [entry]
        detectors[name] = {"title": name.upper(), "source": "paper 1, section 3"} | with_spread(seeds)
    properties = table[["path", "part_id"]].assign(group=table["label"], stratum=np.arange(len(table)) % 3, log_odds=0.0)
    cheapest = min(SECONDS, key=SECONDS.get)
    fast = {name: {"base": base, "members": list(fast_members(SECONDS, base, speed))} for name, base in (("fast_stack", cheapest), ("first_stack", "vqgan"))}
    return {
        "product": product, "seed": 0, "size": 64, "table": "cd" * 32, "n_normals": NORMALS, "n_defects": DEFECTS, "matched": matched_scores(native_scores(natives), properties),
        "detectors": detectors,
        "composites": found_composites(folder, speed=speed), "fast": {"limit": speed} | fast,
    }  # fmt: skip
