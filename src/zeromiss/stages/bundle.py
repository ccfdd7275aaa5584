"""Stage `bundle`: all that an inspection needs in one folder, checked against the table, and `summary.json`."""

from pathlib import Path
from typing import Any

import pandas as pd

from zeromiss import schemas
from zeromiss.backbones.load import load_backbone
from zeromiss.files import read_json, write_json
from zeromiss.images import manifest as manifests
from zeromiss.images.reference import alignment_digest
from zeromiss.images.references import NEEDING, Companion, companion_of
from zeromiss.inspection.bundle import CLASSIFIER, MANIFEST, SUMMARY, Contents, ThresholdRecord
from zeromiss.inspection.calibration import CalibrationRecord
from zeromiss.inspection.bundle import fingerprint, pack
from zeromiss.inspection.check import Check, check_against_table, handful
from zeromiss.inspection.inspector import Inspector
from zeromiss.inspection.summary import SCHEMA_VERSION as SUMMARY_SCHEMA
from zeromiss.inspection.summary import (
    DetectionBySize, DetectorFigures, HardestDefects, HonestProtocol, Rates, SizeCurve, Summary, ThresholdFigures, UnseenTypes, check_summary,
)  # fmt: skip
from zeromiss.metrics import table as tables
from zeromiss.metrics.columns import MASKED
from zeromiss.params import Product
from zeromiss.selection import unseen_types
from zeromiss.stages.base import RunLog
from zeromiss.tables import read_table
from zeromiss.threshold import curves
from zeromiss.threshold.price import FILE as HARDEST
from zeromiss.threshold.price import SCHEMA_VERSION as HARDEST_SCHEMA
from zeromiss.workspace import Workspace

TRAINING = "training.json"
CHECKED = 3  # images of each label judged again
_FILES = {  # JSON files of the earlier stages: folder, name and schema version
    "native": ("metrics", tables.NATIVE_FILE, schemas.NATIVE),
    "families": ("selection", "families.json", schemas.SELECTION),
    "features": ("selection", "features.json", schemas.SELECTION),
    "calibration": ("selection", "calibration.json", 1),
    "threshold": ("threshold", "threshold.json", schemas.THRESHOLD),
    "hardest": ("threshold", HARDEST, HARDEST_SCHEMA),
    "curves": ("threshold", curves.FILE, curves.SCHEMA_VERSION),
    "unseen_types": ("selection", unseen_types.FILE, unseen_types.SCHEMA_VERSION),
}


def run(product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any]:
    """Write the bundle and its summary, whole or not at all, and return the summary.

    Raises ZeromissError when an earlier stage's file is missing, or when the packed bundle does not measure
    images of the table as the table holds them, bit for bit.
    """
    found = _read(product.name, workspace)
    table = read_table(workspace.metrics(product.name) / tables.FILE, schema_version=schemas.METRIC_TABLE)
    manifest = read_table(workspace.manifest(product.name) / manifests.FILE, schema_version=manifests.SCHEMA_VERSION)
    contents = _contents(product, workspace, found, manifest)
    summary: dict[str, Any] = {}

    def finish(draft: Path) -> None:
        """Check the draft against the table and put the summary into it."""
        inspector = Inspector.load(draft)
        rows = handful(table, CHECKED)
        check = check_against_table(inspector, rows, features=contents.features, raw=workspace.raw(product.name))
        summary.update(summarise(product.name, found, manifest=manifest, check=check).model_dump(mode="json"))
        write_json(draft / SUMMARY, summary, schema_version=SUMMARY_SCHEMA)

    target = workspace.bundle(product.name)
    pack(target, contents, finish=finish)
    _report(summary, target, log)
    return summary


def summarise(name: str, found: dict[str, dict[str, Any]], *, manifest: pd.DataFrame, check: Check) -> Summary:
    """Return the checked summary; `found` holds the earlier stages' JSON files by the names of `_FILES`."""
    families, native, honest = found["families"], found["native"], found["threshold"].get("honest")
    winner, told = families["families"][families["winner"]], found["curves"]
    matched = told["matched"] or {}
    table = manifest.loc[manifest["split"] == "table", "label"]
    trained = manifest.loc[manifest["split"] == "train", "label"]
    payload = {
        "product": name,
        "n_train_normal": int((trained == "normal").sum()),
        "n_normal": int((table == "normal").sum()),
        "n_defects": int((table == "defect").sum()),
        "detectors": {detector: _only(figures, DetectorFigures) | {"matched": matched.get(detector)} for detector, figures in native["detectors"].items()},
        "composite": {
            "family": families["winner"],
            "image_auroc": winner["image_auroc"],
            "paper": {kind: _only(winner[kind], Rates) for kind in ("std", "zfn")},
            "honest": honest and _only(honest, HonestProtocol),
            "near_duplicates": families.get("near_duplicates"),
            "hardest": _only(found["hardest"], HardestDefects),
            "passed": told["passed"],
            "matched": matched.get("composite"),
            "unseen_types": _only(found["unseen_types"], UnseenTypes),
            "by_size": told["by_size"] and _by_size(told["by_size"]),
            "calibration": {
                "brier": found["calibration"]["brier_raw"],
                "brier_calibrated": found["calibration"]["brier_calibrated"],
                "helps": found["calibration"]["helps"],
            },
        },
        "properties": matched.get("properties"),
        "threshold": _only(found["threshold"], ThresholdFigures),
        "seconds": {
            "train": sum(training["seconds"] for training in found["training"].values()),
            "extract": native["seconds"],
            "select": families["seconds"],
            "inspect_per_image": check.seconds_per_image,
        },
    }
    return check_summary(payload)


def _read(name: str, workspace: Workspace) -> dict[str, dict[str, Any]]:
    """Read the JSON files of the earlier stages; `training` holds each detector's."""
    folders = {"metrics": workspace.metrics(name), "selection": workspace.selection(name), "threshold": workspace.threshold(name)}
    found = {key: read_json(folders[folder] / file, schema_version=version) for key, (folder, file, version) in _FILES.items()}
    training = {detector: read_json(workspace.detector(name, detector) / TRAINING, schema_version=schemas.TRAINING) for detector in found["native"]["detectors"]}
    return found | {"training": training}


def _contents(product: Product, workspace: Workspace, found: dict[str, dict[str, Any]], manifest: pd.DataFrame) -> Contents:
    """Return what is to be packed."""
    name, params, threshold = product.name, product.metrics, found["threshold"]
    align = workspace.alignment(name)
    taught = manifest[(manifest["split"] == "train") & (manifest["label"] == "normal")]
    training = [companion_of(row, workspace.raw(name)) for row in taught.to_dict(orient="records")]
    features = tuple(found["features"]["columns"])
    members = dict.fromkeys(column.split(".")[0] for column in features)
    masked = dict.fromkeys(column.split(".")[0] for column in features if column.endswith(MASKED))
    return Contents(
        product=name,
        size=product.size,
        seed=product.seed,
        metrics=params,
        features=features,
        threshold=ThresholdRecord(value=threshold["value"], rule=threshold["rule"], statement=threshold["statement"]),
        calibration=_calibration(found["calibration"], product.inspection.defect_share),
        fingerprint=fingerprint(load_backbone(params.backbone, params.backbone_path)),
        detectors={detector: workspace.detector(name, detector) for detector in members},
        classifier=workspace.selection(name) / CLASSIFIER,
        masks={detector: workspace.metrics(name) / tables.mask_file(detector) for detector in masked},
        variations={detector: workspace.metrics(name) / tables.variation_file(detector) for detector in members},
        align=align if alignment_digest(align) else None,
        designs=tuple(sorted({one.design for one in training} - {""})),
        references=_references(training) if NEEDING in members else {},
    )


def _references(training: list[Companion]) -> dict[str, Path]:
    """Return the reference of each design whose training images all have the same one; under '' where there are no designs."""
    files: dict[str, set[Path]] = {}
    for one in training:
        if one.reference is not None:
            files.setdefault(one.design, set()).add(one.reference)
    return {design: next(iter(found)) for design, found in sorted(files.items()) if len(found) == 1}


def _calibration(found: dict[str, Any], line_share: float | None) -> CalibrationRecord | None:
    """Return the curve that goes with the bundle, None where the raw score is as good without."""
    if not found["helps"]:
        return None
    curve = {name: tuple(found[name]) for name in ("x", "y")}
    return CalibrationRecord(method=found["method"], **curve, table_share=found["defect_share"], line_share=line_share)


def _by_size(found: dict[str, Any]) -> dict[str, Any]:
    """Return detection by size without each defect's own figures."""
    return _only(found, DetectionBySize) | {"curves": {at: _only(curve, SizeCurve) for at, curve in found["curves"].items()}}


def _only(values: dict[str, Any], record: type) -> dict[str, Any]:
    """Return the values that the record names; one that is missing is refused by the record's own check."""
    return {key: values[key] for key in record.model_fields if key in values}


def _report(summary: dict[str, Any], folder: Path, log: RunLog) -> None:
    """Record the figures and the two JSON files with the run."""
    zfn, honest, threshold = summary["composite"]["paper"]["zfn"], summary["composite"]["honest"] or {}, summary["threshold"]
    log.metrics({f"zfn.{name}": value for name, value in zfn.items()})
    log.metrics({f"honest.{name}.{end}": value for name in ("fnr", "fpr", "accuracy") if honest for end, value in honest[name].items()})
    log.metrics({"threshold": threshold["value"], "inspect_seconds_per_image": summary["seconds"]["inspect_per_image"]})
    log.tags({"family": summary["composite"]["family"], "bound_is": threshold["bound_is"]})
    for name in (MANIFEST, SUMMARY):
        log.artifact(folder / name)
