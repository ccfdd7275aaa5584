"""The honest protocol fold by fold: every variant is judged on the same outer folds, from the same seeds.

As `zeromiss.selection.honest`: preprocessing, search, winner and threshold see the inner part only. Here each
outer fold is a task of its own, kept as soon as it is done, so that a run that was stopped goes on.
"""

import io
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeromiss.ablation.digest import digest
from zeromiss.errors import ZeromissError
from zeromiss.files import read_json, write_json
from zeromiss.metrics.ranking import fpr_at_zero_missed, image_auroc
from zeromiss.parallel import run_each
from zeromiss.params import SelectionParams
from zeromiss.selection.fit import defect_probability
from zeromiss.selection.folds import Fold, search_folds
from zeromiss.selection.judge import rates_at
from zeromiss.selection.select import select
from zeromiss.selection.source import Source

SCHEMA_VERSION = 1
FEWEST_REPEATS = 2  # of the outer folds: one leaves the interval to so few folds that everything is noise
Judged = dict[str, Any]  # winner, threshold, train_share and figures (by name, fractions in [0, 1]) of an outer fold


@dataclass(frozen=True, kw_only=True)
class Task:
    """A variant's table and how its classifier is chosen."""

    variant: str
    source: Source
    params: SelectionParams
    seed: int
    file: Path  # where its folds are kept


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

    Figures: fpr_at_zero_missed and image_auroc rank the outer part alone; fpr, fnr and accuracy are at the inner
    part's zero-false-negative threshold. Raises ZeromissError as `select` does.
    """
    training, judged = fold
    with redirect_stderr(io.StringIO()):  # the bars of the searches within: one bar counts the folds
        inner = select(source.take(training), params.model_copy(update={"jobs": 1}), seed, pool="folds")
    outer = source.take(judged)
    probability_M = defect_probability(inner.classifier, outer.features)
    threshold = inner.judgements[inner.winner].zfn_threshold
    rates = rates_at(outer.y_N, probability_M, threshold)
    return {
        "winner": inner.winner,
        "threshold": threshold,
        "train_share": len(training) / len(source.y_N),
        "figures": {
            "fpr_at_zero_missed": fpr_at_zero_missed(outer.y_N, probability_M),
            "image_auroc": image_auroc(outer.y_N, probability_M),
            "fpr": rates.fpr,
            "fnr": rates.fnr,
            "accuracy": rates.accuracy,
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
    return sum(name not in kept for name in outer_folds(task.source, task.params, task.seed))


def judge_all(tasks: Sequence[Task], *, jobs: int) -> tuple[dict[str, dict[str, Judged]], dict[str, str]]:
    """Return the outer folds, by variant and name, of the tasks that could be judged, and why the others could not.

    Folds kept from before are not judged again; the others are, over `jobs` processes, and kept one by one.
    """
    kept = {task.variant: read_kept(task) for task in tasks}
    folds = {task.variant: outer_folds(task.source, task.params, task.seed) for task in tasks}
    missing = [(task, name) for task in tasks for name in folds[task.variant] if name not in kept[task.variant]]
    arguments = [(task.source, folds[task.variant][name], task.params, task.seed) for task, name in missing]
    results = run_each(judge_or_refuse, arguments, jobs=jobs, title="ablation, outer folds", unit="fold") if missing else ()
    keys, refused = {task.variant: _key(task) for task in tasks}, {}
    for (task, name), judged in zip(missing, results, strict=True):
        if isinstance(judged, str):
            refused.setdefault(task.variant, judged)
            continue
        kept[task.variant][name] = judged
        write_json(task.file, {"key": keys[task.variant], "folds": kept[task.variant]}, schema_version=SCHEMA_VERSION)
    whole = [task.variant for task in tasks if task.variant not in refused]
    return {variant: {name: kept[variant][name] for name in folds[variant]} for variant in whole}, refused


def judge_or_refuse(source: Source, fold: Fold, params: SelectionParams, seed: int) -> Judged | str:
    """Return what `judge_fold` does, or the sentence of its refusal, so that other variants go on."""
    try:
        return judge_fold(source, fold, params, seed)
    except ZeromissError as refusal:
        return str(refusal)


def _key(task: Task) -> str:
    """Return what a task's folds depend on: table, parameters, seed and the code that judges."""
    settings = task.params.model_dump(exclude={"jobs", "outer_repeats"})
    return digest(settings, task.seed, task.source.facts, task.source.features, code=("selection", "ablation/protocol.py"))
