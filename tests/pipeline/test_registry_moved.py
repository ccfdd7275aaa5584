"""A workspace that was moved: its registry's paths follow, and until then a reader is told where it lay."""

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
    with pytest.raises(ZeromissError, match=r"names files below .*/line one/mlruns, where this workspace lay before: zeromiss promote PRODUCT follows the move"):
        reading(after)
    prepare(after)
    assert f"zeromiss: this workspace was moved from {before.root}: the registry's paths follow\n" in capsys.readouterr().err
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
