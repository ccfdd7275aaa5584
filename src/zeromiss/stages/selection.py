"""Stage `selection`: metric table in; candidates, out-of-fold probabilities, families, classifier out."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from zeromiss import schemas
from zeromiss.files import read_json, write_json
from zeromiss.images.staging import Staging
from zeromiss.params import Product
from zeromiss.selection import calibration, unseen_types
from zeromiss.selection import threshold_set as threshold_sets
from zeromiss.selection.grouping import figures_by_grouping
from zeromiss.selection.honest import judge_outer_folds, outer_folds
from zeromiss.selection.honest_rates import honest_figures
from zeromiss.selection.search import Candidate
from zeromiss.selection.select import Selection, select
from zeromiss.selection.source import Source, read_source
from zeromiss.selection.store import save_classifier
from zeromiss.selection.threshold_set import ThresholdSet
from zeromiss.stages.base import RunLog
from zeromiss.tables import read_table, write_table
from zeromiss.workspace import Workspace

THRESHOLD_TABLE = "threshold.parquet"  # the same of the defects that set the threshold alone
DUPLICATES = "duplicates.json"  # of the manifest stage: near-duplicate photographs


def run(product: Product, workspace: Workspace, log: RunLog) -> None:
    """Select a classifier for the product and write `data/05_selection/<product>/`, whole or not at all.

    Raises ZeromissError for a metric table that no classifier can be chosen on.
    """
    start = time.perf_counter()
    table = read_table(workspace.metrics(product.name) / "table.parquet", schema_version=schemas.METRIC_TABLE)
    source = read_source(table, product.selection.detectors)
    threshold_set = _threshold_set(workspace, product.name, source)
    duplicates = read_json(workspace.manifest(product.name) / DUPLICATES, schema_version=schemas.DUPLICATES)
    outer_folds(source, product.selection, product.seed)  # refuses before the search what the honest protocol would refuse after it
    selection = select(source, product.selection, product.seed)
    selected = time.perf_counter()
    outer = judge_outer_folds(source, product.selection, product.seed, threshold_set=threshold_set)
    judged = time.perf_counter()
    unseen = unseen_types.unseen_types(source, product.selection, product.seed)
    if threshold_set is not None:
        threshold_set.score(selection.classifier)
    folder = workspace.selection(product.name)
    facts = {
        "seconds": time.perf_counter() - start,
        "honest_seconds": judged - selected,  # of these, by the honest protocol
        "scoring": product.selection.scoring,
        "honest": None if outer is None else honest_figures(outer, outer["threshold"].to_numpy()),
        "near_duplicates": figures_by_grouping(source, duplicates["groups"], selection, product.selection, product.seed),
        "families": {family: family_entry(family, selection) for family in product.selection.families},
    }
    calibrated = calibration.calibrate(
        source.y_N,
        selection.pools[selection.winner].probability_N,
        source.part_N,
        folds=product.selection.folds,
        seed=product.seed,
    )
    staging = Staging(folder)
    staging.recover()
    with staging:
        _write(staging.folder, source, selection, facts)
        write_json(staging.folder / calibration.FILE, calibrated, schema_version=calibration.SCHEMA_VERSION)
        write_json(staging.folder / unseen_types.FILE, unseen, schema_version=unseen_types.SCHEMA_VERSION)
        if outer is not None:
            write_table(staging.folder / "outer.parquet", outer, schema_version=schemas.SELECTION)
        if threshold_set is not None:
            write_table(staging.folder / threshold_sets.FILE, threshold_set.rows(), schema_version=schemas.SELECTION)
        staging.swap()
    log.metrics({name: calibrated[name] for name in ("brier_raw", "brier_calibrated")})
    log.metrics({f"unseen_type.{one['defect_type']}": one["share"] for one in unseen["types"]})
    log.artifact(folder / calibration.FILE)
    log.artifact(folder / unseen_types.FILE)
    if outer is not None:
        log.artifact(folder / "outer.parquet")
    if threshold_set is not None:
        log.artifact(folder / threshold_sets.FILE)
    if grouping := facts["near_duplicates"]:
        log.metrics({f"near_duplicates.{kind}.{name}": value for kind in ("grouped", "spread") for name, value in grouping[kind].items()})
    _report(selection, folder, log)


def _threshold_set(workspace: Workspace, name: str, source: Source) -> ThresholdSet | None:
    """Return the defects that set the threshold alone, None where the product has none."""
    path = workspace.metrics(name) / THRESHOLD_TABLE
    return ThresholdSet(read_table(path, schema_version=schemas.METRIC_TABLE), list(source.features.columns)) if path.exists() else None


def _write(folder: Path, source: Source, selection: Selection, facts: dict[str, Any]) -> None:
    """Write the stage's five files."""
    write_table(folder / "candidates.parquet", candidate_table(selection.candidates), schema_version=schemas.SELECTION)
    write_table(folder / "oof.parquet", pool_table(source, selection), schema_version=schemas.SELECTION)
    payload = {"winner": selection.winner, "n_candidates": selection.n_candidates, "smote": selection.smote}
    write_json(folder / "families.json", payload | facts, schema_version=schemas.SELECTION)
    write_json(folder / "features.json", {"columns": list(source.features.columns)}, schema_version=schemas.SELECTION)
    save_classifier(folder / "classifier.skops", selection.classifier)


def candidate_table(candidates: list[Candidate]) -> pd.DataFrame:
    """Return one row a draw: family, draw, params (JSON), mean_score, std_score, seconds, error, folds, dropped.

    Scores, in [0, 1] by `selection.scoring`, are over the `folds` that the draw was judged on, null if it failed; `dropped` says why it was
    not judged on all: "cannot win" (proven) or "raced" (behind the others so far).
    """
    frame = pd.DataFrame([asdict(candidate) for candidate in candidates])
    frame["params"] = [json.dumps(params, sort_keys=True) for params in frame["params"]]
    return frame.astype({"mean_score": "Float64", "std_score": "Float64"})


def pool_table(source: Source, selection: Selection) -> pd.DataFrame:
    """Return one row an image and judged family: path, part_id, label, defect_type, family, probability in [0, 1]."""
    facts = source.facts[["path", "part_id", "label", "defect_type"]]
    pools = {family: selection.pools[family].probability_N for family in selection.judgements}
    return pd.concat(
        [facts.assign(family=family, probability=probability_N) for family, probability_N in pools.items()], ignore_index=True
    )


def family_entry(family: str, selection: Selection) -> dict[str, Any]:
    """Return one family's figures for families.json; nulls and an error text where it failed."""
    tried = [candidate for candidate in selection.candidates if candidate.family == family]
    best, pool, judgement = selection.best.get(family), selection.pools.get(family), selection.judgements.get(family)
    error = pool.error if pool else next((candidate.error for candidate in tried if candidate.error), "fewer than two families could be judged")
    entry: dict[str, Any] = {
        "status": "ok" if judgement else "failed",
        "error": error,
        "draw": best.draw if best else None,
        "params": best.params if best else None,
        "search_score": best.mean_score if best else None,
        "failed_draws": sum(bool(candidate.error) for candidate in tried),
        "dropped_draws": sum(bool(candidate.dropped) for candidate in tried),
        "search_seconds": sum(candidate.seconds for candidate in tried),
        "leave_one_out_seconds": pool.seconds if pool else None,
    }
    keys = ("std", "zfn", "zfn_threshold", "image_auroc", "average_precision")
    return entry | (asdict(judgement) if judgement else dict.fromkeys(keys))


def _report(selection: Selection, folder: Path, log: RunLog) -> None:
    """Tell the run what was found."""
    values = {"n_candidates": float(selection.n_candidates)}
    for family, judgement in selection.judgements.items():
        for kind, rates in (("std", judgement.std), ("zfn", judgement.zfn)):
            values |= {f"{family}.{kind}.{name}": value for name, value in asdict(rates).items()}
        values |= {f"{family}.image_auroc": judgement.image_auroc, f"{family}.average_precision": judgement.average_precision}
    log.metrics(values)
    log.tags({"winner": selection.winner})
    for name in ("candidates.parquet", "oof.parquet", "families.json"):
        log.artifact(folder / name)
