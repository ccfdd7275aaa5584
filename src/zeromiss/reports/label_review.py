"""Which labels of a product a person should check first: what the out-of-fold scores say, and what people have said already."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zeromiss import schemas
from zeromiss.files import read_json
from zeromiss.images import labels
from zeromiss.images import manifest as manifests
from zeromiss.selection.label_issues import find_label_issues, most_contradicted
from zeromiss.selection.out_of_fold import OutOfFold, out_of_fold
from zeromiss.tables import read_table
from zeromiss.threshold.price import cost_of_each
from zeromiss.workspace import Workspace

SCHEMA_VERSION = 1


def review(product: str, workspace: Workspace, *, count: int) -> dict[str, Any]:
    """Return up to `count` labels of each kind that the scores contradict most, and how the labels stand.

    Keys `defects` (defects that score like good parts) and `normals` (good parts that score like defects), each the most contradicted
    first; their `rank` is over both. Raises ZeromissError where the selection has not run, or a file is not as it should be.
    """
    folder = workspace.selection(product)
    families = read_json(folder / "families.json", schema_version=schemas.SELECTION)
    pool = read_table(folder / "oof.parquet", schema_version=schemas.SELECTION)
    outer = folder / "outer.parquet"
    nested = read_table(outer, schema_version=schemas.SELECTION) if outer.is_file() else None
    scores = out_of_fold(pool[pool["family"] == families["winner"]], nested)
    manifest = read_table(workspace.manifest(product) / manifests.FILE, schema_version=manifests.SCHEMA_VERSION)
    applied = read_json(workspace.manifest(product) / labels.FILE, schema_version=labels.SCHEMA_VERSION)
    changes = labels.read_changes(workspace.labels(product))
    return {"product": product} | _issues(scores, changes, count=count) | _standing(manifest, applied, changes)


def _issues(scores: OutOfFold, changes: list[labels.LabelChange], *, count: int) -> dict[str, Any]:
    """Return what the scores say of the labels."""
    y_N, issues = scores.y_N, find_label_issues(scores.y_N, scores.probability_RN)
    repeats = len(scores.probability_RN)
    said = {change.path: change for change in changes}
    cost_N = np.full(len(y_N), np.nan)
    cost_N[y_N == 1] = cost_of_each(y_N, scores.probability_RN).mean(axis=0)
    found: dict[str, list[dict[str, Any]]] = {"defect": [], "normal": []}
    for rank, index in enumerate(most_contradicted(issues), start=1):
        facts, probability_R = scores.facts.iloc[index], scores.probability_RN[:, index]
        change = said.get(facts["path"])
        shown = found[facts["label"]]
        if len(shown) < count:
            shown.append(
                {
                    "rank": rank,
                    **{name: str(facts[name]) for name in ("path", "part_id", "label", "defect_type")},
                    "score": float(probability_R.mean()),
                    "score_std": float(probability_R.std(ddof=1)) if repeats > 1 else None,
                    "margin": float(issues.margin_N[index]),
                    "contradicted": int(issues.contradicted_N[index]),
                    "fpr": None if np.isnan(cost_N[index]) else float(cost_N[index]),
                    "said": None if change is None else asdict(change),
                }
            )
    sure_N = issues.contradicted_N == repeats
    thresholds_2 = issues.thresholds_R2.mean(axis=0)
    return {
        "protocol": scores.protocol,
        "repeats": repeats,
        "thresholds": {"normal": float(thresholds_2[0]), "defect": float(thresholds_2[1])},
        "n_normals": int((y_N == 0).sum()),
        "n_defects": int((y_N == 1).sum()),
        "contradicted": {"normal": int((sure_N & (y_N == 0)).sum()), "defect": int((sure_N & (y_N == 1)).sum())},
        "defects": found["defect"],
        "normals": found["normal"],
    }


def _standing(manifest: pd.DataFrame, applied: dict[str, Any], changes: list[labels.LabelChange]) -> dict[str, Any]:
    """Return which label changes the manifest applied, which wait for the next one, and which images have no score."""
    latest = {change.path: change for change in changes}
    done = {(one["path"], one["at"]) for kind in ("changed", "unsure", "confirmed") for one in applied[kind]}
    unscored = Counter(str(split) for split in manifest["split"] if split != "table")
    return {
        "applied": {key: applied[key] for key in ("changed", "unsure", "confirmed", "sentence")},
        "waiting": [asdict(change) for change in latest.values() if (change.path, change.at) not in done],
        "not_scored": dict(sorted(unscored.items())) | ({"unsure": len(applied["unsure"])} if applied["unsure"] else {}),
    }


def masks(product: str, workspace: Workspace) -> dict[str, Path]:
    """Return the mask file of each image that has one, by its path in index.csv."""
    manifest = read_table(workspace.manifest(product) / manifests.FILE, schema_version=manifests.SCHEMA_VERSION)
    marked = manifest[manifest["mask"].notna()]
    return {path: workspace.raw(product) / mask for path, mask in zip(marked["path"], marked["mask"], strict=True)}
