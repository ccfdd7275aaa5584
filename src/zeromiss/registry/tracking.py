"""Runs: a parent run for a training, a run for every stage that was really executed.

A stage is a process of its own. It learns of its parent by the environment variable ZEROMISS_PARENT_RUN
and stands alone without it; MLFLOW_RUN_ID is never handed down. A stage that DVC skips makes no run, so
each stage writes its run's id as one of its outputs.
"""

import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from zeromiss.errors import ZeromissError
from zeromiss.files import write_json
from zeromiss.params import Product
from zeromiss.registry.events import user
from zeromiss.registry.facts import NONE, flat_params, provenance
from zeromiss.registry.store import experiment_id, prepare
from zeromiss.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

SCHEMA_VERSION = 1
PARENT = "ZEROMISS_PARENT_RUN"
_BATCH = 500  # metrics a request; the store takes 1000
_SECONDS = 5.0  # between requests while a curve grows
_LONGEST = 4000  # characters of a tag
_DIGEST = 36  # most characters of a dataset's digest


class MlflowLog:
    """A RunLog that writes to one MLflow run, metrics in batches."""

    def __init__(self, client: "MlflowClient", run_id: str) -> None:
        """Write to the run `run_id`."""
        self.client = client
        self.run_id = run_id
        self._waiting: list[tuple[str, float, int, int]] = []
        self._sent = time.monotonic()

    def metrics(self, values: dict[str, float], *, step: int | None = None) -> None:
        """Record finite numbers, as a point of a curve when `step` is given.

        Raises ZeromissError for a number that is not finite.
        """
        now = int(time.time() * 1000)
        for name, value in values.items():
            if not math.isfinite(value):
                raise ZeromissError(f"the figure {name} is {value}: a run records finite numbers only")
            self._waiting.append((name, float(value), now, step or 0))
        if len(self._waiting) >= _BATCH or time.monotonic() - self._sent > _SECONDS:
            self.flush()

    def artifact(self, path: Path) -> None:
        """Record a file or folder with the run."""
        if path.is_dir():
            self.client.log_artifacts(self.run_id, str(path), path.name)
        else:
            self.client.log_artifact(self.run_id, str(path))

    def tags(self, values: dict[str, str]) -> None:
        """Record short strings with the run."""
        from mlflow.entities import RunTag

        self.client.log_batch(self.run_id, tags=[RunTag(key, str(value)[:_LONGEST]) for key, value in values.items()])

    def flush(self) -> None:
        """Send the metrics that wait."""
        from mlflow.entities import Metric

        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), _BATCH):
            batch = [Metric(*point) for point in waiting[start : start + _BATCH]]
            self.client.log_batch(self.run_id, metrics=batch)
        self._sent = time.monotonic()


@contextmanager
def parent_run(product: Product, workspace: Workspace) -> Iterator[MlflowLog]:
    """Open the run that the stages of one training nest under."""
    with _run(product, workspace, name="train", sections=product.sections, parent=None) as log:
        yield log


@contextmanager
def act_run(
    name: str, product: Product, workspace: Workspace, *, parent: str | None = None, sections: tuple[str, ...] = ()
) -> Iterator[MlflowLog]:
    """Open a run for an act on the outside world, such as registering a model, with the parameters of some sections."""
    with _run(product, workspace, name=name, sections=sections, parent=parent) as log:
        yield log


@contextmanager
def stage_run(stage: str, product: Product, workspace: Workspace) -> Iterator[MlflowLog]:
    """Open a stage's run; when the block ends well, write the stage's run file.

    On any exception the run is marked FAILED (KILLED when interrupted), bears the error's text, and no
    run file is written.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    sections = (stage,) if stage in product.sections else ()
    with _run(product, workspace, name=stage, sections=sections, parent=os.environ.get(PARENT)) as log:
        yield log
        seconds = time.monotonic() - clock
        log.metrics({"seconds": seconds})
        payload = {"run_id": log.run_id, "stage": stage, "started": started.isoformat(), "seconds": round(seconds, 3)}
        write_json(workspace.run_file(product.name, stage), payload, schema_version=SCHEMA_VERSION)


@contextmanager
def _run(
    product: Product, workspace: Workspace, *, name: str, sections: tuple[str, ...], parent: str | None
) -> Iterator[MlflowLog]:
    """Open a run with its tags and parameters and end it with the right status."""
    from mlflow.entities import Param

    client = prepare(workspace)
    tags = provenance(product.name, workspace) | {"stage": name, "mlflow.user": user()}
    if parent:
        tags["mlflow.parentRunId"] = parent
    run_id = client.create_run(experiment_id(client, product.name, workspace), tags=tags, run_name=name).info.run_id
    log = MlflowLog(client, run_id)
    try:
        _name_data(client, run_id, product.name, tags["data.md5"])
        client.log_batch(run_id, params=[Param(key, value) for key, value in flat_params(product, sections).items()])
        yield log
        log.flush()
    except BaseException as error:
        _fail(log, error)
        raise
    client.set_terminated(run_id, "FINISHED")


def _name_data(client: "MlflowClient", run_id: str, product: str, version: str) -> None:
    """Tell MLflow's pages which version of the raw images a run used; nothing before there is one."""
    from mlflow.entities import Dataset, DatasetInput

    if version == NONE:
        return
    source = json.dumps({"path": f"data/01_raw/{product}", "md5": version})
    client.log_inputs(run_id, [DatasetInput(Dataset(name=product, digest=version[:_DIGEST], source_type="dvc", source=source), [])])


def _fail(log: MlflowLog, error: BaseException) -> None:
    """Mark a run as failed, with what it had recorded; never hide the error itself."""
    stopped = isinstance(error, KeyboardInterrupt | GeneratorExit)
    with suppress(Exception):
        log.flush()
        log.tags({"error": str(error) or type(error).__name__})
    with suppress(Exception):
        log.client.set_terminated(log.run_id, "KILLED" if stopped else "FAILED")
