"""The set does what a plant needs of it, and starts, mends itself and stops as often as it is told to."""

import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest

from tasks.services.__main__ import main
from tasks.services.settings import HOST, PORTS, read_settings
from tasks.services.together import down, parts, status, up

NAMES = ["postgres", "s3", "mlflow", "prefect", "worker-cpu", "worker-gpu"]


def pids(services):
    """Return part -> its process."""
    return {part.name: part._known().pid for part in parts(read_settings(services.folder))}


def start_again(services):
    """Run `up` once more and return what it says of each part."""
    return dict(line.split(" ", 1) for line in up(services.folder, {}, root=services.folder) if line.split(" ")[0] in NAMES)


def s3_client():
    """Return a client that finds the server by the environment alone."""
    import boto3

    return boto3.client("s3")


@pytest.fixture
def repository_there(tmp_path, services):
    """A small repository of git and DVC with the set's remote."""
    from tasks.services.remote import set_remote
    from tests.workspace_parts import git_and_dvc

    root = tmp_path / "repository"
    root.mkdir()
    git_and_dvc(root)
    assert "is named in" in set_remote(root, read_settings(services.folder))
    return root


def test_all_of_it_starts(services):
    assert [line.split(" ")[0] for line in services.lines[:6]] == NAMES
    assert all("is started" in line for line in services.lines[:6])
    assert [works for works, _ in status(services.folder)] == [True] * 6


def test_the_second_start_changes_nothing(services):
    before = pids(services)
    assert all(words.startswith("is running") for words in start_again(services).values())
    assert pids(services) == before


def test_everything_listens_on_loopback_alone(services):
    ports = set(read_settings(services.folder).ports.values())
    found = {one.laddr.port: one.laddr.ip for one in psutil.net_connections("tcp") if one.status == "LISTEN" and one.laddr.port in ports}
    assert found == dict.fromkeys(ports, HOST)


def test_passwords_are_for_the_owner_and_needed(services):
    import psycopg2

    for name in ("env", "secrets.json"):
        assert (services.folder / name).stat().st_mode & 0o077 == 0
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(host=HOST, port=services.env["PGPORT"], user="zeromiss", password="guess", dbname="mlflow")
    assert subprocess.run(["psql", "-tAc", "SELECT 6 * 7", "mlflow"], env=services.environ, capture_output=True, text=True, check=True).stdout == "42\n"
    for process in pids(services).values():
        words = " ".join(psutil.Process(process).cmdline())
        assert not any(secret in words for secret in read_settings(services.folder).secrets.values())


def test_mlflow_keeps_tables_in_postgresql_and_artifacts_in_s3(services):
    import psycopg2
    from mlflow import MlflowClient

    client = MlflowClient(services.env["MLFLOW_TRACKING_URI"])
    experiment = client.create_experiment("in-s3")
    run = client.create_run(experiment).info.run_id
    client.log_metric(run, "fpr", 0.125)
    client.log_text(run, "a page", "report.html")
    with psycopg2.connect(dbname="mlflow", **{key: services.env[f"PG{key.upper()}"] for key in ("host", "port", "user", "password")}) as database:
        cursor = database.cursor()
        cursor.execute("SELECT value FROM metrics WHERE run_uuid = %s", (run,))
        assert cursor.fetchall() == [(0.125,)]
    keys = [found["Key"] for found in s3_client().list_objects_v2(Bucket="mlflow")["Contents"]]
    assert [key for key in keys if key.endswith(f"{run}/artifacts/report.html")]


def test_dvc_pushes_to_s3_and_brings_back(services, repository_there):
    import shutil

    root = repository_there
    (root / "image.bin").write_bytes(bytes(range(256)) * 40_000)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}  # the local settings are enough

    def dvc(*words):
        subprocess.run([sys.executable, "-m", "dvc", "--quiet", *words], cwd=root, env=plain, check=True)

    dvc("add", "image.bin")
    dvc("push")
    (root / "image.bin").unlink()
    shutil.rmtree(root / ".dvc/cache")
    dvc("pull")
    assert (root / "image.bin").read_bytes() == bytes(range(256)) * 40_000


def test_the_remote_is_set_once_and_another_default_stays(services, repository_there):
    from tasks.services.remote import set_remote

    settings = read_settings(services.folder)
    assert set_remote(repository_there, settings) == "DVC's remote services is as it was"
    file = repository_there / ".dvc/config.local"
    assert "remote = services" in file.read_text()
    file.write_text("[core]\n    remote = mine\n['remote \"mine\"']\n    url = /elsewhere\n")
    assert "the default stays mine" in set_remote(repository_there, settings)
    assert "remote = mine" in file.read_text() and 'remote "services"' in file.read_text()


def test_a_worker_of_each_pool_takes_a_run(services):
    """A deployment's run is made by hand, so that the test needs no file of flows."""
    import time

    import httpx

    api, flow = services.env["PREFECT_API_URL"], {"name": "nothing"}
    number = httpx.post(f"{api}/flows/", json=flow).json()["id"]
    for pool in ("cpu", "gpu"):
        body = {"name": pool, "flow_id": number, "work_pool_name": pool, "job_variables": {"command": "true"}, "path": str(services.folder), "entrypoint": "a.py:b"}
        deployment = httpx.post(f"{api}/deployments/", json=body).raise_for_status().json()["id"]
        run = httpx.post(f"{api}/deployments/{deployment}/create_flow_run", json={"state": {"type": "SCHEDULED"}}).raise_for_status().json()["id"]
        end = time.monotonic() + 300
        while httpx.get(f"{api}/flow_runs/{run}").json()["infrastructure_pid"] is None and time.monotonic() < end:
            time.sleep(1)
        assert httpx.get(f"{api}/flow_runs/{run}").json()["infrastructure_pid"] is not None, f"no worker took the run in {pool}"


@pytest.mark.parametrize("name", ["s3", "postgres"])
def test_a_part_that_was_killed_is_started_again_with_its_data(services, name):
    from mlflow import MlflowClient

    client = MlflowClient(services.env["MLFLOW_TRACKING_URI"])
    experiment = client.create_experiment(f"before {name} was killed")
    s3_client().put_object(Bucket="incoming", Key=f"board/{name}", Body=b"seen")
    before = pids(services)
    os.kill(before[name], signal.SIGKILL)
    psutil.wait_procs([psutil.Process(before[name])] if psutil.pid_exists(before[name]) else [], timeout=10)
    assert [line for works, line in status(services.folder) if not works][0].startswith(f"{name} is not running: it was process {before[name]}")
    said = start_again(services)
    assert said[name].startswith("was not there any more and is started again")
    assert {part: words for part, words in said.items() if not words.startswith("is running")}.keys() == {name}
    assert pids(services) == before | {name: pids(services)[name]}
    assert client.get_experiment(experiment).name == f"before {name} was killed"
    assert s3_client().get_object(Bucket="incoming", Key=f"board/{name}")["Body"].read() == b"seen"


def test_down_leaves_nothing_running_and_all_data(services):
    from mlflow import MlflowClient

    client = MlflowClient(services.env["MLFLOW_TRACKING_URI"])
    experiment = client.create_experiment("kept over night")
    s3_client().put_object(Bucket="incoming", Key="kept", Body=b"over night")
    every = [one for pid in pids(services).values() for one in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]]
    assert [line.split(" ")[0] for line in down(services.folder)] == NAMES[::-1]
    assert [one for one in every if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
    for port in read_settings(services.folder).ports.values():
        with socket.socket() as probe:
            assert probe.connect_ex((HOST, port)) != 0
    assert list(down(services.folder)) == [f"{name} was not running" for name in NAMES[::-1]]
    assert set(start_again(services)) == set(NAMES)
    assert client.get_experiment(experiment).name == "kept over night"
    assert s3_client().get_object(Bucket="incoming", Key="kept")["Body"].read() == b"over night"


def test_mlflow_comes_back_from_a_dump(services, tmp_path):
    from mlflow import MlflowClient

    client = MlflowClient(services.env["MLFLOW_TRACKING_URI"])
    kept = client.create_experiment("in the dump")
    commands = (
        ["pg_dump", "--format=custom", f"--file={tmp_path / 'mlflow.dump'}", "mlflow"],
        ["pg_restore", "--clean", "--if-exists", "--no-owner", "--dbname=mlflow", str(tmp_path / "mlflow.dump")],
    )  # fmt: skip
    subprocess.run(commands[0], env=services.environ, check=True)
    client.rename_experiment(kept, "changed after it")
    subprocess.run(commands[1], env=services.environ, check=True)
    assert client.get_experiment(kept).name == "in the dump"


def test_a_running_part_keeps_its_port(services, capsys):
    assert main(["up", "--folder", str(services.folder), "--ports", "mlflow=0"]) == 2
    assert "mlflow is running on 127.0.0.1" in capsys.readouterr().err
    assert sorted(read_settings(services.folder).ports) == sorted(PORTS)


def test_the_status_command_tells_each_part(services, capsys):
    assert main(["status", "--folder", str(services.folder)]) == 0
    assert [line.split(" ")[0] for line in capsys.readouterr().out.splitlines()] == NAMES
