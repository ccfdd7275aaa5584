"""How often the monitor calls an unchanged line drifted, and how early it sees a light that dims.

    python -m benchmarks.drift.measure TABLE LINE

TABLE: a folder of drawn circuit boards (train/good, test/<defect>), LINE: good boards drawn with another seed. A cheap
stand-in judges them: differences from the mean board, and logistic regression with a threshold that one in ten good
boards of the table passes. Verdicts, judgements and checks go through the monitor's own code; the calendar is made up.
"""

import argparse
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
from joblib import Parallel, delayed
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from zeromiss.files import write_json
from zeromiss.inspection.judgements import judge
from zeromiss.inspection.ledger import append
from zeromiss.monitoring.check import check
from zeromiss.monitoring.watched import Watched
from zeromiss.stage_params import MonitorParams

SCHEMA_VERSION = 1
RESULT = Path(__file__).with_name("measured.json")
WEEKS, BOARDS, STEP, DIM_WEEKS = 50, 40, 0.01, 24  # boards a week; share of the light that each week takes; weeks of a dimming light
SHOWN = 400  # boards that tell the share called abnormal
AT_ONCE = 4  # processes
FPR = 0.1  # of the stand-in on its table: at the lowest defect score, the cheap stand-in would call nearly all boards abnormal
LEARNED = 150  # good boards behind the mean board
FIRST = datetime(2031, 1, 6, 8, tzinfo=UTC)
QUANTILES = (0.5, 0.75, 0.9, 0.99, 0.999)


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """The mean board (H, W, 3), classifier, threshold, and what it is watched with."""

    mean_HWC: np.ndarray
    classifier: Pipeline
    threshold: float
    watched: Watched


def main() -> None:
    """Measure and write the result."""
    options = argparse.ArgumentParser()
    options.add_argument("table", type=Path)
    options.add_argument("line", type=Path)
    given = options.parse_args()
    model, line = fit(given.table), [read(path) for path in sorted(given.line.glob("*.png"))[: WEEKS * BOARDS]]
    params = MonitorParams()
    result: dict[str, Any] = {
        "boards_a_week": BOARDS, "table_normals": len(model.watched.normals), "metrics": model.watched.normals.shape[1], "false_alarm": params.false_alarm,
        "permutations": params.permutations, "expected_fpr": model.watched.expected_fpr, "step": STEP, "line_fpr": share(model, line[:SHOWN], 1.0), "line_boards": SHOWN,
    }  # fmt: skip
    result |= undrifted(model, line, params)
    result |= dimming(model, line, params, result["line_fpr"])
    write_json(RESULT, result, schema_version=SCHEMA_VERSION)


def fit(table: Path) -> StandIn:
    """Learn the mean board, classifier and threshold."""
    good, bad = [read(path) for path in sorted((table / "train/good").glob("*.png"))], [read(path) for path in sorted((table / "test").glob("*/*.png"))]
    mean_HWC = np.mean(good[:LEARNED], axis=0)
    normals, defects = (pd.DataFrame([measure(one, mean_HWC) for one in group]) for group in (good[LEARNED:], bad))
    features, labels = pd.concat((normals, defects)).to_numpy(), np.repeat((0, 1), (len(normals), len(defects)))
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, class_weight="balanced"))
    scores = cross_val_predict(classifier, features, labels, cv=5, method="predict_proba")[:, 1]
    threshold = float(np.quantile(scores[labels == 0], 1.0 - FPR))
    watched = Watched(version="1", normals=normals, expected_fpr=float((scores[labels == 0] >= threshold).mean()), expected_from="out of fold")
    return StandIn(mean_HWC=mean_HWC, classifier=classifier.fit(features, labels), threshold=threshold, watched=watched)


def undrifted(model: StandIn, line: list[np.ndarray], params: MonitorParams) -> dict[str, Any]:
    """Return what weeks of boards of their own, under an unchanged light, came to."""
    found = weeks(model, line, params, gains=[1.0] * (len(line) // BOARDS))
    ps = [one["drift"]["p"] for one in found]
    return {"weeks": len(found), "alarms": sum(bool(one["reasons"]) for one in found), "p_up_to_0.05": sum(p <= 0.05 for p in ps), "lowest_p": min(ps)}


def dimming(model: StandIn, line: list[np.ndarray], params: MonitorParams, usual: float) -> dict[str, Any]:
    """Return when a dimming light is told, and when it doubles the share of the line's good boards that are called abnormal."""
    gains = [1.0 - STEP * (number + 1) for number in range(DIM_WEEKS)]
    found = weeks(model, line, params, gains=gains)
    course = [
        {"gain": gain, "p": one["drift"]["p"], "reasons": one["reasons"], "observed_fpr": one["fpr"] and one["fpr"]["share"], "fpr": share(model, line[:SHOWN], gain)}
        for gain, one in zip(gains, found, strict=True)
    ]
    first = {what: next((number for number, one in enumerate(course, 1) if test(one)), None) for what, test in (
        ("alarm_in_week", lambda one: one["reasons"]), ("fpr_doubled_in_week", lambda one: one["fpr"] >= 2 * usual),
        ("observed_fpr_doubled_in_week", lambda one: (one["observed_fpr"] or 0.0) >= 2 * usual),
    )}  # fmt: skip
    return first | {"course": course}


def weeks(model: StandIn, line: list[np.ndarray], params: MonitorParams, *, gains: list[float]) -> list[dict[str, Any]]:
    """Inspect each week's boards, let a person judge all alarms, check; return what each check found."""
    parts = np.array_split(np.arange(len(gains)), AT_ONCE)
    done = Parallel(n_jobs=AT_ONCE)(delayed(some_weeks)(model, [line[n * BOARDS : (n + 1) * BOARDS] for n in part], params, gains=[gains[n] for n in part], first=int(part[0])) for part in parts)
    return [one for part in done for one in part]


def some_weeks(model: StandIn, boards: list[list[np.ndarray]], params: MonitorParams, *, gains: list[float], first: int) -> list[dict[str, Any]]:
    """Do what `weeks` does, for weeks that follow each other from `first` on."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (gain, some) in enumerate(zip(gains, boards, strict=True), first):
            rows = judged(model, some, gain, number)
            append(Path(folder) / "verdicts", pa.Table.from_pandas(rows, preserve_index=False), key=("sha256", "model_version"))
            for digest in rows.loc[rows["verdict"] == "abnormal", "sha256"]:
                judge(Path(folder) / "judgements", digest, "normal", by="benchmark")
            found.append(check("boards", params, model.watched, verdicts=Path(folder) / "verdicts", judgements=Path(folder) / "judgements", seed=number))
            print(number + 1, gain, found[-1]["drift"]["p"], found[-1]["reasons"], flush=True)
    return found


def judged(model: StandIn, boards: list[np.ndarray], gain: float, week: int) -> pd.DataFrame:
    """Return a week's rows."""
    metrics = pd.DataFrame([measure(dim(one, gain), model.mean_HWC) for one in boards])
    scores = model.classifier.predict_proba(metrics.to_numpy())[:, 1]
    facts = {
        "sha256": [f"{week:04d}{place:060d}" for place in range(len(boards))], "time": pd.to_datetime([FIRST + timedelta(weeks=week)] * len(boards), utc=True),
        "model_version": "1", "verdict": np.where(scores >= model.threshold, "abnormal", "normal"),
    }  # fmt: skip
    return pd.DataFrame(facts).join(metrics)


def share(model: StandIn, boards: list[np.ndarray], gain: float) -> float:
    """Return the share of good boards that is called abnormal under a light of that gain."""
    metrics = pd.DataFrame([measure(dim(one, gain), model.mean_HWC) for one in boards])
    return float((model.classifier.predict_proba(metrics.to_numpy())[:, 1] >= model.threshold).mean())


def dim(board_HWC: np.ndarray, gain: float) -> np.ndarray:
    """Return a board as a camera sees it whose light has that share of its brightness."""
    return np.rint(board_HWC * gain)


def read(path: Path) -> np.ndarray:
    """Return a board as float32 (H, W, 3) in [0, 255]."""
    return cv2.imread(str(path), cv2.IMREAD_COLOR).astype(np.float32)


def measure(board_HWC: np.ndarray, mean_HWC: np.ndarray) -> dict[str, float]:
    """Return how a board differs from the mean one: pixels, blurred patches, channels."""
    grey = np.abs(board_HWC - mean_HWC).mean(axis=2)
    levels = {"pixel": grey, "patch4": cv2.blur(grey, (4, 4)), "patch8": cv2.blur(grey, (8, 8))}
    found = {f"stand.{name}.{quantile}": float(np.quantile(level, quantile)) for name, level in levels.items() for quantile in QUANTILES}
    found |= {f"stand.{name}.max": float(level.max()) for name, level in levels.items()}
    return found | {f"stand.image.mse{channel}": float(((board_HWC - mean_HWC)[..., channel] ** 2).mean()) for channel in range(3)}


if __name__ == "__main__":
    main()
