"""A report's place in the registry: which version holds the bundle it is about, what the gate said of that version,
and the page among the artifacts of the version's run.
"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeromiss.registry.promotion import read_record
from zeromiss.registry.publish import CHALLENGER, CHAMPION, find_alias, find_bundle
from zeromiss.registry.store import model_name, prepare
from zeromiss.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

REPORT, RECORDS = "report", "promotion"  # folders of a run's artifacts


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the registry knows of one bundle."""

    model: str  # the registered model's name
    version: str | None = None  # that holds the bundle; None: it was not registered
    aliases: dict[str, str] = field(default_factory=dict)  # challenger and champion, with the versions that bear them
    tags: dict[str, str] = field(default_factory=dict)  # of the version: commit, data, runs
    gate: dict[str, Any] | None = None  # the gate's last record on this version; None: it was never asked about it


def standing(product: str, workspace: Workspace, digest: str) -> Standing:
    """Return what the registry knows of the bundle whose bundle.json has the SHA-256 `digest`.

    Raises ZeromissError when the gate's record on it is broken.
    """
    client, name = prepare(workspace), model_name(product)
    borne = {alias: find_alias(client, product, alias) for alias in (CHALLENGER, CHAMPION)}
    aliases = {alias: version for alias, version in borne.items() if version is not None}
    found = find_bundle(client, product, digest)
    if found is None:
        return Standing(model=name, aliases=aliases)
    gate = _record(client, product, found.run_id)
    return Standing(model=name, version=str(found.version), aliases=aliases, tags=dict(found.tags), gate=gate)


def attach_page(product: str, workspace: Workspace, page: Path, *, version: str) -> None:
    """Put a report's page among the artifacts of the run of a version, in place of an earlier one."""
    client = prepare(workspace)
    client.log_artifact(client.get_model_version(model_name(product), version).run_id, str(page), REPORT)


def _record(client: "MlflowClient", product: str, run_id: str) -> dict[str, Any] | None:
    """Return the gate's record among a run's artifacts: the last one on that version."""
    path = f"{RECORDS}/{product}.json"
    if path not in {artifact.path for artifact in client.list_artifacts(run_id, RECORDS)}:
        return None
    with tempfile.TemporaryDirectory() as folder:
        return read_record(Path(client.download_artifacts(run_id, path, folder)))
