"""A real Prefect server of one's own on loopback, workers of it, and a small repository that they work in."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
# a worker's processes judge as the tests in this process do: by the number that stands in a file
JUDGED = """
from tests.flows.conftest import FakeInspector
from zeromiss.inspection.inspector import Inspector
from zeromiss.inspection.verdict import ModelName

Inspector.load = classmethod(lambda cls, bundle, *, model_name=None, model_version=None: FakeInspector(ModelName(name=model_name, version=str(model_version))))
from flows.train import train
"""
SERVER = {  # as docs/production.md has it
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "2",
}


def environment(home: Path, api: str) -> dict[str, str]:
    """Return the environment of a process that uses the server and this repository's code."""
    path = os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY)])
    quiet = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_LOGGING_LEVEL": "INFO", "PREFECT_WORKER_QUERY_SECONDS": "2"}
    mine = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_") and name != "MLFLOW_TRACKING_URI"}
    return mine | quiet | {"PREFECT_HOME": str(home), "PREFECT_API_URL": api, "PYTHONPATH": path}


@contextmanager
def prefect_server(home: Path, **settings: str):
    """Start `prefect server start` on a free port with a home of its own and yield its API's address."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    api = f"http://127.0.0.1:{port}/api"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    with started(command, home, environment(home, api) | SERVER | settings, home / "server.log"):
        deadline = time.monotonic() + 400  # ten seconds where nothing else runs
        while True:
            try:
                urllib.request.urlopen(f"{api}/health", timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < deadline, (home / "server.log").read_text()
                time.sleep(0.5)
        yield api


@contextmanager
def worker(pool: str, folder: Path, home: Path, api: str, name: str):
    """Start a process worker in a workspace and yield its process; it is the first of a group of its own."""
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--name", name]
    with started(command, folder, environment(home, api), home / f"{name}.log") as process:
        yield process


@contextmanager
def started(command, folder, environ, log):
    """Start a process in a group of its own and end all of the group with the block."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=out, stderr=out, start_new_session=True)
    try:
        yield process
    finally:
        end(process, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            end(process, signal.SIGKILL)
            process.wait(20)


def end(process, number):
    """Send a signal to a process and all below it, which may have left its group."""
    import psutil

    try:
        top = psutil.Process(process.pid)
        members = [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for one in members:
        try:
            one.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def with_deployments(root: Path, *, judged: bool = False) -> Path:
    """Give a small repository the file of deployments; `judged`: its training in a worker judges as tests judge."""
    text = (REPOSITORY / "prefect.yaml").read_text(encoding="utf-8")
    if judged:
        (root / "judged.py").write_text(JUDGED, encoding="utf-8")
    (root / "prefect.yaml").write_text(text.replace("flows.train.train", "judged.train") if judged else text, encoding="utf-8")
    return root


@contextmanager
def connected(home: Path, api: str):
    """Have this process use the server."""
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

    with temporary_settings({PREFECT_API_URL: api, PREFECT_HOME: home}):
        yield


def ask(api: str, path: str, **body):
    """Ask the server's API: what is given is posted, and so is a question that filters."""
    data = json.dumps(body).encode() if body or path.endswith("/filter") else None
    request = urllib.request.Request(f"{api}/{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def begin(api: str, flow: str) -> str:
    """Have the deployment of a flow run at once and return the run's id."""
    found = next(one for one in ask(api, "deployments/filter") if one["entrypoint"].endswith(f".{flow}"))
    return ask(api, f"deployments/{found['id']}/create_flow_run", state={"type": "SCHEDULED"})["id"]


def state(api: str, run: str):
    """Return a run's state."""
    return ask(api, f"flow_runs/{run}")["state"]


def ended(api: str, run: str):
    """Return a run's last state once it has one."""
    now = state(api, run)
    return now if now["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None


def limits(api: str) -> dict[str, int]:
    """Return the slots that are taken of each limit."""
    return {one["name"]: one["active_slots"] for one in ask(api, "v2/concurrency_limits/filter")}


def until(found, seconds: float, what: str):
    """Ask until there is an answer that is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.25)
    return answer


def copy(template: Path, folder: Path) -> Path:
    """Return a copy of a repository."""
    shutil.copytree(template, folder)
    return folder
