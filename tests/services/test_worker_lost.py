"""A worker that loses its power in the middle of a training: another one, in another clone, goes on from the remote."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.flows.conftest import prefect_server  # noqa: F401  (fixtures)
from tests.flows.workers_parts import Machine, add_code, deploy_fit, share, wait_until
from tests.workspace_parts import PROFILE, git_and_dvc, unaligned

pytestmark = pytest.mark.usefixtures("prefect_server")

STAGE = "vqgan@drawn"
PARAMS = PROFILE + """\
  drawn:
    profile: quick
    seed: 3
    size: 48
    source: {kind: csv, path: images.csv}
    vqgan: {channels: [8, 16], blocks: 1, codes: 16, code_dim: 4, dead_after: 3, codebook_start: 1, critic_channels: 4, critic_start: 2,
            critic_warmup: 2, crop: 32, batch: 2, steps: 300, checkpoint_every: 10, perceptual: 0.1}
"""
PIPELINE = """stages:
  manifest:
    foreach: ${{products}}
    do:
      cmd: {python} -c "import shutil; shutil.copytree('prepared', 'data/02_manifest/${{key}}')"
      deps: [prepared]
      outs: ["data/02_manifest/${{key}}"]
  vqgan:
    foreach: ${{products}}
    do:
      cmd: {python} -m zeromiss.cli stage vqgan --product ${{key}}
      meta: {{worker: gpu}}
      deps: ["data/01_raw/${{key}}", "data/02_manifest/${{key}}"]
      outs: ["data/03_detectors/${{key}}/vqgan", "data/11_runs/${{key}}/vqgan.json"]
"""


def write_product(root: Path) -> None:
    """Write four images with a bar each, their manifest, and a pipeline of two stages."""
    import cv2
    import numpy as np
    import pandas as pd

    from zeromiss.tables import write_table
    from zeromiss.workspace import Workspace

    workspace = Workspace(root=root)
    raw = workspace.raw("drawn")
    raw.mkdir(parents=True)
    rows = []
    for index, split in enumerate(["train", "train", "train", "mask"]):
        image_HWC = np.linspace(0, 200, 48 * 48 * 3).reshape(48, 48, 3)
        image_HWC[8 * index : 8 * index + 6, 10:40] = 220
        cv2.imwrite(str(raw / f"{index}.png"), image_HWC.astype(np.uint8))
        rows.append({"path": f"{index}.png", "split": split, "label": "normal", "sha256": f"{index:064x}"})
    (raw / "index.csv").write_text("path,label,defect_type,part_id,mask,source_split\n")
    write_table(workspace.manifest("drawn") / "manifest.parquet", pd.DataFrame(rows), schema_version=2)
    unaligned(workspace, "drawn")
    workspace.manifest("drawn").rename(root / "prepared")
    (root / "params.yaml").write_text(PARAMS)
    (root / "dvc.yaml").write_text(PIPELINE.format(python=sys.executable))


@pytest.fixture
def machines(tmp_path, monkeypatch):
    """Machine A, that asks, and B and C, that work; A has made all that comes before the training."""
    from prefect.settings import PREFECT_API_URL

    from zeromiss.registry.store import prepare
    from zeromiss.workspace import Workspace

    root, store = tmp_path / "origin", f"sqlite:///{tmp_path / 'store.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    root.mkdir()
    write_product(root)
    add_code(root)
    git_and_dvc(root)
    bare = share(root, tmp_path / "remote")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    prepare(Workspace(root=root))
    (root / "mlruns/mlflow.db").rename(tmp_path / "store.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    subprocess.run([sys.executable, "-m", "dvc", "push", "-q"], cwd=root, check=True)
    settings = {"PREFECT_API_URL": PREFECT_API_URL.value(), "MLFLOW_TRACKING_URI": store}
    made = [Machine(tmp_path / name, bare, **settings) for name in ("a", "b", "c")]
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "pull", "-q", "data/01_raw/drawn.dvc"], cwd=made[0].root, check=True)
    subprocess.run([*dvc, "repro", "-q", "manifest@drawn"], cwd=made[0].root, check=True)
    yield *made, tmp_path / "remote"
    for machine in made:
        machine.kill()


def lose(second, third, remote, log):
    """Kill the second machine in the middle of its training, tell Prefect what a missing heartbeat would, start the third."""
    from prefect.client.orchestration import get_client
    from prefect.states import Crashed

    from tasks.checkpoints import read_step

    def kept():
        return [path for path in (remote / "checkpoints/drawn").glob("*.safetensors")] if (remote / "checkpoints/drawn").is_dir() else []

    wait_until(kept)
    second.kill()
    log["killed"] = read_step(kept()[0], name="the remote's")
    with get_client(sync_client=True) as client:
        (run,) = [run for run in client.read_flow_runs() if run.name == STAGE and run.state.is_running()]
        client.set_flow_run_state(run.id, Crashed(message="no heartbeat"), force=True)
    third.start_worker()


def test_the_training_goes_on_in_another_clone_to_the_same_weights(machines, capfd):
    from mlflow import MlflowClient
    from tasks.commits import shared_commit
    from tasks.handover import Workers, fit_elsewhere

    here, second, third, remote = machines
    deploy_fit("drawn")
    second.start_worker()
    log = {}
    power = threading.Thread(target=lose, args=(second, third, remote, log))
    power.start()
    fit_elsewhere.fn(STAGE, str(here.root), Workers(pool="gpu", commit=shared_commit("drawn", here.root)), parent="")
    power.join()
    told = capfd.readouterr().out

    assert 10 <= log["killed"] < 300
    assert "the worker is lost (no heartbeat), another one is asked" in told
    assert f"goes on from the state after {log['killed']} steps" in told + third.log()
    run = json.loads((here.root / "data/11_runs/drawn/vqgan.json").read_text())["run_id"]
    steps = [point.step for point in MlflowClient(here.environment["MLFLOW_TRACKING_URI"]).get_metric_history(run, "loss")]
    assert min(steps) > log["killed"]  # not one step was taken again
    assert max(steps) == 300
    assert not list((remote / "checkpoints/drawn").iterdir())
    assert not list((second.root / "data").glob("03_detectors/drawn/vqgan/model.safetensors"))

    command = [sys.executable, "-m", "zeromiss.cli", "stage", "vqgan", "--product", "drawn"]
    weights = here.root / "data/03_detectors/drawn/vqgan/model.safetensors"
    elsewhere = weights.read_bytes()
    subprocess.run(command, cwd=here.root, env=here.environment, check=True, capture_output=True)  # without a stop
    assert weights.read_bytes() == elsewhere
