"""How often the monitor calls an unchanged line drifted, and how early it sees a light that dims.

    python -m benchmarks.drift.measure WORKSPACE PRODUCT BOARDS [--most-weeks 50]

WORKSPACE holds a registered PRODUCT of drawn circuit boards; BOARDS is a folder of good boards drawn with another seed,
of the product's size. Every board is judged by the model in charge, as an inspection does it; only the calendar is
made up: so many boards a week. Unchanged weeks have boards of their own. Then the light loses one step of its
brightness each week, and every board that is called abnormal is judged normal by a person. Writes measured.json.
"""

import argparse
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from zeromiss.errors import ZeromissError
from zeromiss.files import read_json, write_json
from zeromiss.inspection.inspector import Inspector
from zeromiss.inspection.judgements import judge
from zeromiss.inspection.rows import keep, verdict_row, verdict_table
from zeromiss.inspection.verdict import ABNORMAL
from zeromiss.monitoring.check import check
from zeromiss.monitoring.watched import Watched
from zeromiss.params import Product, load_product
from zeromiss.registry.publish import load_inspector
from zeromiss.registry.watched import watched
from zeromiss.workspace import Workspace

SCHEMA_VERSION = 1
RESULT = Path(__file__).with_name("measured.json")
BOARDS, STEP, DIM_WEEKS = 30, 0.01, 12  # boards a week; of the light, lost each week; dimming weeks at most
_FIRST = datetime(2031, 1, 6, 8, tzinfo=UTC)

Rows = list[dict[str, Any]]


def main() -> None:
    """Measure and write the result."""
    options = argparse.ArgumentParser()
    options.add_argument("workspace", type=Path)
    options.add_argument("product")
    options.add_argument("boards", type=Path)
    options.add_argument("--most-weeks", type=int, default=50)
    given = options.parse_args()
    workspace = Workspace(root=given.workspace.resolve())
    product, model = load_product(workspace.params_file, given.product), watched(given.product, workspace)
    inspector = load_inspector(given.product, workspace, version=model.version)
    files = sorted(given.boards.glob("*.png"))
    weeks = [files[start : start + BOARDS] for start in range(0, len(files) - BOARDS + 1, BOARDS)][: given.most_weeks]
    result: dict[str, Any] = {
        "boards_a_week": BOARDS, "table_normals": len(model.normals), "metrics": model.normals.shape[1], "false_alarm": product.monitor.false_alarm,
        "permutations": product.monitor.permutations, "expected_fpr": model.expected_fpr, "step": STEP,
    }  # fmt: skip
    result |= undrifted(product, model, inspector, weeks)
    write_json(RESULT, result, schema_version=SCHEMA_VERSION)
    result |= dimming(product, model, inspector, weeks, result["fpr"])
    write_json(RESULT, result, schema_version=SCHEMA_VERSION)
    print(read_json(RESULT, schema_version=SCHEMA_VERSION))


def undrifted(product: Product, model: Watched, inspector: Inspector, weeks: Sequence[Sequence[Path]]) -> dict[str, Any]:
    """Return what unchanged weeks came to: p-values, alarms, share of the good boards called abnormal."""
    alarms, abnormal, ps = 0, 0, []
    with tempfile.TemporaryDirectory() as folder:
        for number, files in enumerate(weeks):
            found = one_week(product, model, inspector, files, number, gain=1.0, folder=Path(folder))
            alarms, abnormal = alarms + bool(found["reasons"]), abnormal + found["abnormal"]["count"]
            ps.append(found["drift"]["p"])
            print(f"unchanged week {number + 1}: p {found['drift']['p']:.4g}, abnormal {found['abnormal']['count']}", flush=True)
    images = sum(map(len, weeks))
    return {"weeks": len(weeks), "alarms": alarms, "p": ps, "p_up_to_0.05": sum(one <= 0.05 for one in ps), "images": images, "fpr": abnormal / images}


def dimming(product: Product, model: Watched, inspector: Inspector, weeks: Sequence[Sequence[Path]], usual: float) -> dict[str, Any]:
    """Return the course of a dimming light, until twice the usual share is called abnormal.

    The share of a week is taken on its own boards and those of the two weeks after, all as dim.
    """
    course: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(DIM_WEEKS):
            gain = 1.0 - STEP * (number + 1)
            found = one_week(product, model, inspector, weeks[number], number, gain=gain, folder=Path(folder))
            more = [row for extra in (1, 2) for row in judged(inspector, weeks[number + extra], gain=gain, at=_FIRST)]
            images = found["abnormal"]["of"] + len(more)
            share = (found["abnormal"]["count"] + sum(row["verdict"] == ABNORMAL for row in more)) / images
            course.append({"gain": gain, "p": found["drift"]["p"], "reasons": found["reasons"], "fpr": share, "images": images})
            print(course[-1], flush=True)
            if share >= 2 * usual and any(one["reasons"] for one in course):
                break
    alarm = next((number for number, one in enumerate(course, 1) if one["reasons"]), None)
    doubled = next((number for number, one in enumerate(course, 1) if one["fpr"] >= 2 * usual), None)
    return {"course": course, "alarm_in_week": alarm, "fpr_doubled_in_week": doubled}


def one_week(product: Product, model: Watched, inspector: Inspector, files: Sequence[Path], number: int, *, gain: float, folder: Path) -> dict[str, Any]:
    """Inspect a week's boards, let a person judge the alarms, and check."""
    rows = judged(inspector, files, gain=gain, at=_FIRST + timedelta(weeks=number))
    keep(folder / "verdicts", verdict_table(rows, inspector.features))
    for row in rows:
        if row["verdict"] == ABNORMAL:
            judge(folder / "judgements", row["sha256"], "normal", by="benchmark")
    return check(product.name, product.monitor, model, verdicts=folder / "verdicts", judgements=folder / "judgements", seed=product.seed)


def judged(inspector: Inspector, files: Sequence[Path], *, gain: float, at: datetime) -> Rows:
    """Return the rows of boards under a light of that gain."""
    with tempfile.TemporaryDirectory() as folder:
        dimmed = [dim(file, Path(folder) / file.name, gain) for file in files]
        rows = []
        for examined in inspector.examine_many(dimmed):
            if isinstance(examined, ZeromissError):
                raise examined
            rows.append(verdict_row(examined, inspector.features) | {"time": at + timedelta(seconds=len(rows))})
        return rows


def dim(source: Path, target: Path, gain: float) -> Path:
    """Write a board as a camera sees it whose light has that share of its brightness."""
    pixels = cv2.imread(str(source), cv2.IMREAD_COLOR).astype(np.float32)
    cv2.imwrite(str(target), np.rint(pixels * gain).astype(np.uint8))
    return target


if __name__ == "__main__":
    main()
