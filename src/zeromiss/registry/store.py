"""MLflow's store: SQLite and a folder of artifacts inside the repository, unless a server is named."""

import logging
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from zeromiss.errors import ZeromissError
from zeromiss.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

TRACKING_URI = "MLFLOW_TRACKING_URI"  # the environment variable that names a server
DATABASE = "mlflow.db"
_ARTIFACTS = "/artifacts/"
_PATHS = (  # columns of MLflow's tables that hold paths of files
    ("experiments", "artifact_location"), ("runs", "artifact_uri"), ("model_versions", "source"), ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)  # fmt: skip


def tracking_uri(workspace: Workspace) -> str:
    """Return the server's address, or that of the embedded SQLite database."""
    return os.environ.get(TRACKING_URI) or f"sqlite:///{_folder(workspace) / DATABASE}"


def embedded_home(workspace: Workspace) -> str | None:
    """Return the address of the folder that holds the embedded store's files, None where a server is named."""
    return None if os.environ.get(TRACKING_URI) else (_folder(workspace) / "artifacts").absolute().as_uri()


def experiment_name(product: str) -> str:
    """Return the experiment that holds a product's runs."""
    return f"zeromiss-{product}"


def model_name(product: str) -> str:
    """Return the name a product's models are registered under."""
    return f"zeromiss-{product}"


def prepare(workspace: Workspace) -> "MlflowClient":
    """Point MLflow to the store, create or upgrade the embedded database, and return a client.

    To be called once before any other process opens the store: SQLite loses races while migrating. Where the workspace
    was moved or copied, the database's paths of files follow.
    Nothing is sent anywhere but to the store.
    """
    if not os.environ.get(TRACKING_URI):
        quiet()
        _folder(workspace).mkdir(parents=True, exist_ok=True)
        _upgrade(tracking_uri(workspace))
        if (before := _lay_before(workspace)) is not None:
            _follow_move(workspace, before)
    return _client(workspace)


def reading(workspace: Workspace) -> "MlflowClient":
    """Point MLflow to the store and return a client for reading: nothing is created, nothing upgraded.

    Raises ZeromissError when there is no store, or one that an older MLflow wrote.
    """
    quiet()
    if not os.environ.get(TRACKING_URI):
        database = _folder(workspace) / DATABASE
        if not database.is_file():
            raise ZeromissError(
                f"{database} does not exist, so no model is registered here: copy the mlruns folder that holds the models, "
                f"name its server in {TRACKING_URI}, or train a model with zeromiss run PRODUCT"
            )
        if not _is_current(tracking_uri(workspace)):
            raise ZeromissError(f"{database} has the tables of another MLflow: zeromiss promote PRODUCT upgrades an older one (copy it first)")
        if (before := _lay_before(workspace)) is not None:
            raise ZeromissError(
                f"{database} names files below {_path(before)}, which this workspace was moved or copied from: zeromiss promote PRODUCT follows"
            )
    return _client(workspace)


def _client(workspace: Workspace) -> "MlflowClient":
    """Point MLflow to the store and return a client."""
    quiet()
    import mlflow

    named, uri = os.environ.get(TRACKING_URI), tracking_uri(workspace)
    mlflow.set_tracking_uri(uri)  # writes the environment variable too, which is the user's to set
    mlflow.set_registry_uri(uri)
    if not named:
        os.environ.pop(TRACKING_URI, None)
    return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)


def experiment_id(client: "MlflowClient", product: str, workspace: Workspace) -> str:
    """Return the id of the product's experiment, made on first use."""
    from mlflow.exceptions import MlflowException

    name = experiment_name(product)
    found = client.get_experiment_by_name(name)
    if found is not None:
        return found.experiment_id
    location = None if os.environ.get(TRACKING_URI) else (_folder(workspace) / "artifacts" / product).absolute().as_uri()
    try:
        return client.create_experiment(name, artifact_location=location)
    except MlflowException:  # another process was quicker
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return found.experiment_id


def quiet() -> None:
    """Turn off telemetry, and the services' own chatter."""
    os.environ.update({"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"})
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _folder(workspace: Workspace) -> Path:
    """Return the folder of the embedded store."""
    return workspace.root / "mlruns"


def _is_current(uri: str) -> bool:
    """Return whether a database has the tables of the installed MLflow."""
    from mlflow.store.db.utils import _get_latest_schema_revision, _get_schema_version
    from sqlalchemy import create_engine

    engine = create_engine(uri)
    try:
        return _get_schema_version(engine) == _get_latest_schema_revision()
    finally:
        engine.dispose()


def _lay_before(workspace: Workspace) -> str | None:
    """Return the URI of the folder that holds the files named in the database, where the workspace was moved or copied from there.

    Copied: the other folder is still there, and the same files lie in this one.
    """
    here = _folder(workspace).absolute()
    with closing(sqlite3.connect(f"{(here / DATABASE).as_uri()}?mode=ro", uri=True)) as base:
        found = base.execute("SELECT artifact_location FROM experiments WHERE name LIKE 'zeromiss-%'").fetchall()
    for location in sorted(place for (place,) in found if place and place.startswith("file:") and _ARTIFACTS in place):
        folder, _, name = location.rpartition(_ARTIFACTS)
        there = _path(folder)
        if there.resolve() != here.resolve() and (not there.exists() or (here / _ARTIFACTS.strip("/") / unquote(name)).is_dir()):
            return folder
    return None


def _follow_move(workspace: Workspace, before: str) -> None:
    """Have every path in the database that begins with `before` lie in this workspace's folder, all at once or none."""
    here = _folder(workspace).absolute().as_uri()
    with closing(sqlite3.connect(_folder(workspace) / DATABASE, timeout=30.0)) as base, base:
        for table, column in _PATHS:
            change = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?"
            base.execute(change, (here, len(before) + 1, len(before) + 1, f"{before}/"))
    print(f"zeromiss: this workspace was moved or copied from {_path(before).parent}: the registry's paths follow", file=sys.stderr)


def _path(uri: str) -> Path:
    """Return the path of a file's URI."""
    return Path(unquote(urlparse(uri).path))


def _upgrade(uri: str) -> None:
    """Bring the database to the schema of the installed MLflow; does nothing when it is there already."""
    from mlflow.store.db.utils import _get_latest_schema_revision, _get_schema_version, _safe_initialize_tables, _upgrade_db
    from sqlalchemy import create_engine

    engine = create_engine(uri)
    try:
        _safe_initialize_tables(engine)
        if _get_schema_version(engine) != _get_latest_schema_revision():
            _upgrade_db(engine)
    finally:
        engine.dispose()
