"""One check: the verdicts of the last days against what the model in charge was chosen on."""

from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.dataset as ds

from zeromiss.errors import ZeromissError
from zeromiss.inspection.judgements import DEFECT, last_judgements
from zeromiss.inspection.ledger import read
from zeromiss.inspection.verdict import ABNORMAL, NORMAL
from zeromiss.monitoring.alarm import fpr_limit, reasons
from zeromiss.monitoring.drift import Drift, compare, mean_distance
from zeromiss.monitoring.rates import rates
from zeromiss.monitoring.watched import Watched
from zeromiss.stage_params import MonitorParams

SCHEMA_VERSION = 1
FILE = "monitor.json"
_WINDOWS = 8  # that the course over time shows


def check(product: str, params: MonitorParams, watched: Watched, *, verdicts: Path, judgements: Path, seed: int) -> dict[str, Any]:
    """Return what monitor.json holds; `reasons` is empty where nothing calls for retraining.

    Raises ZeromissError where the model in charge has judged nothing yet.
    """
    rows = read(verdicts, only=ds.field("model_version") == watched.version).to_pandas() if any(verdicts.glob("day=*/part-*")) else pd.DataFrame()
    if rows.empty:
        raise ZeromissError(f"version {watched.version} of {product} has judged no images yet: inspect some with zeromiss inspect {product} PATH")
    said = last_judgements(judgements)
    until = date.fromisoformat(rows["day"].max())
    window = _last(rows, until, params.days)
    good = _good(window, watched, said, params.most)
    drift, why = _drift(good, watched, params, seed)
    missed = sorted(one for one in rows.loc[rows["verdict"] == NORMAL, "sha256"] if said.get(one) == DEFECT)
    now = dict(zip(window["sha256"], window["verdict"], strict=True))
    found, strict = rates(now, said), rates(now, said, confidence=1.0 - 2.0 * params.false_alarm)
    return {
        "product": product, "version": watched.version, "at": datetime.now(UTC).isoformat(timespec="seconds"), "days": params.days,
        "since": str(_start(until, params.days)), "until": str(until), "images": len(window),
        "drift": None if drift is None else _told(drift, watched, len(good)), "no_drift_because": why, "false_alarm": params.false_alarm,
        "abnormal": asdict(found.abnormal), "judged_alarms": found.judged_alarms, "fpr": None if found.fpr is None else asdict(found.fpr),
        "expected_fpr": watched.expected_fpr, "expected_from": watched.expected_from, "fpr_limit": fpr_limit(watched.expected_fpr, params.fpr_rise),
        "missed": missed, "course": _course(rows, until, watched, said, params),
        "reasons": list(reasons(drift, strict, expected_fpr=watched.expected_fpr, missed=len(missed), params=params)),
    }  # fmt: skip


def _start(until: date, days: int) -> date:
    """Return the first of so many days."""
    return until - timedelta(days=days - 1)


def _last(rows: pd.DataFrame, until: date, days: int) -> pd.DataFrame:
    """Return the rows of the days up to `until`."""
    return rows[(rows["day"] >= str(_start(until, days))) & (rows["day"] <= str(until))]


def _good(window: pd.DataFrame, watched: Watched, said: dict[str, str], most: int) -> pd.DataFrame:
    """Return the metrics of the newest images that nobody called a defect."""
    known = window["sha256"].map(said.get) == DEFECT
    return window.loc[~known, list(watched.normals.columns)].tail(most)


def _drift(good: pd.DataFrame, watched: Watched, params: MonitorParams, seed: int) -> tuple[Drift | None, str]:
    """Return the drift, or None and why none can be told."""
    if len(good) < params.least:
        return None, f"{len(good)} images are too few to tell a drift by: monitor.least is {params.least}"
    return compare(watched.normals.to_numpy(), good.to_numpy(), permutations=params.permutations, false_alarm=params.false_alarm, seed=seed), ""


def _told(drift: Drift, watched: Watched, images: int) -> dict[str, Any]:
    """Return a drift as plain values, the metrics in order, the most different first."""
    columns = list(watched.normals.columns)
    metrics = [
        {"metric": columns[f], "ks": float(drift.ks_F[f]), "p": float(drift.p_F[f]), "corrected_p": float(drift.corrected_F[f]), "psi": float(drift.psi_F[f])}
        for f in drift.worst
    ]
    whole = {name: getattr(drift, name) for name in ("p", "mean", "mean_limit", "psi", "psi_limit")}
    return whole | {"images": images, "table_images": len(watched.normals), "metrics": metrics}


def _course(rows: pd.DataFrame, until: date, watched: Watched, said: dict[str, str], params: MonitorParams) -> list[dict[str, Any]]:
    """Return the last windows, the oldest first: images, abnormal ones, mean distance (None of too few images)."""
    course = []
    for back in reversed(range(_WINDOWS)):
        end = until - timedelta(days=back * params.days)
        window = _last(rows, end, params.days)
        good = _good(window, watched, said, params.most)
        mean = mean_distance(watched.normals.to_numpy(), good.to_numpy()) if len(good) >= params.least else None
        if len(window):
            abnormal = int((window["verdict"] == ABNORMAL).sum())
            course.append({"since": str(_start(end, params.days)), "until": str(end), "images": len(window), "abnormal": abnormal, "mean": mean})
    return course
