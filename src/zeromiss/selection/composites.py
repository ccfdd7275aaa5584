"""Every detector alone and the composites over several, judged on the same outer folds by the honest protocol.

A detector alone is its native score, with the lowest defect of the inner part as threshold; a composite is a choice of
columns of the metric table that goes through the whole selection in the inner part. Axis N: images.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from zeromiss.errors import ZeromissError
from zeromiss.metrics.ranking import average_precision, fpr_at_zero_missed, image_auroc
from zeromiss.selection.folds import Fold
from zeromiss.selection.honest_rates import fold_interval, rate_interval
from zeromiss.selection.paired import HIGHER_IS_BETTER, paired_difference
from zeromiss.selection.protocol import IN_TABLE, Judged, Task, judge_all, judge_scores, outer_folds
from zeromiss.selection.scoring import zfn_accuracy
from zeromiss.selection.source import FACTS, Source, read_source
from zeromiss.stage_params import SelectionParams

Kind = Literal["native", "columns", "stack"]
SCORES = "score_stack"  # of the detectors' native scores, one column each
SHARES = ("fpr", "fnr", "accuracy")  # figures that are shares of counted images; the others rank a fold as a whole


@dataclass(frozen=True, kw_only=True)
class System:
    """A detector alone, by its native score or its own columns, or a stack of several detectors' columns."""

    name: str  # native.<detector>, columns.<detector>, stack, score_stack, fast_stack or first_stack
    kind: Kind
    detectors: tuple[str, ...]
    seconds_per_image: float  # of all its detectors, one after the other on one thread


def systems(seconds: Mapping[str, float], speed: float) -> list[System]:
    """Return the systems to be judged, of detectors in their order with the seconds each takes for an image.

    Every detector twice, by its native score and by its own columns; then, of two detectors or more, the stack of all
    columns, the stack of the native scores alone, and two stacks for speed (`fast_members`): around the cheapest
    detector, and around the first. One of a single member, or of the same members as another stack, is left out.
    """
    single = [
        System(name=f"{kind}.{name}", kind=kind, detectors=(name,), seconds_per_image=seconds[name])
        for kind in ("native", "columns")
        for name in seconds
    ]
    cheapest = min(seconds, key=lambda name: seconds[name])
    groups = {
        "stack": tuple(seconds),
        "fast_stack": fast_members(seconds, cheapest, speed),
        "first_stack": fast_members(seconds, next(iter(seconds)), speed),
    }
    stacks: list[System] = []
    for name, members in groups.items():
        if len(members) > 1 and all(set(members) != set(stack.detectors) for stack in stacks):
            stacks.append(System(name=name, kind="stack", detectors=members, seconds_per_image=sum(seconds[member] for member in members)))
    scores = [replace(stack, name=SCORES) for stack in stacks[:1]]
    return single + stacks[:1] + scores + stacks[1:]


def fast_members(seconds: Mapping[str, float], base: str, speed: float) -> tuple[str, ...]:
    """Return `base` and the cheapest other detectors as long as all together take at most `speed` times as long as it.

    seconds: of each detector for an image. Speed alone decides, no image is looked at. In the order of `seconds`.
    """
    members, spent = {base}, seconds[base]
    for name in sorted(seconds, key=lambda name: seconds[name]):
        if name not in members and spent + seconds[name] <= speed * seconds[base]:
            members.add(name)
            spent += seconds[name]
    return tuple(name for name in seconds if name in members)


def best_accuracy(y_N: np.ndarray, score_N: np.ndarray) -> float:
    """Return the highest accuracy in [0, 1] that any threshold on these scores reaches: chosen on the labels it is judged by."""
    order = np.argsort(score_N)
    defect_N, sorted_N = np.asarray(y_N)[order] == 1, np.asarray(score_N)[order]
    # threshold just above the first k scores: k normals-so-far right, defects after them right; k may not split equal scores
    right = np.concatenate(([0], np.cumsum(~defect_N))) + defect_N.sum() - np.concatenate(([0], np.cumsum(defect_N)))
    allowed = np.concatenate(([True], sorted_N[1:] != sorted_N[:-1], [True]))
    return float(right[allowed].max() / len(defect_N))


def native_figures(y_N: np.ndarray, score_N: np.ndarray) -> dict[str, float]:
    """Return how a native score does in the table: both accuracies are at thresholds set on these very images."""
    return {
        "image_auroc": image_auroc(y_N, score_N),
        "average_precision": average_precision(y_N, score_N),
        "fpr_at_zero_missed": fpr_at_zero_missed(y_N, score_N),
        "std_accuracy": best_accuracy(y_N, score_N),
        "zfn_accuracy": zfn_accuracy(score_N, y_N),
    }


def judge_native(y_N: np.ndarray, score_N: np.ndarray, folds: Mapping[str, Fold]) -> dict[str, Judged]:
    """Return what `judge_all` does, for a score that needs no classifier: its threshold is the lowest defect of the inner part."""
    found = {}
    for name, (training, judged) in folds.items():
        threshold = float(score_N[training][y_N[training] == 1].min())
        own = {"winner": None, "train_share": len(training) / len(y_N)}
        found[name] = own | judge_scores(y_N[judged], score_N[judged], threshold)
    return found | {IN_TABLE: {"winner": None, "figures": native_figures(y_N, score_N)}}


def judge_systems(
    table: pd.DataFrame, natives: pd.DataFrame, wanted: Sequence[System], params: SelectionParams, *, seed: int, folder: Path
) -> dict[str, Any]:
    """Return every system's figures over the same outer folds, and the stacks' paired differences to each single detector.

    table: the metric table; natives: columns path and one a detector, in the table's order. folder: where finished
    folds are kept. Composites that are refused are left out, with the reason. Raises ZeromissError when the two hold other
    images, or there are too few parts for the outer folds.
    """
    source = read_source(table)
    if list(natives["path"]) != list(table["path"]):
        raise ZeromissError("the native scores are of other images than the metric table: run the metrics stage anew")
    try:
        folds = outer_folds(source, params, seed)
        judged = {
            one.name: judge_native(source.y_N, natives[one.detectors[0]].to_numpy(np.float64), folds) for one in wanted if one.kind == "native"
        }
    except ZeromissError as error:
        raise ZeromissError(f"the comparison's {params.outer_folds} outer folds find too few parts: {error}; or lower selection.outer_folds") from None
    scored = table[list(FACTS)].join(natives[[name for name in natives if name not in FACTS]].add_suffix(".image.native").set_axis(table.index))
    sources = {one.name: read_source(scored if one.name == SCORES else table, one.detectors) for one in wanted if one.kind != "native"}
    tasks = [
        Task(system=name, source=own, params=params, seed=seed, file=folder / name / "folds.json", in_table=True) for name, own in sources.items()
    ]
    chosen, left_out = judge_all(tasks, jobs=params.jobs, title="composites, outer folds")
    judged |= chosen
    shown = [one for one in wanted if one.name in judged]
    return {
        "settings": _settings(source, params, folds, seed),
        "systems": {one.name: _entry(one, judged[one.name], source, folds, sources.get(one.name)) for one in shown},
        "differences": {one.name: _differences(one, shown, judged) for one in shown if one.kind == "stack"},
        "left_out": left_out,
    }


def _settings(source: Source, params: SelectionParams, folds: Mapping[str, Fold], seed: int) -> dict[str, Any]:
    """Return how the systems were judged."""
    return {
        "n_normals": int((source.y_N == 0).sum()),
        "n_defects": int((source.y_N == 1).sum()),
        "outer_folds": params.outer_folds,
        "outer_repeats": len(folds) // params.outer_folds,
        "families": list(params.families),
        "draws": params.draws,
        "most": params.most,
        "folds": params.folds,
        "scoring": params.scoring,
        "seed": seed,
    }


def _entry(one: System, judged: dict[str, Judged], source: Source, folds: Mapping[str, Fold], own: Source | None) -> dict[str, Any]:
    """Return one system's figures: means over outer folds with 95 % intervals, and those of its own table."""
    rows = _rows(judged, source, folds)
    defect_N, abnormal_N = rows["defect"].to_numpy(), rows["abnormal"].to_numpy()
    wrong_N = defect_N != abnormal_N
    counted = {"fpr": (~defect_N, wrong_N), "fnr": (defect_N, wrong_N), "accuracy": (np.ones_like(wrong_N), ~wrong_N)}
    share = _train_share(judged, folds)
    figures = {
        name: rate_interval(rows, *counted[name]) if name in SHARES else fold_interval([judged[fold]["figures"][name] for fold in folds], share)
        for name in HIGHER_IS_BETTER
    }
    winners = Counter(judged[fold]["winner"] for fold in folds if judged[fold]["winner"])
    return {
        "kind": one.kind,
        "detectors": list(one.detectors),
        "columns": 1 if own is None else own.features.shape[1],
        "seconds_per_image": one.seconds_per_image,
        "figures": {name: asdict(interval) for name, interval in figures.items()},
        "missed": int((defect_N & ~abnormal_N).sum()),
        "defects": int(defect_N.sum()),
        "winners": dict(winners.most_common()),
        "in_table": {"winner": judged[IN_TABLE]["winner"]} | judged[IN_TABLE]["figures"],
        "folds": {fold: judged[fold]["figures"] for fold in folds},
    }


def _rows(judged: dict[str, Judged], source: Source, folds: Mapping[str, Fold]) -> pd.DataFrame:
    """Return one row an outer-judged image: repeat, fold, part_id, defect, abnormal."""
    tables = []
    for name, (_, indices) in folds.items():
        repeat, number = name.split("-")
        abnormal_M = np.asarray(judged[name]["scores"]) >= judged[name]["threshold"]
        part_M, defect_M = source.part_N[indices], source.y_N[indices] == 1
        tables.append(pd.DataFrame({"repeat": repeat, "fold": number, "part_id": part_M, "defect": defect_M, "abnormal": abnormal_M}))
    return pd.concat(tables, ignore_index=True)


def _differences(stack: System, shown: Sequence[System], judged: dict[str, dict[str, Judged]]) -> dict[str, dict[str, Any]]:
    """Return the stack's paired differences to every system of one detector, by its name and by figure."""
    mine = {name: fold for name, fold in judged[stack.name].items() if name != IN_TABLE}
    share = _train_share(judged[stack.name], mine)
    found: dict[str, dict[str, Any]] = {}
    for other in shown:
        if other.kind == "stack":
            continue
        theirs = judged[other.name]
        found[other.name] = {}
        for figure, higher in HIGHER_IS_BETTER.items():
            one_F, other_F = ([system[fold]["figures"][figure] for fold in mine] for system in (mine, theirs))
            difference = paired_difference(one_F, other_F, share)
            verdict = "noise" if difference.is_noise else ("better" if (difference.mean > 0) == higher else "worse")
            found[other.name][figure] = asdict(difference) | {"verdict": verdict}
    return found


def _train_share(judged: dict[str, Judged], folds: Mapping[str, Any]) -> float:
    """Return the mean share of images that an outer fold trains on."""
    return float(np.mean([judged[fold]["train_share"] for fold in folds]))
