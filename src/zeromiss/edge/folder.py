"""Writing an exported folder: graphs, classifier, threshold, and the modules that inspect with them."""

import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sklearn.pipeline import Pipeline

from zeromiss.detectors.base import redraws
from zeromiss.edge.graphs import graph_of, score_outputs, write_distances, write_image_graph
from zeromiss.edge.layout import ALIGN, CLASSIFIER, CONFIG, DISTANCES_FILE, GRAPH, MASK, REQUIREMENTS, RUNNER, SCHEMA_VERSION
from zeromiss.edge.shipped import modules
from zeromiss.errors import ZeromissError
from zeromiss.files import sha256_file, write_json
from zeromiss.images.references import NEEDING
from zeromiss.inspection.bundle import MANIFEST, BundleRecord, open_bundle
from zeromiss.inspection.inspector import load_measurer
from zeromiss.inspection.verdict import ModelName
from zeromiss.metrics.mask import load_mask_file
from zeromiss.metrics.measurement import Measures
from zeromiss.selection.store import load_classifier

NEEDS = ("numpy", "scipy", "scikit-learn", "skops", "opencv-python-headless", "pillow", "simplejpeg", "pydantic")
BOOSTERS = ("lightgbm", "xgboost")  # needed beside them by classifiers of theirs
SCRIPT = '''"""Judge images with the exported model in this folder: python inspect_images.py IMAGE..."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from zeromiss.edge.runtime import main  # noqa: E402  the copy beside this file

sys.exit(main(HERE))
'''


def write_folder(draft: Path, bundle: Path, *, model: ModelName, engine: str) -> None:
    """Write the exported form of a bundle into an empty folder; `engine` runs its graphs.

    Raises ZeromissError for a bundle that measures in a way that cannot be exported, naming it, or with detectors whose
    networks cannot, naming those.
    """
    record = open_bundle(bundle)
    stack = load_measurer(bundle, record)
    _refuse(record, any(redraws(member.detector) for member in stack.members))
    write_graphs(draft, stack.members, record)
    for name, file in record.masks().items():
        np.save(draft / name / MASK, load_mask_file(bundle / file).numpy(), allow_pickle=False)
    shutil.copyfile(bundle / CLASSIFIER, draft / CLASSIFIER)
    if record.align:
        shutil.copytree(bundle / ALIGN, draft / ALIGN)
    _write_runner(draft, load_classifier(bundle / CLASSIFIER), engine)
    _write_config(draft, bundle, record, stack.members, model=model, engine=engine)


def _refuse(record: BundleRecord, redrawing: bool) -> None:
    """Raise ZeromissError for parameters under which the exported networks would not measure alike."""
    params, again = record.metrics, f"and run zeromiss run {record.product} again"
    if NEEDING in record.detectors or record.designs:
        what = f"compares images with references (detector {NEEDING})" if NEEDING in record.detectors else "has several designs"
        raise ZeromissError(f"this model of {record.product} {what}, which is not exported: inspect with zeromiss inspect or zeromiss serve")
    if redrawing and params.precision != "fp32":
        raise ZeromissError(
            f"this model of {record.product} measures in {params.precision}, which rounds otherwise than an exported network: its verdicts "
            f"would flip; set metrics.precision to fp32 in params.yaml {again}"
        )
    if redrawing and params.mode != "dense":
        raise ZeromissError(
            f"this model of {record.product} sends every box through the whole network (metrics.mode {params.mode}), which is not exported: "
            f"set it to dense in params.yaml {again}"
        )
    if redrawing and params.tiles is not None:
        raise ZeromissError(f"this model of {record.product} judges in tiles, which is not exported: set metrics.tiles to null in params.yaml {again}")


def write_graphs(draft: Path, members: list[Measures], record: BundleRecord) -> None:
    """Write a graph a detector, and that of the boxes' distances where one redraws."""
    failures = {}
    for member in members:
        name = member.detector.name
        (draft / name).mkdir()
        try:
            write_image_graph(draft / name / GRAPH, graph_of(member), size=record.size)
        except Exception as error:  # the exporter raises whatever it meets in a network
            failures[name] = type(error.__cause__ or error).__name__
    if failures:
        named = ", ".join(f"{name} ({reason})" for name, reason in failures.items())
        raise ZeromissError(
            f"torch cannot write as ONNX: {named}; no folder was made: leave what cannot be exported out with "
            f"zeromiss detectors {record.product} --use, and run the product again"
        )
    redrawing = [member for member in members if redraws(member.detector)]
    if redrawing:
        write_distances(draft / DISTANCES_FILE, redrawing[0].backbone, size=record.size)


def _write_runner(draft: Path, classifier: Pipeline, engine: str) -> None:
    """Write the modules, the script, and what both need."""
    for name, path in modules().items():
        target = draft / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    (draft / RUNNER).write_text(SCRIPT, encoding="utf-8")
    libraries = {type(one).__module__.split(".")[0] for one in (classifier[-1], *getattr(classifier[-1], "estimators_", ()))}
    needs = (*NEEDS, engine, *(name for name in BOOSTERS if name in libraries))
    (draft / REQUIREMENTS).write_text("".join(f"{name}=={version(name)}\n" for name in needs), encoding="utf-8")


def _write_config(draft: Path, bundle: Path, record: BundleRecord, members: list[Measures], *, model: ModelName, engine: str) -> None:
    """Write what the modules read, with the SHA-256 of every file written so far."""
    detectors = [
        {
            "name": member.detector.name,
            "redraws": redraws(member.detector),
            "masked": member.detector.name in record.masks(),
            "columns": member.columns,
            "own": list(getattr(member.detector, "image_metrics", ())),
            "scores": list(score_outputs(member)),
            "levels": {} if member.variation is None else member.variation.levels,
        }
        for member in members
    ]
    payload = record.model_dump(mode="json", include={"product", "size", "metrics", "features", "threshold", "calibration", "align"})
    payload |= {"engine": engine, "model": vars(model), "bundle_sha256": sha256_file(bundle / MANIFEST), "detectors": detectors}
    payload["files"] = {path.relative_to(draft).as_posix(): sha256_file(path) for path in sorted(draft.rglob("*")) if path.is_file()}
    write_json(draft / CONFIG, payload, schema_version=SCHEMA_VERSION)
