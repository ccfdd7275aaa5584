"""The search over twelve families and their leave-one-outs, against scikit-learn's own on the same draws.

348 images (174 of each class, as in paper 1) with 120 columns, drawn here: skewed, positive, correlated, about
0.9 AUROC. 500 draws a family (160 for neighbours, which is its whole space) on 5 folds; at most 80 trees, the
default; SMOTE has nothing to do. Both sides keep two processes busy, with one thread each, and preprocess inside
every fold.
"""

import os
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.model_selection import LeaveOneOut, RandomizedSearchCV, cross_val_predict
from sklearn.pipeline import Pipeline
from tqdm import tqdm

from benchmarks.measure import Figure
from zeromiss import stage_params
from zeromiss.parallel import run_all
from zeromiss.selection.draws import draw_parameters
from zeromiss.selection.families import FAMILY
from zeromiss.selection.fit import ReadyFold, Recipe, prepare_fold
from zeromiss.selection.folds import Fold, part_folds, search_folds
from zeromiss.selection.leave_one_out import Pool, leave_parts_out
from zeromiss.selection.preprocess import build_preprocessing
from zeromiss.selection.scoring import STANDARD
from zeromiss.selection.search import Candidate, best_draws, judge_batch, search

FAMILIES = tuple(family for family in stage_params.FAMILIES if family != "wmw")  # those of the paper
IMAGES, COLUMNS, DRAWS, TREES, FOLDS, SEED, JOBS = 348, 120, 500, 80, 5, 0, 2
MEASURED = 40  # draws a family that scikit-learn's search is measured on, 20 before ours and 20 after
RACING = 0.5
RECIPE = Recipe(correlation=0.95, smote_neighbours=None, seed=SEED)


@dataclass(frozen=True, kw_only=True)
class Ours:
    """One search of ours with what followed it; seconds of the wall clock."""

    candidates: list[Candidate]
    best: dict[str, Candidate]
    search_seconds: float
    pools: dict[str, Pool]
    leave_out_seconds: float

    @property
    def seconds(self) -> float:
        """Search and leave-one-outs."""
        return self.search_seconds + self.leave_out_seconds


def run() -> list[Figure]:
    """Measure ours whole, raced and exact, between the two halves of theirs; print seconds by family."""
    os.environ["PYTHONWARNINGS"] = "ignore"  # of scikit-learn's search, in the processes it starts
    warnings.simplefilter("ignore")
    X_NF, y_N = drawn_table(SEED)
    part_N = np.arange(IMAGES).astype(str)
    folds = search_folds(y_N, part_N, FOLDS, SEED)
    draws = {family: draw_parameters(FAMILY[family].space(TREES), DRAWS, SEED) for family in FAMILIES}
    their_search(X_NF, y_N, folds, {family: drawn[:1] for family, drawn in draws.items()})  # starts the processes
    early = their_search(X_NF, y_N, folds, {family: drawn[: MEASURED // 2] for family, drawn in draws.items()})
    raced = ours(X_NF, y_N, folds, part_folds(y_N, part_N), racing=RACING)
    late = their_search(X_NF, y_N, folds, {family: drawn[MEASURED // 2 : MEASURED] for family, drawn in draws.items()})
    left_out, probability = their_leave_one_out(X_NF, y_N, {family: raced.best[family].params for family in FAMILIES})
    exact = ours(X_NF, y_N, folds, part_folds(y_N, part_N), racing=1.0)
    halves = [{family: half[family][0] * len(draws[family]) / (MEASURED // 2) for family in FAMILIES} for half in (early, late)]
    scores = {family: early[family][1] | late[family][1] for family in FAMILIES}
    _print_seconds(raced, exact, halves, left_out)
    ready = [prepare_fold(X_NF, y_N, fold, RECIPE) for fold in folds]
    return [
        *_speed(raced, exact, [sum(half.values()) for half in halves], sum(left_out.values())),
        _agreement(ready, draws, scores),
        _probabilities(raced.pools, probability),
        *_accuracy(raced, exact, scores),
    ]


def drawn_table(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features (N, F) and labels (N,): twelve hidden causes shared by the columns, defects of varied severity."""
    random = np.random.default_rng(seed)
    y_N = np.repeat([0, 1], IMAGES // 2)
    severity_N = random.gamma(2.0, 0.5, size=IMAGES) * y_N
    causes = random.normal(size=(IMAGES, 12))
    weights = random.normal(size=(12, COLUMNS)) * (random.random((12, COLUMNS)) < 0.3)
    noise_NF = random.normal(size=(IMAGES, COLUMNS))
    reach_F = 0.6 * np.clip(random.normal(0.5, 0.4, size=COLUMNS), 0.0, None)
    return np.exp(0.6 * (causes @ weights / 2 + noise_NF / 2 + severity_N[:, None] * reach_F)), y_N


def ours(X_NF: np.ndarray, y_N: np.ndarray, folds: Sequence[Fold], left_out: Sequence[Fold], *, racing: float) -> Ours:
    """Search and leave one out as the stage does, timed from the raw table."""
    start = time.perf_counter()
    ready = [prepare_fold(X_NF, y_N, fold, RECIPE) for fold in folds]
    candidates = search(ready, families=FAMILIES, draws=DRAWS, trees=TREES, seed=SEED, jobs=JOBS, racing=racing)
    best = best_draws(candidates)
    found = time.perf_counter()
    chosen = {family: candidate.params for family, candidate in best.items()}
    pools = leave_parts_out(X_NF, y_N, left_out, chosen=chosen, recipe=RECIPE, jobs=JOBS)
    return Ours(
        candidates=candidates,
        best=best,
        search_seconds=found - start,
        pools=pools,
        leave_out_seconds=time.perf_counter() - found,
    )


def their_search(
    X_NF: np.ndarray, y_N: np.ndarray, folds: Sequence[Fold], draws: Mapping[str, Sequence[dict[str, Any]]]
) -> dict[str, tuple[float, dict[str, list[float]]]]:
    """Return each family's seconds in RandomizedSearchCV over the given draws, and every draw's accuracy on each fold."""
    found = {}
    for family in tqdm(FAMILIES, desc="scikit-learn's search", unit="family"):
        space = [{name: [value] for name, value in _their_names(family, params).items()} for params in draws[family]]
        searcher = RandomizedSearchCV(
            their_pipeline(family), space, n_iter=len(space), scoring=_accuracy_at_half, cv=folds, n_jobs=JOBS, refit=False, random_state=SEED
        )
        start = time.perf_counter()
        searcher.fit(X_NF, y_N)
        seconds = time.perf_counter() - start
        rows = [[float(searcher.cv_results_[f"split{fold}_test_score"][row]) for fold in range(len(folds))] for row in range(len(space))]
        found[family] = (seconds, {_text(params): row for params, row in zip(searcher.cv_results_["params"], rows, strict=True)})
    return found


def their_leave_one_out(
    X_NF: np.ndarray, y_N: np.ndarray, chosen: Mapping[str, dict[str, Any]]
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Return each family's seconds in cross_val_predict over all images, and the probabilities it gave."""
    seconds, probability = {}, {}
    for family in tqdm(FAMILIES, desc="scikit-learn's leave-one-out", unit="family"):
        pipeline = their_pipeline(family).set_params(**_their_names(family, chosen[family]))
        start = time.perf_counter()
        probability[family] = cross_val_predict(pipeline, X_NF, y_N, cv=LeaveOneOut(), method="predict_proba", n_jobs=JOBS)[:, 1]
        seconds[family] = time.perf_counter() - start
    return seconds, probability


def their_pipeline(family: str) -> Pipeline:
    """Return our preprocessing and the family's classifier, with the settings that every draw of ours shares."""
    given = draw_parameters(FAMILY[family].space(TREES), 1, SEED)[0] if family == "ada" else {}  # AdaBoost is built around a tree
    return Pipeline([*build_preprocessing(RECIPE.correlation).steps, ("classifier", FAMILY[family].build(given, SEED))])


def _their_names(family: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters under the names that the pipeline knows them by."""
    tree = ("max_depth", "max_features", "min_samples_leaf") if family == "ada" else ()
    return {f"classifier__{'estimator__' if name in tree else ''}{name}": value for name, value in params.items()}


def _accuracy_at_half(pipeline: ClassifierMixin, X_MF: np.ndarray, y_M: np.ndarray) -> float:
    """Return accuracy by our rule: abnormal at 0.5 or above, where `predict` takes a tie for normal."""
    return float(np.mean((pipeline.predict_proba(X_MF)[:, 1] >= STANDARD) == (y_M == 1)))


def _text(params: Mapping[str, Any]) -> str:
    return str(sorted(params.items()))


def _speed(raced: Ours, exact: Ours, searches: Sequence[float], leave_outs: float) -> list[Figure]:
    """Return how many times as fast each search of ours is, and the seconds of the default one."""
    theirs = [seconds + leave_outs for seconds in searches]
    middle = float(np.mean(theirs))
    note = (
        f"{{}}; theirs {middle:.0f} s: searches scaled from {MEASURED} draws a family to {DRAWS} (neighbours: 160) "
        f"{np.mean(searches):.0f} s, leave-one-outs in full {leave_outs:.0f} s; spread: the halves measured before and after ours"
    )
    figures = []
    for name, side in ((f"racing {RACING:g}, the default", raced), ("racing off, the same best draws as without dropping", exact)):
        seconds = f"ours {side.seconds:.0f} s in full: search {side.search_seconds:.0f} s, leave-one-outs {side.leave_out_seconds:.0f} s"
        figures.append(
            Figure(
                what=f"12 families, 500 draws, 5 folds, 12 leave-one-outs; {name}",
                against="RandomizedSearchCV(n_jobs=2) and cross_val_predict(LeaveOneOut(), n_jobs=2)",
                target=">= 5 x",
                value=middle / side.seconds,
                unit="x",
                spread=(min(theirs) / side.seconds, max(theirs) / side.seconds),
                met=middle >= 5 * side.seconds,
                note=note.format(seconds),
            )
        )
    minutes = raced.seconds / 60
    return [*figures, Figure(what="the same, ours with the default racing", target="< 12 min", value=minutes, unit="min", met=minutes < 12)]


def _agreement(ready: Sequence[ReadyFold], draws: Mapping[str, Sequence[dict[str, Any]]], scores: Mapping[str, Mapping[str, list[float]]]) -> Figure:
    """Return the greatest difference between our accuracy and theirs on one fold, over the measured draws."""
    tasks = [(family, draws[family][:MEASURED], fold, SEED) for family in FAMILIES for fold in ready]
    results = run_all(judge_batch, tasks, jobs=JOBS, title="the same draws", unit="batch")
    worst = 0.0
    for number, (family, drawn, _, _) in enumerate(tasks):
        for params, (accuracy, _, error) in zip(drawn, results[number], strict=True):
            theirs = scores[family][_text(_their_names(family, params))][number % len(ready)]
            worst = max(worst, 1.0 if accuracy is None or error else abs(accuracy - theirs))
    return Figure(
        what="accuracy of a draw on a fold, greatest difference",
        against="the same draws in RandomizedSearchCV",
        target="0",
        value=worst,
        met=worst < 1e-12,
        note=f"{len(FAMILIES)} families x {MEASURED} draws x {len(ready)} folds",
    )


def _probabilities(pools: Mapping[str, Pool], theirs: Mapping[str, np.ndarray]) -> Figure:
    """Return the greatest difference of a left-out image's probability."""
    worst = max(float(np.abs(pools[family].probability_N - theirs[family]).max()) for family in FAMILIES)
    return Figure(
        what="probability of a left-out image, greatest difference",
        against="cross_val_predict with the same parameters",
        target="<= 1e-6",
        value=worst,
        met=worst <= 1e-6,
        note=f"{len(FAMILIES)} families x {IMAGES} images",
    )


def _accuracy(raced: Ours, exact: Ours, scores: Mapping[str, Mapping[str, list[float]]]) -> list[Figure]:
    """Return how many families find an accuracy as good as theirs, and what racing costs against all draws in full."""
    theirs = {family: max(float(np.mean(row)) for row in scores[family].values()) for family in FAMILIES}
    good = sum(raced.best[family].mean_score >= theirs[family] - 1e-12 for family in FAMILIES)
    lost = {family: exact.best[family].mean_score - raced.best[family].mean_score for family in FAMILIES}
    same = sum(abs(value) < 1e-12 for value in lost.values())
    judged = sum(candidate.folds for candidate in raced.candidates) / (FOLDS * len(raced.candidates))
    kept = sum(candidate.folds for candidate in exact.candidates) / (FOLDS * len(exact.candidates))
    return [
        Figure(
            what="families whose best mean accuracy is at least theirs; racing 0.5",
            against=f"the best of their {MEASURED} measured draws, all of which are among ours",
            target="12",
            value=good,
            met=good == len(FAMILIES),
            note=", ".join(f"{family} {raced.best[family].mean_score:.4f} ({theirs[family]:.4f})" for family in FAMILIES),
        ),
        Figure(
            what="best accuracy given up by racing, the most of any family",
            against="the same search with racing off",
            value=100 * max(lost.values()),
            unit="percentage points",
            note=f"{same} of {len(lost)} families find an equally good draw; {100 * judged:.0f} % of the fits of a full search are done, "
            f"{100 * kept:.0f} % with racing off",
        ),
    ]


def _print_seconds(raced: Ours, exact: Ours, halves: Sequence[Mapping[str, float]], left_out: Mapping[str, float]) -> None:
    """Print seconds by family: ours are seconds of fitting shared by two processes, theirs of the wall clock."""
    print("seconds by family: search ours raced, ours exact, theirs; leave-one-out ours, theirs")
    for family in FAMILIES:
        spent = [sum(candidate.seconds for candidate in side.candidates if candidate.family == family) / JOBS for side in (raced, exact)]
        theirs = float(np.mean([half[family] for half in halves]))
        leave = raced.pools[family].seconds / JOBS
        print(f"{family:9s} {spent[0]:7.1f} {spent[1]:7.1f} {theirs:7.1f}   {leave:6.1f} {left_out[family]:6.1f}")
