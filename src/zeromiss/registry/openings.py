"""Every time a model was judged on the locked audit set: what was opened, for which model, with which outcome.

An opening is an event whose file names the images by their SHA-256. Uses are counted by image: a set that gained
an image is still, but for that one, the set that was used before.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zeromiss.errors import ZeromissError
from zeromiss.files import read_json
from zeromiss.registry.events import Event, read_events, record_event
from zeromiss.registry.facts import NONE
from zeromiss.registry.publish import BUNDLE_TAG, versions
from zeromiss.registry.verdict import GateVerdict
from zeromiss.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

SCHEMA_VERSION = 1
FILE = "audit.json"


@dataclass(frozen=True, kw_only=True)
class Uses:
    """What is known of an audit set's past: the other models each image was judged by, by path, and how often any was opened."""

    seen: dict[str, frozenset[str]]
    openings: int


def model_id(version: "ModelVersion") -> str:
    """Return what tells a model from others: its bundle's hash, which outlives the registry's numbers."""
    return version.tags.get(BUNDLE_TAG) or f"version {version.version}"


def past_uses(
    client: "MlflowClient", product: str, workspace: Workspace, audit: "pd.DataFrame", *, digest: str, challenger: "ModelVersion"
) -> Uses:
    """Return the uses of the audit images before now; `audit` has path and sha256, `digest` is the set's hash.

    An opening whose list of images is lost counts as one of all of them. So does the mark that an earlier
    decision on the same set left on a version, should its event be missing.
    """
    present = frozenset(audit["sha256"])
    opened = [(event, _images(client, event)) for event in read_events(client, product, workspace, "audit_opening")]
    shared = [(event.facts.get("model", NONE), present if images is None else images & present) for event, images in opened]
    marked = [model_id(version) for version in versions(client, product) if version.tags.get("gate.audit") == digest]
    uses = [*shared, *((model, present) for model in marked)]
    own = model_id(challenger)
    seen = {
        row.path: frozenset(model for model, images in uses if row.sha256 in images and model != own) for row in audit.itertuples()
    }
    return Uses(seen=seen, openings=sum(bool(images) for _, images in shared))


def record_opening(
    client: "MlflowClient",
    product: str,
    workspace: Workspace,
    audit: "pd.DataFrame",
    answer: GateVerdict,
    *,
    digest: str,
    challenger: "ModelVersion",
    champion: str | None,
    outcome: str,
) -> None:
    """Write down that a model was judged on the audit set, and what came of it: `outcome`."""
    bound = answer.miss_rate_bound
    facts = {
        "audit": digest,
        "version": str(challenger.version),
        "model": model_id(challenger),
        "champion": champion or NONE,
        "outcome": outcome,
        "defects": str(answer.n_defects),
        "missed": str(answer.missed),
        "bound": NONE if bound is None else f"{bound:.6g}",
        "looks": str(answer.looks),
        "openings": str(answer.openings),
    }
    images = {"schema_version": SCHEMA_VERSION, "images": sorted(audit["sha256"])}
    record_event(client, product, workspace, "audit_opening", facts, files={FILE: images})


def _images(client: "MlflowClient", event: Event) -> frozenset[str] | None:
    """Return the hashes of the images that were opened, None where the list is lost."""
    from mlflow.exceptions import MlflowException

    try:
        path = Path(client.download_artifacts(event.run_id, FILE))
        return frozenset(read_json(path, schema_version=SCHEMA_VERSION)["images"])
    except (MlflowException, OSError, ZeromissError, KeyError):
        return None
