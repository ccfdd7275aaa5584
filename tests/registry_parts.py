"""A tiny product that is registered with everything that belongs to it: images, pointer, manifest, stage runs, bundle."""

import hashlib
import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlparse

import pandas as pd

from zeromiss.registry import publish
from zeromiss.registry.tracking import stage_run
from zeromiss.stages.base import stages_of
from zeromiss.tables import write_table

POINTER = "outs:\n- md5: 0123abcd.dir\n  path: tiny\n"
THRESHOLD = {
    "value": 0.5, "rule": "zfn", "n_defects": 9, "n_candidates": 1,
    "miss_rate_bound_95": 0.28, "next_defect_miss_bound": 0.1, "bound_is": "descriptive",
}  # fmt: skip
RATES = {"accuracy": 0.9, "precision": 0.8, "fpr": 0.2, "fnr": 0.0}


def git(root, *arguments):
    """Run git in a repository and return what it prints."""
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    return subprocess.run(["git", *identity, *arguments], cwd=root, capture_output=True, check=True).stdout


def version_raw(workspace, text=POINTER, message="the pointer"):
    """Commit a pointer to the raw images."""
    path = workspace.raw("tiny").with_suffix(".dvc")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    git(workspace.root, "add", "-A")
    git(workspace.root, "commit", "-q", "-m", message)


def write_manifest(workspace, rows):
    """Write a manifest; rows: (path, sha256, label, split), a path that begins with d is of type scratch."""
    frame = pd.DataFrame(rows, columns=["path", "sha256", "label", "split"])
    frame["defect_type"] = ["scratch" if label == "defect" else "" for label in frame["label"]]
    frame["part_id"] = frame["path"]
    write_table(workspace.manifest("tiny") / "manifest.parquet", frame, schema_version=2)


def write_bundle(workspace, *, files, value=0.5, accuracy=0.9, **more):
    """Put a bundle of these files (name -> text) in place, as `pack` would list them."""
    folder = workspace.bundle("tiny")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    listed = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
    threshold = {"value": value, "rule": "zfn", "statement": "what it guarantees"}
    (folder / "bundle.json").write_text(json.dumps({"schema_version": 1, "threshold": threshold, "files": listed, **more}))
    summary = {
        "schema_version": 3, "threshold": THRESHOLD | {"value": value}, "detectors": {"vqgan": {"image_auroc": 0.7, "pro": None}},
        "composite": {"family": "lr", "image_auroc": 0.95, "paper": {"std": RATES, "zfn": RATES | {"accuracy": accuracy}}},
    }  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(summary))


def run_stages(product, workspace):
    """Leave a finished run of every stage."""
    for stage in stages_of(product.detectors):
        with stage_run(stage, product, workspace):
            pass


def register(product, workspace):
    """Run the stages, register what is in place and return the version."""
    run_stages(product, workspace)
    return publish.register(product, workspace).version


def keep(workspace, folder):
    """Keep the store, bundle and promotion records of a workspace and return a function that brings them back.

    The database is written back into its own file: MLflow holds connections to it.
    """
    root = workspace.root / "mlruns"
    shutil.copytree(root, folder / "mlruns")
    shutil.copytree(workspace.bundle("tiny"), folder / "bundle")

    def restore():
        with closing(sqlite3.connect(folder / "mlruns/mlflow.db")) as kept, closing(sqlite3.connect(root / "mlflow.db")) as live:
            kept.backup(live)
        for mine, kept_folder in (
            (root / "artifacts", folder / "mlruns/artifacts"), (root / "promotion", folder / "mlruns/promotion"), (workspace.bundle("tiny"), folder / "bundle"),
        ):  # fmt: skip
            shutil.rmtree(mine)
            shutil.copytree(kept_folder, mine)

    return restore


def artifacts(client, run_id):
    """Return the folder of a run's artifacts in an embedded store."""
    return Path(unquote(urlparse(client.get_run(run_id).info.artifact_uri).path))
