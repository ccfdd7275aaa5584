"""The honest protocol fold by fold: every system is judged on the same outer folds, from the same seeds.

As `zeromiss.selection.honest`: preprocessing, search, winner and threshold see the inner part only. Here each
outer fold is a task of its own, kept as soon as it is done, so that a run that was stopped goes on.
"""

import io
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zeromiss.errors import ZeromissError
from zeromiss.files import read_json, write_json
from zeromiss.metrics.ranking import fpr_at_zero_missed, image_auroc
from zeromiss.parallel import run_each
from zeromiss.selection.digest import digest
from zeromiss.selection.probability import defect_probability
from zeromiss.selection.folds import Fold, search_folds
from zeromiss.selection.judge import rates_at
from zeromiss.selection.select import select
from zeromiss.selection.source import Source
from zeromiss.stage_params import SelectionParams

SCHEMA_VERSION = 1
FEWEST_REPEATS = 2  # of the outer folds: one leaves the interval to so few folds that everything is noise
IN_TABLE = "table"  # where the whole table chooses and is judged: no outer fold, and optimistic
Judged = dict[str, Any]  # winner, threshold, train_share, scores and figures (by name, fractions in [0, 1]) of an outer fold


@dataclass(frozen=True, kw_only=True)
class Task:
    """A system's table and how its classifier is chosen."""

    system: str
    source: Source
    params: SelectionParams
    seed: int
    file: Path  # where its folds are kept
    in_table: bool = False  # judge it on its own table too


def repeats(params: SelectionParams) -> int:
    """Return how often the outer folds are drawn."""
    return max(FEWEST_REPEATS, params.outer_repeats)


def outer_folds(source: Source, params: SelectionParams, seed: int) -> dict[str, Fold]:
    """Return the outer folds by name, `<repeat>-<fold>`: those of the honest protocol, the same for equal labels and parts."""
    return {
        f"{repeat}-{number}": fold
        for repeat in range(repeats(params))
        for number, fold in enumerate(search_folds(source.y_N, source.part_N, params.outer_folds, seed + 1 + repeat))
    }


def judge_fold(source: Source, fold: Fold, params: SelectionParams, seed: int) -> Judged:
    """Choose classifier and threshold on the fold's training part and judge its other part.

    Figures as of `judge_scores`, scores the probabilities of a defect. Raises ZeromissError as `select` does.
    """
    training, judged = fold
    with redirect_stderr(io.StringIO()):  # the bars of the searches within: one bar counts the folds
        inner = select(source.take(training), params.model_copy(update={"jobs": 1}), seed, pool="folds")
    outer = source.take(judged)
    probability_M = defect_probability(inner.classifier, outer.features)
    threshold = inner.judgements[inner.winner].zfn_threshold
    return {"winner": inner.winner, "train_share": len(training) / len(source.y_N)} | judge_scores(outer.y_N, probability_M, threshold)


def judge_scores(y_M: np.ndarray, score_M: np.ndarray, threshold: float) -> Judged:
    """Return threshold, scores and figures of an outer part whose threshold was set elsewhere; scores higher = more abnormal.

    Figures: fpr_at_zero_missed and image_auroc rank the part alone; fpr, fnr and accuracy are at the threshold.
    """
    rates = rates_at(y_M, score_M, threshold)
    return {
        "threshold": threshold,
        "scores": [float(score) for score in score_M],
        "figures": {
            "fpr_at_zero_missed": fpr_at_zero_missed(y_M, score_M),
            "image_auroc": image_auroc(y_M, score_M),
            "fpr": rates.fpr,
            "fnr": rates.fnr,
            "accuracy": rates.accuracy,
        },
    }


def judge_table(source: Source, params: SelectionParams, seed: int) -> Judged:
    """Choose the classifier on the whole table and judge it by the very pool of out-of-fold probabilities it was chosen on.

    Figures: image_auroc, average_precision, fpr_at_zero_missed, and the accuracy at 0.5 (`std_accuracy`) and at the
    lowest defect (`zfn_accuracy`). All are optimistic. Raises ZeromissError as `select` does.
    """
    with redirect_stderr(io.StringIO()):
        found = select(source, params.model_copy(update={"jobs": 1}), seed, pool="folds")
    judgement = found.judgements[found.winner]
    return {
        "winner": found.winner,
        "threshold": judgement.zfn_threshold,
        "figures": {
            "image_auroc": judgement.image_auroc,
            "average_precision": judgement.average_precision,
            "fpr_at_zero_missed": judgement.zfn.fpr,
            "std_accuracy": judgement.std.accuracy,
            "zfn_accuracy": judgement.zfn.accuracy,
        },
    }


def read_kept(task: Task) -> dict[str, Judged]:
    """Return the outer folds judged before on the same table, in the same way, by the same code; none otherwise."""
    if not task.file.is_file():
        return {}
    try:
        content = read_json(task.file, schema_version=SCHEMA_VERSION)
    except ZeromissError:  # of another program, or damaged: judged anew
        return {}
    return content["folds"] if content.get("key") == _key(task) else {}


def count_missing(task: Task) -> int:
    """Return how many outer folds of a task are not kept from before."""
    kept = read_kept(task)
    return sum(name not in kept for name in _wanted(task))


def judge_all(tasks: Sequence[Task], *, jobs: int, title: str) -> tuple[dict[str, dict[str, Judged]], dict[str, str]]:
    """Return the outer folds, by system and name, of the tasks that could be judged, and why the others could not.

    A task that is judged in its table has one more entry, IN_TABLE. Folds kept from before are not judged again; the
    others are, over `jobs` processes, and kept one by one. title: of the progress bar.
    """
    kept = {task.system: read_kept(task) for task in tasks}
    folds = {task.system: _wanted(task) for task in tasks}
    missing = [(task, name) for task in tasks for name in folds[task.system] if name not in kept[task.system]]
    arguments = [(task.source, folds[task.system][name], task.params, task.seed) for task, name in missing]
    results = run_each(judge_or_refuse, arguments, jobs=jobs, title=title, unit="fold") if missing else ()
    keys, refused = {task.system: _key(task) for task in tasks}, {}
    for (task, name), judged in zip(missing, results, strict=True):
        if isinstance(judged, str):
            refused.setdefault(task.system, judged)
            continue
        kept[task.system][name] = judged
        write_json(task.file, {"key": keys[task.system], "folds": kept[task.system]}, schema_version=SCHEMA_VERSION)
    whole = [task.system for task in tasks if task.system not in refused]
    return {system: {name: kept[system][name] for name in folds[system]} for system in whole}, refused


def judge_or_refuse(source: Source, fold: Fold | None, params: SelectionParams, seed: int) -> Judged | str:
    """Return what `judge_fold` does (None: `judge_table`), or the sentence of its refusal, so that other systems go on."""
    try:
        return judge_table(source, params, seed) if fold is None else judge_fold(source, fold, params, seed)
    except ZeromissError as refusal:
        return str(refusal)


def _wanted(task: Task) -> dict[str, Fold | None]:
    """Return the outer folds of a task by name, and None for its own table where that is asked for."""
    folds: dict[str, Fold | None] = {IN_TABLE: None} if task.in_table else {}
    return outer_folds(task.source, task.params, task.seed) | folds


def _key(task: Task) -> str:
    """Return what a task's folds depend on: table, parameters, seed and the code that judges."""
    settings = task.params.model_dump(exclude={"jobs", "outer_repeats"})
    return digest(settings, task.seed, task.source.facts, task.source.features, code=("selection",))
