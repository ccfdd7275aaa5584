"""One temporary Prefect server a session, and a small repository with quick stages of its own."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.workspace_parts import PROFILE, git_and_dvc
from zeromiss.image_size import ImageSize

os.environ["PREFECT_LOGGING_LEVEL"] = "CRITICAL"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"

PARAMS = PROFILE + """\
  tiny:
    profile: quick
    seed: 0
    size: null
    source: {kind: csv, path: images.csv}
    promotion: {chance: 0.5, min_passed: 0}  # three defects and two normals cannot be told from chance by more
    inspection: {overlays: false}
"""

# Written with the last stage first, so that the order of the file is not the order of the work.
PIPELINE = """stages:
  finish:
    foreach: ${{products}}
    do:
      cmd: {python} stage.py bundle ${{key}}
      deps: [stage.py, "data/06_threshold/${{key}}"]
      outs: ["data/07_bundle/${{key}}", "data/05_selection/${{key}}"]
  middle:
    foreach: ${{products}}
    do:
      cmd: {python} stage.py threshold ${{key}}
      meta: {{worker: gpu}}
      deps: [word.txt, "data/02_manifest/${{key}}"]
      outs: ["data/06_threshold/${{key}}"]
  start:
    foreach: ${{products}}
    do:
      cmd: {python} stage.py manifest ${{key}}
      deps: [manifest.parquet]
      outs: ["data/02_manifest/${{key}}"]
"""

STAGE = '''
import json, os, pathlib, shutil, sys
name, product = sys.argv[1:]
with open("calls.txt", "a") as calls:
    calls.write(f"{name} {os.environ.get('ZEROMISS_PARENT_RUN', '')} {'MLFLOW_RUN_ID' in os.environ}\\n")
def folder(number):
    path = pathlib.Path("data") / number / product
    path.mkdir(parents=True)
    return path
def write(path, **content):
    path.write_text(json.dumps({"schema_version": 1} | content))
if name == "manifest":
    shutil.copy("manifest.parquet", folder("02_manifest"))
elif name == "threshold":
    word = pathlib.Path("word.txt").read_text()
    if word.startswith("refuse"):
        print("zeromiss: the word is refused: choose another", file=sys.stderr)
        sys.exit(2)
    if word.startswith("die") and len(open("calls.txt").readlines()) < 3:
        os.kill(os.getpid(), 9)
    (folder("06_threshold") / "word.txt").write_text(word)
else:
    write(folder("05_selection") / "families.json", winner="lr", n_candidates=1, families=FAMILIES)
    bundle = folder("07_bundle")
    write(bundle / "bundle.json", threshold={"statement": "what it guarantees"}, word=pathlib.Path("word.txt").read_text())
    write(bundle / "summary.json", **SUMMARY)
'''

RATES = {"accuracy": 0.9, "precision": 0.8, "fpr": 0.1, "fnr": 0.0}
THRESHOLD = {
    "value": 0.5, "rule": "zfn", "n_defects": 10, "n_candidates": 12,
    "miss_rate_bound_95": 0.26, "next_defect_miss_bound": 0.09, "bound_is": "descriptive", "defects_behind": 10,
}  # fmt: skip
HARDEST = {"protocol": "leave-one-out", "repeats": 1, "n_defects": 10, "n_normals": 5, "prices": {"0": {"fpr": 0.1, "std": None}}, "defects": []}
CURVES = {
    "passed": {"PG0": {"missed": 0.0, "mean": 0.9, "low": 0.0, "high": 1.0, "std": None}}, "matched": None, "by_size": None,
    "unseen_types": {"types": [], "skipped": [], "sentence": "the defects are of no named type: no type can be left out"},
}  # fmt: skip
SUMMARY = {
    "schema_version": 3, "product": "tiny", "n_train_normal": 5, "n_normal": 5, "n_defects": 10,
    "detectors": {"vqgan": {"image_auroc": 0.8, "average_precision": 0.8, "fpr_at_zero_missed": 0.5, "pixel_auroc": None, "pro": None, "matched": None}},
    "composite": {"family": "lr", "image_auroc": 0.9, "paper": {"std": RATES, "zfn": RATES}, "hardest": HARDEST} | CURVES,
    "properties": None,
    "threshold": THRESHOLD,
    "seconds": {"train": 1.0, "extract": 1.0, "select": 1.0, "inspect_per_image": 0.1},
}  # fmt: skip
FAMILIES = {"lr": {"status": "ok", "image_auroc": 0.9, "std": RATES, "zfn": RATES}}


class FakeInspector:
    """Judges by the text in a file: its score. Anything else cannot be judged."""

    threshold = 0.5
    size = ImageSize.of(64)

    taught = {}
    features = ("word",)

    def __init__(self, model):
        self.model = model

    def inspect(self, path):
        from zeromiss.errors import ZeromissError
        from zeromiss.files import sha256_file
        from zeromiss.inspection.verdict import Verdict, decide

        try:
            score = float(path.read_text())
        except ValueError:
            raise ZeromissError(f"{path} cannot be judged: take the picture again") from None
        return Verdict(
            path=str(path), verdict=decide(score, 0.5), score=score, threshold=0.5,
            patches=(), model=self.model, sha256=sha256_file(path), width=64, height=64,
        )  # fmt: skip

    def examine(self, path, *, companion=None):
        from types import SimpleNamespace

        verdict = self.inspect(path)
        return SimpleNamespace(verdict=verdict, measurement=SimpleNamespace(features={"word": verdict.score}), seconds=0.25)

    def examine_many(self, paths, *, companion_of=None):
        from zeromiss.errors import ZeromissError

        for path in paths:
            try:
                yield self.examine(path)
            except ZeromissError as error:
                yield error


@pytest.fixture
def fake_inspector(monkeypatch):
    """Let every bundle load as an inspector that reads its scores from the files it judges."""
    from zeromiss.inspection.inspector import Inspector
    from zeromiss.inspection.verdict import ModelName

    def load(cls, bundle, *, model_name=None, model_version=None):
        return FakeInspector(ModelName(name=model_name, version=str(model_version)))

    monkeypatch.setattr(Inspector, "load", classmethod(load))


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory):
    """Run the session's flows against one temporary server with a home of its own."""
    from prefect.settings import PREFECT_HOME, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    home = tmp_path_factory.mktemp("prefect")
    with temporary_settings({PREFECT_HOME: home}), prefect_test_harness(server_startup_timeout=180):
        yield


def _write_manifest(root: Path) -> None:
    """Write a manifest with two audit defects, two audit normals and a training image, and the images."""
    import pandas as pd

    from zeromiss.images.manifest import COLUMNS, SCHEMA_VERSION
    from zeromiss.tables import write_table

    raw = root / "data/01_raw/tiny/images"
    raw.mkdir(parents=True)
    rows = []
    scores = {"d1": 0.9, "d2": 0.8, "d3": 0.7, "n1": 0.1, "n2": 0.6, "t1": 0.2}
    for name, score in scores.items():
        (raw / name).write_text(str(score))
        defect = name.startswith("d")
        rows.append(
            dict.fromkeys(COLUMNS, "") | {
                "path": f"images/{name}", "sha256": name, "width": 64, "height": 64, "part_id": name, "seed": 0,
                "label": "defect" if defect else "normal", "defect_type": "scratch" if defect else "",
                "split": "train" if name == "t1" else "audit", "mask": None,
            }  # fmt: skip
        )
    (raw.parent / "index.csv").write_text("path,label,defect_type,part_id,mask,source_split\n")
    write_table(root / "manifest.parquet", pd.DataFrame(rows), schema_version=SCHEMA_VERSION)


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A repository of git and DVC with three quick stages, and an empty tracking store."""
    from zeromiss.registry.store import prepare
    from zeromiss.workspace import Workspace

    root = tmp_path_factory.mktemp("template") / "repository"
    root.mkdir()
    python = sys.executable
    (root / "params.yaml").write_text(PARAMS)
    (root / "dvc.yaml").write_text(PIPELINE.format(python=python))
    (root / "stage.py").write_text(f"SUMMARY = {SUMMARY!r}\nFAMILIES = {FAMILIES!r}\n{STAGE}")
    (root / "word.txt").write_text("hello\n")
    _write_manifest(root)
    git_and_dvc(root)
    prepare(Workspace(root=root))
    return root


@pytest.fixture
def small(template, tmp_path, monkeypatch):
    """A fresh copy of the small repository; the current folder, as for the command line."""
    root = tmp_path / "repository"
    shutil.copytree(template, root)
    monkeypatch.chdir(root)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return root


@pytest.fixture
def calls(small):
    """Return a function that reads which stages' commands ran: (name, parent run, whether a run id came down)."""

    def read():
        path = small / "calls.txt"
        return [tuple(line.split(" ")) for line in path.read_text().splitlines()] if path.exists() else []

    return read


@pytest.fixture
def record(small):
    """Return a function that reads the last promotion's record."""
    return lambda: json.loads((small / "mlruns/promotion/tiny.json").read_text())
