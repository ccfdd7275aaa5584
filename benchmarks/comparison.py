"""Which family and which aim of the search raise the fewest false alarms at no missed defect, on outer folds.

    python -m benchmarks.comparison solar_cell=TABLE pcba=TABLE papers_all=TABLE --each papers_all --jobs 2
    python -m benchmarks.comparison        only write docs/comparison.md anew

TABLE is a metric table (`data/04_metrics/<product>/table.parquet`). `--each` also judges the images of each kind by
themselves, told by the file names without their numbers. What is in docs/results/comparison.json already is kept: a
run that was stopped goes on. A test holds page and file together.
"""

import argparse
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.comparison_page import PAGE, RESULT, SCHEMA_VERSION, page, read_result
from zeromiss import schemas
from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path, write_json
from zeromiss.metrics.ranking import fpr_at_zero_missed, image_auroc
from zeromiss.parallel import run_all
from zeromiss.selection.bench import Bench
from zeromiss.selection.draws import draw_parameters
from zeromiss.selection.families import FAMILY
from zeromiss.selection.fit import Recipe, fit_pipeline, prepare_fold
from zeromiss.selection.probability import defect_probability
from zeromiss.selection.fold_judge import judge_draws
from zeromiss.selection.folds import search_folds
from zeromiss.selection.resample import is_imbalanced
from zeromiss.selection.scoring import SCORING
from zeromiss.selection.source import Source, read_source
from zeromiss.stage_params import SelectionParams
from zeromiss.tables import read_table

FAMILIES, SEEDS, DRAWS = ("lr", "et", "wmw"), (0, 1, 2, 3, 4), 10
SETTINGS = SelectionParams(families=FAMILIES, draws=DRAWS, racing=1.0)  # all else by default


def judge_outer_fold(source: Source, training_N: np.ndarray, judged_M: np.ndarray, seed: int) -> dict[str, tuple[np.ndarray, float]]:
    """Return, by "family scoring", what the draw chosen on the training part says of the judged part, and its threshold.

    The search is `select`'s with the draws judged once for all scorings; the threshold is the lowest probability
    of a defect over the search's folds, as in the honest protocol.
    """
    inner, outer = source.take(training_N), source.take(judged_M)
    smote = SETTINGS.smote_neighbors if is_imbalanced(inner.y_N, SETTINGS.smote_below) else None
    recipe = Recipe(correlation=SETTINGS.correlation, smote_neighbours=smote, seed=seed)
    folds = search_folds(inner.y_N, inner.part_N, SETTINGS.folds, seed)
    benches = [Bench(prepare_fold(inner.features.to_numpy(), inner.y_N, fold, recipe)) for fold in folds]
    truths, found = [bench.fold.judged_M for bench in benches], {}
    for family in FAMILIES:
        draws = draw_parameters(FAMILY[family].space(SETTINGS.trees), DRAWS, seed)
        judged = [[one.probability_M for one in judge_draws(family, draws, bench, seed)] for bench in benches]
        fitted: dict[int, np.ndarray] = {}
        for name, score in SCORING.items():
            means = [
                np.mean([score(probability_M[draw], truth_M) for probability_M, truth_M in zip(judged, truths, strict=True)])
                for draw in range(len(draws))
            ]
            best = int(np.argmax(means))
            if best not in fitted:
                pipeline = fit_pipeline(family, draws[best], inner.features, inner.y_N, recipe)
                fitted[best] = defect_probability(pipeline, outer.features)
            lowest = min(probability_M[best][truth_M == 1].min() for probability_M, truth_M in zip(judged, truths, strict=True))
            found[f"{family} {name}"] = fitted[best], float(lowest)
    return found


def judge_seed(source: Source, seed: int, jobs: int) -> list[dict[str, Any]]:
    """Return one entry a family and scoring: figures of one seed, over the pool of its outer folds."""
    folds = search_folds(source.y_N, source.part_N, SETTINGS.outer_folds, seed)
    tasks = [(source, training_N, judged_M, seed) for training_N, judged_M in folds]
    results = run_all(judge_outer_fold, tasks, jobs=jobs, title=f"seed {seed}", unit="fold")
    defect_N, entries = source.y_N == 1, []
    for key in results[0]:
        probability_N, threshold_N = np.empty(len(source.y_N)), np.empty(len(source.y_N))
        for (_, judged_M), result in zip(folds, results, strict=True):
            probability_N[judged_M], threshold_N[judged_M] = result[key]
        abnormal_N = probability_N >= threshold_N
        family, scoring = key.split()
        entries.append(
            {
                "seed": seed,
                "family": family,
                "scoring": scoring,
                "fpr_at_zero_missed": fpr_at_zero_missed(source.y_N, probability_N),
                "auroc": image_auroc(source.y_N, probability_N),
                "fpr": float(abnormal_N[~defect_N].mean()),
                "fnr": float((~abnormal_N[defect_N]).mean()),
            }
        )
    return entries


def kinds(source: Source) -> dict[str, Source]:
    """Return the images of each kind: file names without their numbers, e.g. paper_a of images/paper_a_007.png."""
    names = np.array([re.sub(r"_?\d+$", "", Path(path).stem) for path in source.facts["path"]])
    return {str(name): source.take(np.flatnonzero(names == name)) for name in np.unique(names)}


def measure(tables: dict[str, Path], each: Sequence[str], jobs: int) -> None:
    """Judge every table at every seed and write the result after each; whatever is there already is kept.

    Raises ZeromissError when that was measured with other settings.
    """
    sources = {name: read_source(read_table(path, schema_version=schemas.METRIC_TABLE)) for name, path in tables.items()}
    groups = {name: {"group": None, "source": source} for name, source in sources.items()}
    for name in each:
        groups |= {kind: {"group": name, "source": source} for kind, source in kinds(sources[name]).items()}
    facts = {
        "families": list(FAMILIES), "scorings": list(SCORING), "seeds": list(SEEDS), "draws": DRAWS,
        "outer_folds": SETTINGS.outer_folds, "folds": SETTINGS.folds,
    }  # fmt: skip
    result = read_result() if RESULT.exists() else {**facts, "data": {}}
    if any(result.get(key) != value for key, value in facts.items()):
        raise ZeromissError(f"{RESULT} was measured with other settings: delete it to measure anew")
    for name, entry in groups.items():
        source = entry["source"]
        n_defects = int(source.y_N.sum())
        counts = {"group": entry["group"], "n_normals": len(source.y_N) - n_defects, "n_defects": n_defects}
        kept = result["data"].setdefault(name, {**counts, "seconds": 0.0, "runs": []})
        for seed in SEEDS:
            if any(run["seed"] == seed for run in kept["runs"]):
                continue
            start = time.perf_counter()
            kept["runs"] += judge_seed(source, seed, jobs)
            kept["seconds"] += time.perf_counter() - start
            write_json(RESULT, {key: value for key, value in result.items() if key != "schema_version"}, schema_version=SCHEMA_VERSION)


def main() -> None:
    """Measure the tables named and write the page."""
    parser = argparse.ArgumentParser(description="Compare families and aims of the search on outer folds.")
    parser.add_argument("tables", nargs="*", metavar="NAME=TABLE")
    parser.add_argument("--each", nargs="*", default=[], metavar="NAME", help="also each kind of image of this table by itself")
    parser.add_argument("--jobs", type=int, default=-1)
    options = parser.parse_args()
    tables = {name: Path(path) for name, path in (text.split("=", 1) for text in options.tables)}
    measure(tables, options.each, options.jobs)
    with atomic_path(PAGE) as temporary:
        temporary.write_text(page(read_result()), encoding="utf-8")


if __name__ == "__main__":
    main()
