"""A workspace that was moved or copied: its registry's paths follow, and until then a reader is told where it lay."""

import shutil

import mlflow
import pytest

from zeromiss.errors import ZeromissError
from zeromiss.registry.store import experiment_id, prepare, reading
from zeromiss.workspace import Workspace


def test_a_moved_workspace_finds_its_models_again(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    before, after = Workspace(root=tmp_path / "line one"), Workspace(root=tmp_path / "moved" / "there")
    client = prepare(before)
    run = client.create_run(experiment_id(client, "board", before))
    client.log_text(run.info.run_id, "bolts", "bundle/parts.txt")
    client.create_registered_model("zeromiss-board")
    client.create_model_version("zeromiss-board", f"{run.info.artifact_uri}/bundle", run.info.run_id)
    assert "was moved" not in capsys.readouterr().err
    after.root.parent.mkdir()
    before.root.rename(after.root)
    told = r"names files below .*/line one/mlruns, which this workspace was moved or copied from: zeromiss promote PRODUCT follows"
    with pytest.raises(ZeromissError, match=told):
        reading(after)
    prepare(after)
    assert f"zeromiss: this workspace was moved or copied from {before.root}: the registry's paths follow\n" in capsys.readouterr().err
    client = reading(after)
    assert client.get_run(run.info.run_id).info.artifact_uri.startswith(after.root.as_uri())
    found = mlflow.artifacts.download_artifacts(artifact_uri="models:/zeromiss-board/1")
    assert found.startswith(str(after.root)) and open(f"{found}/parts.txt").read() == "bolts"
    assert not before.root.exists()


def test_one_that_was_not_moved_is_left_as_it_is(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    workspace = Workspace(root=tmp_path / "line")
    client = prepare(workspace)
    experiment_id(client, "board", workspace)
    prepare(workspace)
    reading(workspace)
    assert "was moved" not in capsys.readouterr().err


def test_a_copy_uses_its_own_files_and_leaves_the_other_alone(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    first, copy = Workspace(root=tmp_path / "line"), Workspace(root=tmp_path / "copy")
    client = prepare(first)
    run = client.create_run(experiment_id(client, "board", first)).info
    client.log_text(run.run_id, "bolts", "parts.txt")
    shutil.copytree(first.root, copy.root)
    with pytest.raises(ZeromissError, match=r"names files below .*/line/mlruns, which this workspace was moved or copied from"):
        reading(copy)
    client = prepare(copy)
    assert client.get_run(run.run_id).info.artifact_uri.startswith(copy.root.as_uri())
    more = client.create_run(experiment_id(client, "board", copy)).info.run_id  # of the first one MLflow remembers the place in this process
    client.log_text(more, "nuts", "more.txt")
    assert [path.name for path in copy.root.rglob("*.txt")] != [path.name for path in first.root.rglob("*.txt")] == ["parts.txt"]
    assert reading(first).get_run(run.run_id).info.artifact_uri.startswith(first.root.as_uri())


def test_a_database_whose_files_lie_elsewhere_alone_is_left_as_it_is(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    first, other = Workspace(root=tmp_path / "line"), Workspace(root=tmp_path / "other")
    run = prepare(first).create_run(experiment_id(prepare(first), "board", first)).info
    prepare(first).log_text(run.run_id, "bolts", "parts.txt")
    (other.root / "mlruns").mkdir(parents=True)
    shutil.copy(first.root / "mlruns/mlflow.db", other.root / "mlruns/mlflow.db")
    assert prepare(other).get_run(run.run_id).info.artifact_uri.startswith(first.root.as_uri())
