"""Workers elsewhere: a stage runs in another clone, and the run goes on from its outputs without running it again."""

import shutil
import subprocess
import sys

import pytest

from tests.flows.workers_parts import Machine, add_code, deploy_fit, share
from tests.registry_parts import git

pytestmark = pytest.mark.usefixtures("prefect_server", "fake_inspector")


@pytest.fixture
def api():
    """The address of the session's Prefect server."""
    from prefect.settings import PREFECT_API_URL

    return PREFECT_API_URL.value()


@pytest.fixture
def line(template, tmp_path, monkeypatch, api):
    """Machine A, that runs the pipeline and is the current folder, machine B beside it, and DVC's remote."""
    root, remote, store = tmp_path / "origin", tmp_path / "remote", f"sqlite:///{tmp_path / 'store.db'}"
    shutil.copytree(template, root)
    shutil.copyfile(root / "mlruns/mlflow.db", tmp_path / "store.db")
    add_code(root)
    bare = share(root, remote)
    subprocess.run([sys.executable, "-m", "dvc", "push", "-q"], cwd=root, check=True)
    settings = {"PREFECT_API_URL": api, "MLFLOW_TRACKING_URI": store}
    machines = [Machine(tmp_path / name, bare, **settings) for name in ("a", "b")]
    subprocess.run([sys.executable, "-m", "dvc", "pull", "-q", "data/01_raw/tiny.dvc"], cwd=machines[0].root, check=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.chdir(machines[0].root)
    yield *machines, remote
    for machine in machines:
        machine.kill()


def ran(machine):
    """Return which stages' commands a machine ran."""
    path = machine.root / "calls.txt"
    return [line.split(" ")[0] for line in path.read_text().splitlines()] if path.exists() else []


def test_a_worker_runs_the_stage_and_the_run_goes_on_from_its_outputs(line, capfd):
    from flows import train

    here, there, _ = line
    deploy_fit("tiny")
    there.start_worker()
    try:
        code = train.run("tiny", here.root, workers="gpu")
    finally:
        print(there.log())
    told, err = capfd.readouterr()
    print(told, err)
    assert code == 0
    assert ran(here) == ["manifest", "bundle"]
    assert ran(there) == ["threshold"]
    assert (here.root / "data/06_threshold/tiny/word.txt").read_text() == "hello\n"
    assert "middle@tiny: a worker is at it" in told
    status = subprocess.run([sys.executable, "-m", "dvc", "status"], cwd=here.root, capture_output=True, text=True, check=True)
    assert "up to date" in status.stdout
