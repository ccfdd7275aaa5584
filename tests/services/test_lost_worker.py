"""A worker that is lost in the middle of a training: its GPU slot is free soon, its run is crashed and tried again on another."""

import signal
import time

import pytest

from tests.deploy_parts import ask, begin, connected, copy, end, ended, limits, prefect_server, state, until, with_deployments, worker
from tests.flows.conftest import template  # noqa: F401  (a fixture)

WAITS = """
if name == "threshold" and not pathlib.Path("killed").exists():
    pathlib.Path("ready").touch()
    import time
    time.sleep(600)
"""
FREE = 60 + 2 + 18  # seconds: Prefect's shortest lease, how often the server looks, and a machine that is busy


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def api(home):
    with prefect_server(home) as address, connected(home, address):
        yield address


@pytest.fixture
def root(template, tmp_path):
    """A small repository whose GPU stage waits until it has been killed once."""
    root = with_deployments(copy(template, tmp_path / "repository"), judged=True)
    script = (root / "stage.py").read_text()
    (root / "stage.py").write_text(script.replace("def folder(number):", f"{WAITS}\ndef folder(number):", 1))
    return root


def test_a_lost_worker_frees_its_slot_and_its_run_goes_to_another(root, home, api, monkeypatch, capsys):
    from tasks.deploy import deploy

    monkeypatch.syspath_prepend(str(root))
    monkeypatch.setattr("zeromiss.inspection.inspector.Inspector.load", None)  # `judged` replaces it: put back afterwards
    deploy(root)
    run = begin(api, "train")
    with worker("gpu", root, home, api, "lost") as lost:
        until(lambda: (root / "ready").exists(), 400, "the stage on a GPU begins")
        assert limits(api)["gpu"] == 1 and state(api, run)["type"] == "RUNNING"
        (root / "killed").touch()
        end(lost, signal.SIGKILL)
        killed = time.monotonic()
    until(lambda: limits(api)["gpu"] == 0, FREE, "the slot is free")
    freed = time.monotonic() - killed
    with worker("gpu", root, home, api, "other"):
        until(lambda: ask(api, f"flow_runs/{run}")["run_count"] == 2, 400, "the run is begun again")
        again = time.monotonic() - killed
        last = until(lambda: ended(api, run), 400, "the run ends")
    states = [one["name"] for one in ask(api, f"flow_run_states/?flow_run_id={run}")]
    with capsys.disabled():
        print(f"\nslot free after {freed:.0f} s, begun again after {again:.0f} s: {' '.join(states)}")
    assert last["type"] == "COMPLETED", (last, (home / "other.log").read_text()[-3000:])
    assert states.index("Crashed") < states.index("AwaitingRetry")
    assert [line.split()[0] for line in (root / "calls.txt").read_text().splitlines()] == ["manifest", "threshold", "threshold", "bundle"]
    assert set(limits(api).values()) == {0}
