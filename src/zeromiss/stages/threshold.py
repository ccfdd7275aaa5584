"""Stage `threshold`: the winner's out-of-fold probabilities in, threshold with its bounds and honest curves out."""

from typing import Any

import numpy as np
import pandas as pd

from zeromiss import schemas
from zeromiss.errors import ZeromissError
from zeromiss.files import read_json, write_json
from zeromiss.params import Product
from zeromiss.selection.out_of_fold import OutOfFold, out_of_fold
from zeromiss.stages.base import RunLog
from zeromiss.tables import read_table
from zeromiss.threshold import curves, price, roc
from zeromiss.threshold.facts import threshold_facts
from zeromiss.workspace import Workspace

OUTER, ASIDE = "outer.parquet", "threshold_set.parquet"  # what the outer folds judged; scores of defects put aside for the threshold
NATIVES = "native.parquet"  # of the metrics stage
SIZES = "defect_sizes.parquet"  # of the metrics stage
PROPERTIES = "properties.parquet"  # of the manifest stage


def run(product: Product, workspace: Workspace, log: RunLog) -> None:
    """Set the product's threshold and write four files into its folder: threshold.json, hardest.json, curves.json, roc.json.

    See `threshold_facts`, `price.hardest_facts`, `curves.curves_facts` and `roc.roc_facts` for what they hold. Raises
    ZeromissError without defects, when the selection's files do not fit each other, or when the rule needs more defects, or
    outer folds, than there are.
    """
    source = workspace.selection(product.name)
    families = read_json(source / "families.json", schema_version=schemas.SELECTION)
    pool = read_table(source / "oof.parquet", schema_version=schemas.SELECTION)
    pool = pool[pool["family"] == families["winner"]]
    if pool.empty:
        raise ZeromissError(f"{source / 'oof.parquet'} has no row of the winner {families['winner']!r}: run the selection stage anew")
    outer, aside = (_optional(workspace, product.name, name) for name in (OUTER, ASIDE))
    facts = threshold_facts(
        y_N=(pool["label"] == "defect").to_numpy(dtype=np.int64),
        probability_N=pool["probability"].to_numpy(dtype=np.float64),
        part_N=pool["part_id"].astype(str).to_numpy(dtype=object),
        defect_type_N=pool["defect_type"].fillna("").astype(str).to_numpy(dtype=object),
        params=product.threshold,
        n_candidates=families["n_candidates"],
        outer=outer,
        aside=aside,
        inspection=product.inspection,
    )
    target = workspace.threshold(product.name) / "threshold.json"
    write_json(target, facts, schema_version=schemas.THRESHOLD)
    scores = out_of_fold(pool, outer)
    hardest, told = price.hardest_facts(scores), _curves(product.name, workspace, scores)
    write_json(target.with_name(price.FILE), hardest, schema_version=price.SCHEMA_VERSION)
    write_json(target.with_name(curves.FILE), told, schema_version=curves.SCHEMA_VERSION)
    write_json(target.with_name(roc.FILE), roc.roc_facts(out_of_fold(pool, None), scores), schema_version=roc.SCHEMA_VERSION)
    named = ("value", "miss_rate_bound_95", "next_defect_miss_bound", "n_defects", "n_candidates", "defects_behind")
    log.metrics({f"threshold.{name}": float(facts[name]) for name in named})
    log.metrics({f"threshold.escapes.{name}": float(value) for name, value in facts["escapes"].items() if value is not None})
    log.metrics({f"fpr_without_{k}_hardest": one["fpr"] for k, one in hardest["prices"].items()})
    log.metrics({name: one["mean"] for name, one in told["passed"].items()})
    log.metrics({f"{name}.matched_auroc": one["matched"]["mean"] for name, one in (told["matched"] or {}).items() if one["matched"]})
    log.tags({f"threshold.{name}": facts[name] for name in ("bound_is", "guarantee", "assumption", "statement")})
    for file in (target.name, price.FILE, curves.FILE, roc.FILE):
        log.artifact(target.with_name(file))


def _curves(name: str, workspace: Workspace, scores: OutOfFold) -> dict[str, Any]:
    """Return the content of curves.json, which rests on files of the manifest and metrics stages too."""
    measured = workspace.metrics(name)
    return curves.curves_facts(
        scores,
        read_table(measured / NATIVES, schema_version=schemas.NATIVE),
        read_table(workspace.manifest(name) / PROPERTIES, schema_version=schemas.PROPERTIES),
        read_table(measured / SIZES, schema_version=schemas.DEFECT_SIZES),
    )


def _optional(workspace: Workspace, product: str, name: str) -> pd.DataFrame | None:
    """Return a table of the selection, None where it has none: no honest protocol, or no defects put aside for the threshold."""
    path = workspace.selection(product) / name
    return read_table(path, schema_version=schemas.SELECTION) if path.exists() else None
