"""Which families to choose among: nested cross-validation of several sets of families on the same outer folds, from one search.

    python -m benchmarks.choice.families solar_cell TABLE --seed 0      adds one seed's figures to families.json
    python -m benchmarks.choice.families                                prints means and standard deviations over seeds

Each family's best draw is chosen inside an outer fold's inner part, as the `quick` profile searches. What it says of the inner part (by
search folds) and of the outer images is kept, so that every set of families, with the vote over its best three, is judged on
the same numbers: its winner, the lowest score of an inner defect as threshold, and the outer images against it.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from zeromiss import schemas
from zeromiss.files import read_json, write_json
from zeromiss.params import load_product
from zeromiss.selection.families import FAMILY
from zeromiss.selection.fit import fit_pipeline
from zeromiss.selection.folds import search_folds
from zeromiss.selection.honest import outer_folds
from zeromiss.selection.probability import defect_probability
from zeromiss.selection.scoring import partial_auc, zfn_accuracy
from zeromiss.selection.select import VOTERS, recipe_of, select
from zeromiss.selection.source import Source, read_source
from zeromiss.selection.vote import mean_logit
from zeromiss.stage_params import VOTE, SelectionParams
from zeromiss.tables import read_table

RESULT = Path(__file__).with_name("families.json")
SCHEMA_VERSION = 1
Score = Callable[[np.ndarray, np.ndarray], float]
ALL = tuple(name for name in FAMILY if name != VOTE)
SEVEN = ("rf", "et", "lightgbm", "xgboost", "lr", "nnlr", "knn")
SETS: dict[str, tuple[Sequence[str], Score]] = {  # the families, and what names the winner on the inner part's pool
    "all, accuracy": (ALL, zfn_accuracy),
    "all, partial_auc": (ALL, partial_auc),
    "all but nb and dt, accuracy": (tuple(name for name in ALL if name not in ("nb", "dt")), zfn_accuracy),
    "seven, accuracy": (SEVEN, zfn_accuracy),
    "seven without knn, accuracy": (SEVEN[:-1], zfn_accuracy),
    "linear, partial_auc": (("lr", "lda", "nnlr"), partial_auc),
}
FIGURES = ("auroc", "fpr", "fnr", "pg5")


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What each family says in one outer fold. Axes: N inner images, M outer ones; labels 1 = defect."""

    y_N: np.ndarray
    inner_N: dict[str, np.ndarray]
    y_M: np.ndarray
    outer_M: dict[str, np.ndarray]


def judge_families(source: Source, params: SelectionParams, seed: int) -> list[Judged]:
    """Return what every family of `params` says in each outer fold."""
    found = []
    for _, _, (training, judged) in outer_folds(source, params, seed):
        inner, outer = source.take(training), source.take(judged)
        chosen = select(inner, params, seed, pool="folds")
        folds = search_folds(inner.y_N, inner.part_N, params.folds, seed)
        recipe = recipe_of(inner, params, seed, folds)
        names = [name for name in chosen.judgements if name != VOTE]
        with threadpool_limits(1):
            fitted = {name: fit_pipeline(name, chosen.best[name].params, inner.features, inner.y_N, recipe, inner.part_N) for name in names}
        found.append(
            Judged(
                y_N=inner.y_N,
                inner_N={name: chosen.pools[name].probability_N for name in names},
                y_M=outer.y_N,
                outer_M={name: defect_probability(one, outer.features) for name, one in fitted.items()},
            )
        )
    return found


def figures(folds: Sequence[Judged], families: Sequence[str], score: Score) -> dict[str, float]:
    """Return the means over outer folds of AUROC, FPR and FNR at the transferred threshold, and PG5, of one set of families."""
    rows = [_figures(fold, *_winner(fold, families, score)) for fold in folds]
    return dict(zip(FIGURES, np.mean(rows, axis=0).tolist(), strict=True))


def _winner(fold: Judged, families: Sequence[str], score: Score) -> tuple[np.ndarray, np.ndarray]:
    """Return what the winner says of the inner and the outer images: the best family, or the vote over the best where that is better."""
    names = sorted((name for name in families if name in fold.outer_M), key=lambda name: -score(fold.inner_N[name], fold.y_N))
    voters = names[:VOTERS]
    vote = tuple(mean_logit([said[name] for name in voters]) for said in (fold.inner_N, fold.outer_M))
    best = fold.inner_N[names[0]], fold.outer_M[names[0]]
    return vote if score(vote[0], fold.y_N) > score(best[0], fold.y_N) else best


def _figures(fold: Judged, inner_N: np.ndarray, outer_M: np.ndarray) -> tuple[float, float, float, float]:
    """Return AUROC, FPR, FNR and PG5 of one outer fold."""
    threshold = inner_N[fold.y_N == 1].min()
    good, bad = outer_M[fold.y_M == 0], np.sort(outer_M[fold.y_M == 1])
    return (
        float(roc_auc_score(fold.y_M, outer_M)),
        float(np.mean(good >= threshold)),
        float(np.mean(bad < threshold)),
        float(np.mean(good < bad[int(0.05 * len(bad))])),
    )


def main() -> None:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("product", nargs="?")
    parser.add_argument("table", nargs="?", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    kept = read_json(RESULT, schema_version=SCHEMA_VERSION)["products"] if RESULT.exists() else {}
    if options.table is not None:
        product = load_product(Path("params.yaml"), options.product)
        params = SelectionParams.model_validate(product.selection.model_dump() | {"families": ALL})
        source = read_source(read_table(options.table, schema_version=schemas.METRIC_TABLE), product.selection.detectors)
        folds = judge_families(source, params, options.seed)
        kept.setdefault(options.product, {})[str(options.seed)] = {name: figures(folds, *one) for name, one in SETS.items()}
        write_json(RESULT, {"products": kept}, schema_version=SCHEMA_VERSION)
    for product_name, seeds in kept.items():
        for name in SETS:
            values = np.array([[seed[name][key] for key in FIGURES] for seed in seeds.values()])
            spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(FIGURES))
            print(product_name, len(values), name, *(f"{key} {mean:.3f} ± {one:.3f}" for key, mean, one in zip(FIGURES, values.mean(axis=0), spread, strict=True)))


if __name__ == "__main__":
    main()
