"""An ablation from parameters to its result: which variants act, what they cost, how they compare."""

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from zeromiss import schemas
from zeromiss.ablation.compare import judge
from zeromiss.ablation.derive import check_same_images, folder, is_made, make_table
from zeromiss.ablation.estimate import fold_seconds, making_seconds
from zeromiss.ablation.variants import Variant, kept_columns, variants, varied, why_not
from zeromiss.errors import ZeromissError
from zeromiss.metrics.table import FILE
from zeromiss.params import Product
from zeromiss.selection.honest_rates import CONFIDENCE, fold_interval
from zeromiss.selection.paired import HIGHER_IS_BETTER, Difference, paired_difference
from zeromiss.selection.protocol import Judged, Task, count_missing, judge_all, repeats
from zeromiss.selection.source import FACTS, Source, read_source
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace

FULL = "full"
_FOLDS_FILE = "folds.json"


@dataclass(kw_only=True)
class Bench:
    """What the variants of one ablation share, and what was found so far."""

    product: Product
    workspace: Workspace
    full: pd.DataFrame  # the product's metric table
    source: Source
    judged: dict[str, dict[str, Judged]] = field(default_factory=dict)  # by variant, then outer fold
    columns: dict[str, int] = field(default_factory=dict)  # features of each judged variant
    left_out: dict[str, str] = field(default_factory=dict)  # variant: why

    def task(self, variant: Variant | None, source: Source) -> Task:
        """Return the outer folds of a variant's table as a task; None is the full system."""
        name, product = (FULL, self.product) if variant is None else (variant.name, varied(self.product, variant))
        file = folder(self.workspace, self.product.name, name) / _FOLDS_FILE
        return Task(system=name, source=source, params=product.selection, seed=self.product.seed, file=file)

    def judge(self, tasks: Sequence[Task]) -> None:
        """Judge tasks, and note those that were refused."""
        judged, refused = judge_all(tasks, jobs=self.product.selection.jobs, title="ablation, outer folds")
        self.judged |= judged
        self.left_out |= refused
        self.columns |= {task.system: task.source.features.shape[1] for task in tasks if task.system in judged}


def ablate(product: Product, workspace: Workspace, wanted: Sequence[Variant], *, hours: float) -> dict[str, Any]:
    """Return the content of ablation.json for the wanted variants.

    hours: a variant that is estimated to take longer is left out, with the estimate. Raises ZeromissError without a
    metric table, when none of the variants acts, or when the full system itself can not be judged in that time.
    """
    bench = open_bench(product, workspace)
    acting = _acting(bench, wanted)
    fitting = _fitting(bench, acting, hours)
    whole = bench.task(None, bench.source)
    bench.judge([whole, *(bench.task(variant, _narrowed(bench, variant)) for variant in fitting if not variant.stages)])
    if FULL in bench.left_out:
        raise ZeromissError(f"the full system of {product.name} can not be judged: {bench.left_out[FULL]}")
    for variant in fitting:
        if variant.stages:
            _judge_made(bench, variant)
    asked = {variant.name for variant in wanted}
    return result(bench, [variant for variant in wanted if variant.name in bench.judged]) | {
        "not_asked": [variant.name for variant in variants(product) if variant.name not in asked]
    }


def open_bench(product: Product, workspace: Workspace) -> Bench:
    """Read the product's metric table; raises ZeromissError when it is missing or nothing can be learned from it."""
    table = read_table(workspace.metrics(product.name) / FILE, schema_version=schemas.METRIC_TABLE)
    return Bench(product=product, workspace=workspace, full=table, source=read_source(table, product.detectors))


def _acting(bench: Bench, wanted: Sequence[Variant]) -> list[Variant]:
    """Return the variants that change something; the others are noted with their reason."""
    columns, y_N = list(bench.source.features.columns), bench.source.y_N
    reasons = {variant.name: why_not(variant, bench.product, columns, y_N) for variant in wanted}
    bench.left_out |= {name: reason for name, reason in reasons.items() if reason}
    acting = [variant for variant in wanted if not reasons[variant.name]]
    if not acting:
        raise ZeromissError("; ".join(bench.left_out.values()) + ": there is nothing to compare")
    return acting


def _fitting(bench: Bench, acting: Sequence[Variant], hours: float) -> list[Variant]:
    """Return the variants that fit into the time, and tell what is to come on stderr."""
    folds = repeats(bench.product.selection) * bench.product.selection.outer_folds
    tasks = {FULL: bench.task(None, bench.source)} | {v.name: bench.task(v, _narrowed(bench, v)) for v in acting if not v.stages}
    missing = {name: count_missing(task) for name, task in tasks.items()} | {v.name: folds for v in acting if v.stages}
    print(f"ablation of {bench.product.name}: timing a small share of the work", file=sys.stderr)
    each = fold_seconds(bench.product, bench.source) if any(missing.values()) else 0.0
    seconds = {name: count * each for name, count in missing.items()}
    fitting = []
    for variant in acting:
        try:
            seconds[variant.name] += _making(bench, variant)
        except ZeromissError as refusal:
            bench.left_out[variant.name] = str(refusal)
            continue
        if seconds[variant.name] <= 3600 * hours:
            fitting.append(variant)
        else:
            bench.left_out[variant.name] = _too_long(variant.name, seconds[variant.name], hours)
    if seconds[FULL] > 3600 * hours:
        raise ZeromissError(_too_long(f"the full system of {bench.product.name}", seconds[FULL], hours) + "; or lower selection.draws")
    if not fitting:
        raise ZeromissError("; ".join(bench.left_out.values()) + ": there is nothing to compare")
    _announce(bench.product, folds, {name: seconds[name] for name in (FULL, *(variant.name for variant in fitting))})
    return fitting


def _making(bench: Bench, variant: Variant) -> float:
    """Return the seconds that the variant's own metric table will take."""
    if not variant.stages or is_made(bench.product, variant, bench.workspace):
        return 0.0
    mask = bench.product.manifest.mask if bench.product.metrics.fixed_position else 0
    return making_seconds(bench.product, variant, len(bench.full) + mask, bench.workspace)


def _too_long(name: str, seconds: float, hours: float) -> str:
    return f"{name} would take about {seconds / 3600:.1f} hours on this machine, as busy as it is now; {hours:g} are allowed: raise --hours"


def _announce(product: Product, folds: int, seconds: dict[str, float]) -> None:
    """Tell on stderr what will be done and how long it will take at most."""
    minutes = ", ".join(f"{name} {value / 60:.1f}" for name, value in seconds.items())
    total = sum(seconds.values()) / 60
    print(
        f"ablation of {product.name}: {len(seconds)} systems on the same {folds} outer folds, about {total:.0f} minutes at most "
        f"({minutes}); stopped, it goes on from there",
        file=sys.stderr,
    )


def _narrowed(bench: Bench, variant: Variant) -> Source:
    """Return the product's table with the variant's columns alone."""
    return read_source(bench.full[[*FACTS, *kept_columns(variant, list(bench.source.features.columns))]])


def _judge_made(bench: Bench, variant: Variant) -> None:
    """Make a variant's own table and judge it; what its stages refuse is noted, and other variants go on."""
    print(f"ablation: {variant.name}: {variant.change}", file=sys.stderr)
    try:
        with redirect_stdout(sys.stderr):  # what stages say: the result alone is for stdout
            table = make_table(bench.product, variant, bench.workspace)
        check_same_images(table, bench.full, variant.name)
    except ZeromissError as refusal:
        bench.left_out[variant.name] = str(refusal)
        return
    bench.judge([bench.task(variant, read_source(table))])


def result(bench: Bench, shown: Sequence[Variant]) -> dict[str, Any]:
    """Return what was found: settings, the full system's figures, every variant's differences, and what was left out."""
    params, full = bench.product.selection, bench.judged[FULL]
    share = float(np.mean([fold["train_share"] for fold in full.values()]))
    lucky = _differences(bench, "other_seed", share) if "other_seed" in bench.judged else {}
    rows = [_row(bench, variant, share, lucky if variant.trained and variant.name != "other_seed" else {}) for variant in shown]
    return {
        "product": bench.product.name,
        "n_normals": int((bench.source.y_N == 0).sum()),
        "n_defects": int((bench.source.y_N == 1).sum()),
        "settings": {
            "families": list(params.families),
            "draws": params.draws,
            "trees": params.trees,
            "folds": params.folds,
            "outer_folds": params.outer_folds,
            "outer_repeats": repeats(params),
            "seed": bench.product.seed,
            "size": bench.product.size.plain,
            "codes": bench.product.vqgan.codes,
            "steps": bench.product.vqgan.steps,
            "mode": bench.product.metrics.mode,
        },
        "confidence": CONFIDENCE,
        "intervals": len(rows) * len(HIGHER_IS_BETTER),
        "full": _figures(full, share) | {"columns": bench.columns[FULL]},
        "variants": rows,
        "left_out": [{"variant": name, "reason": reason} for name, reason in bench.left_out.items()],
    }


def _row(bench: Bench, variant: Variant, share: float, lucky: dict[str, Difference]) -> dict[str, Any]:
    """Return one variant's entry."""
    differences = _differences(bench, variant.name, share)
    return {
        "variant": variant.name,
        "change": variant.change,
        "trained": variant.trained,
        "columns": bench.columns[variant.name],
        **_figures(bench.judged[variant.name], share),
        "differences": {
            name: asdict(difference) | {"verdict": judge(name, difference, lucky.get(name))} for name, difference in differences.items()
        },
    }


def _differences(bench: Bench, variant: str, share: float) -> dict[str, Difference]:
    """Return a variant's paired differences to the full system, by figure."""
    mine, full = bench.judged[variant], bench.judged[FULL]
    return {
        name: paired_difference([mine[fold]["figures"][name] for fold in full], [full[fold]["figures"][name] for fold in full], share)
        for name in HIGHER_IS_BETTER
    }


def _figures(folds: dict[str, Judged], share: float) -> dict[str, Any]:
    """Return a system's figures over its outer folds, which families won how often, and the folds themselves."""
    return {
        "figures": {name: asdict(fold_interval([fold["figures"][name] for fold in folds.values()], share)) for name in HIGHER_IS_BETTER},
        "winners": dict(Counter(fold["winner"] for fold in folds.values()).most_common()),
        "folds": {name: fold["figures"] for name, fold in folds.items()},
    }
