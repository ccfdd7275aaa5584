"""MLflow's store: SQLite and a folder of artifacts inside the repository, unless a server is named."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from zeromiss.errors import ZeromissError
from zeromiss.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

TRACKING_URI = "MLFLOW_TRACKING_URI"  # the environment variable that names a server
DATABASE = "mlflow.db"


def tracking_uri(workspace: Workspace) -> str:
    """Return the server's address, or that of the embedded SQLite database."""
    return os.environ.get(TRACKING_URI) or f"sqlite:///{_folder(workspace) / DATABASE}"


def experiment_name(product: str) -> str:
    """Return the experiment that holds a product's runs."""
    return f"zeromiss-{product}"


def model_name(product: str) -> str:
    """Return the name a product's models are registered under."""
    return f"zeromiss-{product}"


def prepare(workspace: Workspace) -> "MlflowClient":
    """Point MLflow to the store, create or upgrade the embedded database, and return a client.

    To be called once before any other process opens the store: SQLite loses races while migrating.
    Nothing is sent anywhere but to the store.
    """
    if not os.environ.get(TRACKING_URI):
        quiet()
        _folder(workspace).mkdir(parents=True, exist_ok=True)
        _upgrade(tracking_uri(workspace))
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
    location = None if os.environ.get(TRACKING_URI) else (_folder(workspace) / "artifacts" / product).as_uri()
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
