"""Workers elsewhere: a stage runs in another clone, and the run goes on from its outputs without running it again."""

import shutil
import subprocess
import sys

import pytest

from tests.flows.conftest import fake_inspector, prefect_server, template  # noqa: F401  (fixtures)
from tests.flows.workers_parts import Machine, add_code, deploy_fit, share
from tests.registry_parts import git

pytestmark = pytest.mark.usefixtures("prefect_server", "fake_inspector")


@pytest.fixture(scope="module")
def machines(template, tmp_path_factory, prefect_server):
    """Machine A, that runs the pipeline, and machine B with a worker; nothing but git's and DVC's remote between them."""
    from prefect.settings import PREFECT_API_URL

    folder = tmp_path_factory.mktemp("machines")
    root, store = folder / "origin", f"sqlite:///{folder / 'store.db'}"
    shutil.copytree(template, root)
    shutil.copyfile(root / "mlruns/mlflow.db", folder / "store.db")
    add_code(root)
    bare = share(root, folder / "remote")
    subprocess.run([sys.executable, "-m", "dvc", "push", "-q"], cwd=root, check=True)
    settings = {"PREFECT_API_URL": PREFECT_API_URL.value(), "MLFLOW_TRACKING_URI": store}
    here, there = (Machine(folder / name, bare, **settings) for name in ("a", "b"))
    subprocess.run([sys.executable, "-m", "dvc", "pull", "-q", "data/01_raw/tiny.dvc"], cwd=here.root, check=True)
    deploy_fit("tiny")
    there.start_worker()
    yield here, there
    there.kill()


@pytest.fixture
def line(machines, monkeypatch):
    """The machines, A's folder being the current one and the common store the tracking store."""
    here, there = machines
    monkeypatch.setenv("MLFLOW_TRACKING_URI", here.environment["MLFLOW_TRACKING_URI"])
    monkeypatch.chdir(here.root)
    return here, there


def commit(machine, word):
    """Have the stage for a GPU read another word from now on."""
    (machine.root / "word.txt").write_text(f"{word}\n")
    git(machine.root, "commit", "-q", "-am", word)
    git(machine.root, "push", "-q", "origin", "HEAD")


def ran(machine):
    """Return which stages' commands a machine ran."""
    path = machine.root / "calls.txt"
    return [line.split(" ")[0] for line in path.read_text().splitlines()] if path.exists() else []


def test_a_worker_runs_the_stage_and_the_run_goes_on_from_its_outputs(line, capfd):
    from flows import train

    here, there = line
    commit(here, "fit me elsewhere")
    before = ran(there)
    assert train.run("tiny", here.root, workers="gpu") == 0, there.log()
    told = capfd.readouterr().out
    assert "threshold" not in ran(here)  # the stage for a GPU has never run here
    assert ran(here)[-1] == "bundle"
    assert ran(there) == [*before, "threshold"]
    assert (here.root / "data/06_threshold/tiny/word.txt").read_text() == "fit me elsewhere\n"
    assert "middle@tiny" in told
    status = subprocess.run([sys.executable, "-m", "dvc", "status"], cwd=here.root, capture_output=True, text=True, check=True)
    assert "up to date" in status.stdout

    assert train.run("tiny", here.root, workers="gpu") == 0
    assert ran(there) == [*before, "threshold"]  # what is up to date is not asked for again


def test_a_refusal_of_the_stage_is_told_in_its_own_words_where_the_run_began(line, capfd):
    from flows import train
    from zeromiss.errors import ZeromissError

    here, there = line
    commit(here, "refuse me")
    before = ran(here)
    with pytest.raises(ZeromissError, match="^middle@tiny failed on a worker of gpu: the word is refused: choose another$"):
        train.run("tiny", here.root, workers="gpu")
    assert {"threshold", "bundle"} & set(ran(here)[len(before) :]) == set()  # nothing downstream
    assert "the word is refused" in there.log()
