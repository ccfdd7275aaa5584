"""What the registry knows of a version besides its verdicts: its source, its report, its past, its shadow verdicts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from zeromiss import schemas
from zeromiss.errors import ZeromissError
from zeromiss.files import read_json
from zeromiss.inspection.shadow import count
from zeromiss.params import Product
from zeromiss.registry.decisions import CHAMPION_KINDS, Log
from zeromiss.registry.facts import NONE
from zeromiss.registry.hardest import read_hardest
from zeromiss.registry.publish import BUNDLE_TAG
from zeromiss.registry.release_criteria import Release
from zeromiss.registry.source import COMPLETE, MISSING
from zeromiss.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

REPORT_FILE = "report.json"  # what the report stage writes, which this room must not import


def find_release(
    client: "MlflowClient", product: Product, workspace: Workspace, version: "ModelVersion", champion: str | None, log: Log
) -> Release:
    """Return what is known of a version and what the product's parameters ask of it."""
    tags, number = version.tags, str(version.version)
    return Release(
        alarm_level=product.promotion.alarm_level,
        min_passed=product.promotion.min_passed,
        latency_ms=product.promotion.latency_ms,
        clean=product.promotion.clean,
        report_needed=product.promotion.report,
        commit=_known(tags, "git.commit"),
        dirty=_yes(tags, "git.dirty"),
        complete=_yes(tags, COMPLETE),
        missing=tags.get(MISSING, ""),
        data=_known(tags, "data.md5"),
        report=_reported(client, product.name, workspace, version),
        withdrawn=withdrawn(log, number),
        hardest=read_hardest(tags),
        shadow=None if champion is None else count(workspace.shadow(product.name), champion, number),
    )


def withdrawn(log: Log, version: str) -> str:
    """Return why a version was taken out of service by a rollback, empty where it was not, or came back since."""
    for entry in reversed(log.entries):
        if entry.kind in CHAMPION_KINDS and entry.facts["version"] == version:
            return ""
        if entry.kind == "rollback" and entry.facts["before"] == version:
            return f"by {entry.facts['by']} at {entry.at[:16]}Z: {entry.facts['why']}"
    return ""


def _known(tags: Mapping[str, str], key: str) -> str | None:
    """Return a tag, None where it says that there is none."""
    return None if tags.get(key, NONE) == NONE else tags[key]


def _yes(tags: Mapping[str, str], key: str) -> bool | None:
    """Return a tag that is true or false, None where it is missing."""
    return None if key not in tags else tags[key] == "true"


def _reported(client: "MlflowClient", product: str, workspace: Workspace, version: "ModelVersion") -> bool:
    """Return whether the report stage's facts here are about the version's bundle, or its page lies with the version's run."""
    try:
        if read_json(workspace.report(product) / REPORT_FILE, schema_version=schemas.REPORT).get("bundle") == version.tags.get(BUNDLE_TAG):
            return True
    except ZeromissError:
        pass  # not here, or of another time: the page may lie with the run
    return any(one.path == f"report/{product}.html" for one in client.list_artifacts(version.run_id, "report"))
