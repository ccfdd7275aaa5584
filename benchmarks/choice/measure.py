"""How far the false-positive rate moves when the table is drawn anew: today's choice of the winner against the one before, paired.

Each resample takes four in five parts of each class of a metric table, without replacement. On it every way of choosing goes through nested
cross-validation on the same outer folds; the threshold comes from the inner part. `python -m benchmarks.choice.measure TABLE --name NAME`.
"""

import argparse
import io
from collections import Counter
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from scipy.stats import loguniform, wilcoxon
from sklearn.metrics import roc_auc_score

from zeromiss.files import read_json, write_json
from zeromiss.selection.families import FAMILY, Family
from zeromiss.selection.folds import search_folds
from zeromiss.selection.protocol import judge_fold
from zeromiss.selection.source import Source, read_source
from zeromiss.stage_params import SelectionParams

RESULT = Path(__file__).with_name("measured.json")
SCHEMA_VERSION = 1
RESAMPLES, SHARE, OUTER = 20, 0.8, 2
BEFORE = ("et", "lightgbm", "lr", "lda")  # a part of the families, so that the study takes minutes
FIGURES = ("fpr", "fnr", "auroc", "pg5")
SETTINGS: dict[str, Any] = {"draws": 4, "trees": 30, "folds": 3, "jobs": 1}
WAYS: dict[str, dict[str, Any]] = {
    "before": {"families": BEFORE, "scoring": "accuracy"},  # the paper's: winner by accuracy at the lowest defect score
    "new": {"families": (*BEFORE, "nnlr", "vote"), "scoring": "partial_auc"},
    "candidates": {"families": (*BEFORE, "nnlr", "vote"), "scoring": "accuracy"},  # the new candidates, the paper's rule
    "linear": {"families": ("lr", "lda", "nnlr", "vote"), "scoring": "partial_auc"},
}
NEW_BOOSTER = FAMILY["lightgbm"]


def old_logistic_space(trees: int) -> list[dict[str, Any]]:
    """Return the wide space that the logistic regression had before."""
    ridge = {"solver": ["newton-cholesky"], "l1_ratio": [0.0], "C": loguniform(1e-3, 1e3)}
    return [ridge, {"solver": ["liblinear"], "l1_ratio": [1.0], "C": loguniform(1e-2, 5)}]


def old_booster_space(trees: int) -> dict[str, Any]:
    """Return LightGBM's space without constraints, as it was before."""
    return NEW_BOOSTER.space(trees) | {"monotone": [False]}


OLD = {
    "lr": Family(build=FAMILY["lr"].build, space=old_logistic_space),
    "lightgbm": Family(build=FAMILY["lightgbm"].build, space=old_booster_space),
}


def resample(source: Source, seed: int) -> Source:
    """Return the images of a share of the parts of each class, in their order."""
    random = np.random.default_rng(seed)
    kept: list[str] = []
    for label in (0, 1):
        parts = np.unique(source.part_N[source.y_N == label].astype(str))
        kept += random.permutation(parts)[: round(SHARE * len(parts))].tolist()
    return source.take(np.flatnonzero(np.isin(source.part_N.astype(str), kept)))


def judge_way(source: Source, way: str, seed: int) -> dict[str, Any]:
    """Return one way's figures over the outer folds of one resample: means of FPR, FNR, AUROC, PG5, and the winners."""
    params = SelectionParams(**SETTINGS, **WAYS[way])
    rows, winners = [], []
    with patch.dict(FAMILY, OLD if way == "before" else {}), redirect_stderr(io.StringIO()):
        for fold in search_folds(source.y_N, source.part_N, OUTER, seed):
            judged = judge_fold(source, fold, params, seed)
            y_M, score_M = source.y_N[fold[1]], np.asarray(judged["scores"])
            lowest = np.sort(score_M[y_M == 1])[int(0.05 * y_M.sum())]
            figures = judged["figures"]
            rows.append((figures["fpr"], figures["fnr"], roc_auc_score(y_M, score_M), float(np.mean(score_M[y_M == 0] < lowest))))
            winners.append(judged["winner"])
    return dict(zip(FIGURES, map(float, np.mean(rows, axis=0)), strict=True)) | {"winners": winners}


def summary(found: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return, by way, mean and standard deviation of each figure, the paired differences to `before`, and the winners.

    A way is summed up over the resamples that it was judged on, two or more.
    """
    said: dict[str, Any] = {}
    for way in WAYS:
        own = [each for each in found if way in each and "before" in each]
        if len(own) < 2:
            continue
        entry: dict[str, Any] = {"resamples": len(own)}
        for name in FIGURES:
            value, less = (np.array([each[way][name] - base * each["before"][name] for each in own]) for base in (0, 1))
            chance = float(wilcoxon(less).pvalue) if less.any() else 1.0
            entry[name] = {"mean": float(value.mean()), "std": float(value.std(ddof=1)), "less_before": float(less.mean()), "p_value": chance}
        entry["fpr_lower_in"] = sum(each[way]["fpr"] < each["before"]["fpr"] for each in own)
        entry["winners"] = dict(Counter(winner for each in own for winner in each[way]["winners"]).most_common())
        said[way] = entry
    return said


def main() -> None:
    """Read the arguments, judge the resamples asked for, and write or print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="a product's table.parquet")
    parser.add_argument("--name", required=True, help="under which the figures are kept")
    parser.add_argument("--resamples", type=int, nargs=2, default=(0, RESAMPLES), metavar=("FIRST", "END"))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=tuple(WAYS))
    parser.add_argument("--results", type=Path, default=RESULT)
    given = parser.parse_args()
    source = read_source(pd.read_parquet(given.table))
    for seed in range(*given.resamples):
        drawn = resample(source, seed)
        judged = {way: judge_way(drawn, way, seed) for way in given.ways}
        print(seed, {way: (round(each["fpr"], 3), round(each["fnr"], 4), each["winners"]) for way, each in judged.items()}, flush=True)
        kept = read_json(given.results, schema_version=SCHEMA_VERSION) if given.results.is_file() else {"sets": {}}
        entry = kept["sets"].setdefault(given.name, {"normals": int((source.y_N == 0).sum()), "defects": int(source.y_N.sum()), "resamples": {}})
        entry["resamples"].setdefault(str(seed), {}).update(judged)
        entry["summary"] = summary(list(entry["resamples"].values()))
        settings = {"share": SHARE, "outer_folds": OUTER, **SETTINGS, "ways": {way: {**own, "families": list(own["families"])} for way, own in WAYS.items()}}
        write_json(given.results, {"settings": settings, "sets": kept["sets"]}, schema_version=SCHEMA_VERSION)


if __name__ == "__main__":
    main()
