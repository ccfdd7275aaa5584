"""Runs in a real store: nesting, tags, curves, run files, and what a failure leaves."""

import hashlib
import json
import subprocess
import sys
import types

import pytest

from zeromiss.errors import ZeromissError
from zeromiss.image_size import ImageSize
from zeromiss.registry import tracking
from zeromiss.registry.facts import data_hash, flat_params, provenance
from zeromiss.registry.machine import machine
from zeromiss.registry.stage_runner import run_stage
from zeromiss.registry.store import prepare, tracking_uri


def run_file(workspace, stage="vqgan"):
    return json.loads(workspace.run_file("tiny", stage).read_text())


def fake_stage(monkeypatch, name, run):
    module = types.ModuleType(f"zeromiss.stages.{name}")
    module.run = run
    monkeypatch.setitem(sys.modules, f"zeromiss.stages.{name}", module)


def test_a_stage_run_nests_under_the_parent_the_environment_names(tiny, tracked, monkeypatch):
    with tracking.parent_run(tiny, tracked) as parent:
        monkeypatch.setenv(tracking.PARENT, parent.run_id)
        with tracking.stage_run("vqgan", tiny, tracked) as log:
            log.tags({"winner": "lr"})
    client = prepare(tracked)
    run = client.get_run(log.run_id)
    assert run.data.tags["mlflow.parentRunId"] == parent.run_id
    assert run.data.tags["winner"] == "lr"
    assert run.data.params["vqgan.codes"] == "8"
    assert run.data.params["seed"] == "7"
    assert not any(key.startswith("selection.") for key in run.data.params)
    assert client.get_run(parent.run_id).data.params["selection.draws"] == "500"
    assert run.info.status == client.get_run(parent.run_id).info.status == "FINISHED"
    assert client.get_experiment_by_name("zeromiss-tiny").artifact_location.endswith("mlruns/artifacts/tiny")


def test_a_stage_run_by_hand_stands_alone_and_writes_its_run_file(tiny, tracked):
    with tracking.stage_run("vqgan", tiny, tracked) as log:
        pass
    content = run_file(tracked)
    assert set(content) == {"schema_version", "run_id", "stage", "started", "seconds"}
    assert (content["schema_version"], content["run_id"], content["stage"]) == (1, log.run_id, "vqgan")
    assert content["seconds"] >= 0
    assert "mlflow.parentRunId" not in prepare(tracked).get_run(log.run_id).data.tags


def test_curves_arrive_whole_and_in_order(tiny, tracked):
    with tracking.stage_run("vqgan", tiny, tracked) as log:
        for step in range(700):
            log.metrics({"loss": 1.0 / (step + 1), "speed": 2.0}, step=step)
    client = prepare(tracked)
    history = client.get_metric_history(log.run_id, "loss")
    assert sorted((point.step, point.value) for point in history) == [(step, 1.0 / (step + 1)) for step in range(700)]
    assert client.get_run(log.run_id).data.metrics["speed"] == 2.0


def test_artifacts_lie_with_the_run(tiny, tracked, tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "a.txt").write_text("a figure")
    (tmp_path / "b.txt").write_text("a file")
    with tracking.stage_run("report", tiny, tracked) as log:
        log.artifact(tmp_path / "figures")
        log.artifact(tmp_path / "b.txt")
    folder = tracked.root / "mlruns/artifacts/tiny" / log.run_id / "artifacts"
    assert (folder / "figures/a.txt").read_text() == "a figure"
    assert (folder / "b.txt").read_text() == "a file"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_figures_that_are_no_numbers_are_refused(tiny, tracked, value):
    with pytest.raises(ZeromissError, match="the figure loss is .*finite numbers only"), tracking.stage_run("vqgan", tiny, tracked) as log:
        log.metrics({"loss": value})
    assert prepare(tracked).get_run(log.run_id).info.status == "FAILED"


@pytest.mark.parametrize(
    ("error", "status"), [(ZeromissError("no defects: add some"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (MemoryError(), "FAILED")]
)
def test_a_stage_that_fails_marks_its_run_and_writes_no_run_file(tiny, tracked, monkeypatch, error, status):
    def run(product, workspace, log):
        log.metrics({"loss": 0.5}, step=1)
        log.tags({"seen": log.run_id})
        raise error

    fake_stage(monkeypatch, "metrics", run)
    with pytest.raises(type(error)):
        run_stage("metrics", "tiny", tracked)
    client = prepare(tracked)
    [found] = client.search_runs([client.get_experiment_by_name("zeromiss-tiny").experiment_id])
    assert found.info.status == status
    assert found.data.tags["error"] == (str(error) or type(error).__name__)
    assert found.data.metrics["loss"] == 0.5
    assert not tracked.run_file("tiny", "metrics").exists()


def test_the_stage_runner_hands_over_product_paths_and_log(tracked, monkeypatch):
    seen = {}

    def run(product, workspace, log):
        seen.update(product=product.name, size=product.size, root=workspace.root)
        log.metrics({"figure": 0.25})

    fake_stage(monkeypatch, "threshold", run)
    run_stage("threshold", "tiny", tracked)
    assert seen == {"product": "tiny", "size": ImageSize.of(64), "root": tracked.root}
    run_id = run_file(tracked, "threshold")["run_id"]
    assert prepare(tracked).get_run(run_id).data.metrics["figure"] == 0.25


def test_unknown_stages_and_products_are_refused(tracked):
    with pytest.raises(ZeromissError, match="unknown stage 'paint': the stages are manifest, vqgan"):
        run_stage("paint", "tiny", tracked)
    with pytest.raises(ZeromissError, match="unknown product 'huge'"):
        run_stage("vqgan", "huge", tracked)


def test_provenance_names_commit_lock_and_data(tracked):
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=tracked.root, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert provenance("tiny", tracked) == {
        "product": "tiny", "git.commit": commit, "git.dirty": "false", "dvc.lock": "none", "data.md5": "none", **machine(),
    }  # fmt: skip
    (tracked.root / "dvc.lock").write_text("schema: '2.0'\n")
    tracked.raw("tiny").parent.mkdir(parents=True)
    tracked.raw("tiny").with_suffix(".dvc").write_text("outs:\n- md5: 0123abcd.dir\n  path: tiny\n")
    tags = provenance("tiny", tracked)
    assert tags["dvc.lock"] == hashlib.sha256(b"schema: '2.0'\n").hexdigest()
    assert tags["data.md5"] == data_hash("tiny", tracked) == "0123abcd.dir"
    assert tags["git.dirty"] == "true"  # the new .dvc file; dvc.lock alone is no change
    tracked.raw("tiny").with_suffix(".dvc").unlink()
    assert provenance("tiny", tracked)["git.dirty"] == "false"


def test_without_git_a_run_says_so(tiny, tracked, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance("tiny", tracked)["git.commit"] == "none"


def test_params_are_flat_text(tiny):
    flat = flat_params(tiny, ("vqgan",))
    assert flat["vqgan.channels"] == "(8, 16)"
    assert flat["size"] == "64"
    assert flat["detectors"] == "vqgan"
    assert set(flat) == {"profile", "seed", "size", "detectors"} | {f"vqgan.{key}" for key in type(tiny.vqgan).model_fields}


def test_the_store_lies_in_the_repository_unless_a_server_is_named(tracked, monkeypatch):
    assert tracking_uri(tracked) == f"sqlite:///{tracked.root}/mlruns/mlflow.db"
    prepare(tracked)
    assert tracking_uri(tracked) == f"sqlite:///{tracked.root}/mlruns/mlflow.db"  # and stays there
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking_uri(tracked) == "http://127.0.0.1:5000"


def test_an_older_database_is_upgraded(tracked):
    import sqlite3

    path = tracked.root / "mlruns/mlflow.db"
    with sqlite3.connect(path) as database:
        [(newest,)] = database.execute("select version_num from alembic_version").fetchall()
    prepare(tracked)
    with sqlite3.connect(path) as database:
        assert database.execute("select version_num from alembic_version").fetchall() == [(newest,)]
        assert database.execute("select count(*) from experiments").fetchone() == (1,)
