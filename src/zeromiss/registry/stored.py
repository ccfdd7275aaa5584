"""What the registry stores of a version, read once: for the audit, the comparison of two, and the rebuilding.

Everything is read where it lies; what lies on a server is fetched into a temporary folder. Nothing is written.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from zeromiss.registry.source import FOLDER as SOURCE
from zeromiss.registry.store import model_name, reading
from zeromiss.stages.base import STAGES
from zeromiss.workspace import Workspace

_WHOLE = ("manifest", "metrics", "selection", "threshold")  # sections that a run with all parameters has, in versions of any time

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_FETCHED = (SOURCE, "seal", "promotion")  # folders among the artifacts of the run that registered


@dataclass(frozen=True, kw_only=True)
class StageRun:
    """A stage's run as the version names it; without `status` the store does not have it any more."""

    stage: str
    run_id: str
    status: str | None = None  # as MLflow says it; DELETED where someone deleted the run
    started: str | None = None  # ISO 8601, UTC
    seconds: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A version with what belongs to it. Paths are None where the store has no such files.

    params: `section.key` -> text, as resolved by the program that trained, defaults of that time included.
    """

    product: str
    version: str
    tags: dict[str, str]
    aliases: tuple[str, ...]
    created: str  # ISO 8601, UTC
    run_id: str
    run_status: str | None
    parent_id: str | None
    params: dict[str, str]
    stages: tuple[StageRun, ...]
    model: Path | None
    bundle: Path | None
    artifacts: dict[str, Path]  # folders source, seal, promotion, as far as they are there

    @property
    def name(self) -> str:
        """The version in words."""
        return f"{model_name(self.product)} version {self.version}"

    def file(self, folder: str, name: str) -> Path | None:
        """Return a file of one of the artifact folders if it is there."""
        path = self.artifacts.get(folder, Path()) / name
        return path if folder in self.artifacts and path.is_file() else None


@dataclass(frozen=True, kw_only=True)
class Store:
    """An open store: the client and a folder for what has to be fetched."""

    client: "MlflowClient"
    folder: Path

    def fetch(self, uri: str) -> Path | None:
        """Return where an artifact file or folder lies, fetched if that is elsewhere; None where it is gone."""
        import mlflow
        from mlflow.exceptions import MlflowException

        parts = urlparse(uri)
        if parts.scheme in ("", "file"):
            path = Path(unquote(parts.path))
            return path if path.exists() else None
        try:
            into = tempfile.mkdtemp(dir=self.folder)
            found = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=into))
        except (MlflowException, OSError):
            return None
        return found if found.is_file() or (found.is_dir() and any(found.iterdir())) else None

    def run(self, run_id: str | None) -> "Run | None":
        """Return a run, None where the store has none of that id."""
        from mlflow.exceptions import MlflowException

        if run_id is None:
            return None
        try:
            return self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise


@contextmanager
def open_store(workspace: Workspace) -> Iterator[Store]:
    """Open the store for reading; what is fetched from a server goes away when the block ends.

    Raises ZeromissError where there is none.
    """
    client = reading(workspace)
    with tempfile.TemporaryDirectory(prefix="zeromiss-") as folder:
        yield Store(client=client, folder=Path(folder))


def read_version(store: Store, product: str, version: str) -> Stored:
    """Return what is stored of a version that exists; what is gone is left out, for the audit to name."""
    found = store.client.get_model_version(model_name(product), version)
    run = store.run(found.run_id)
    parent_id = run.data.tags.get("mlflow.parentRunId") if run is not None else None
    stages = tuple(_stage(store, stage, found.tags[f"run.{stage}"]) for stage in STAGES if f"run.{stage}" in found.tags)
    model = store.fetch(store.client.get_model_version_download_uri(model_name(product), version))
    return Stored(
        product=product,
        version=version,
        tags=dict(found.tags),
        aliases=tuple(sorted(found.aliases)),
        created=_iso(found.creation_timestamp),
        run_id=found.run_id,
        run_status=_status(run),
        parent_id=parent_id,
        params=_params(run, store.run(parent_id), stages),
        stages=stages,
        model=model,
        bundle=_bundle(model),
        artifacts=_artifacts(store, run),
    )


def _stage(store: Store, stage: str, run_id: str) -> StageRun:
    """Return a stage's run."""
    run = store.run(run_id)
    if run is None:
        return StageRun(stage=stage, run_id=run_id)
    metrics = {key: float(value) for key, value in run.data.metrics.items()}
    return StageRun(
        stage=stage,
        run_id=run_id,
        status=_status(run),
        started=_iso(run.info.start_time),
        seconds=metrics.get("seconds"),
        metrics=metrics,
        params=dict(run.data.params),
    )


def _status(run: "Run | None") -> str | None:
    """Return how a run ended, DELETED where someone deleted it, None where there is none."""
    if run is None:
        return None
    return str(run.info.status) if run.info.lifecycle_stage == "active" else "DELETED"


def _params(run: "Run | None", parent: "Run | None", stages: tuple[StageRun, ...]) -> dict[str, str]:
    """Return the parameters from the run that registered, its parent, or put together from the stages' runs.

    Not from the stored params.yaml: a program of another time would lay its own defaults under it.
    """
    for holder in (run, parent):
        if holder is not None and all(any(key.startswith(f"{section}.") for key in holder.data.params) for section in _WHOLE):
            return dict(holder.data.params)
    return {key: value for stage in stages for key, value in stage.params.items()}


def _bundle(model: Path | None) -> Path | None:
    """Return the bundle's folder in a registered model, None where the model does not say or have it."""
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    if model is None:
        return None
    try:
        path = model / Model.load(str(model)).flavors["python_function"]["artifacts"]["bundle"]["path"]
    except (MlflowException, OSError, KeyError, TypeError, ValueError):
        return None
    return path if path.is_dir() else None


def _artifacts(store: Store, run: "Run | None") -> dict[str, Path]:
    """Return the folders among the artifacts of the run that registered."""
    if run is None:
        return {}
    there = {one.path for one in store.client.list_artifacts(run.info.run_id)} & set(_FETCHED)
    found = {name: store.fetch(f"{run.info.artifact_uri.rstrip('/')}/{name}") for name in sorted(there)}
    return {name: path for name, path in found.items() if path is not None}


def _iso(milliseconds: int) -> str:
    """Return a time of MLflow's as ISO 8601 in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
