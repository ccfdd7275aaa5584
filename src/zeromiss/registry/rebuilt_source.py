"""What a registered version says of how it was made, fetched for making it again; and the record of having done so."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeromiss.errors import ZeromissError
from zeromiss.registry.events import record_event
from zeromiss.registry.facts import NONE
from zeromiss.registry.machine import CPU, THREADS
from zeromiss.registry.publish import BUNDLE_TAG, download_bundle
from zeromiss.registry.source import COMPLETE, FOLDER, MISSING
from zeromiss.registry.store import model_name, prepare
from zeromiss.workspace import Workspace

KIND, RECORD = "rebuild", "rebuild.json"


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A version as the registry holds it.

    `digest`: the SHA-256 of its bundle.json; `bundle` and `source`: folders on this machine; `machine`: the tags
    of the processor and the threads it was made with, empty for versions that don't say.
    """

    product: str
    version: str
    commit: str
    digest: str
    bundle: Path
    source: Path
    machine: dict[str, str]


def fetch(product: str, version: str, workspace: Workspace, folder: Path) -> Registered:
    """Fetch a version's bundle, and its source into `folder`, which is made anew.

    Raises ZeromissError for a version that was registered without its source, or with an incomplete one.
    """
    client = prepare(workspace)
    found = client.get_model_version(model_name(product), version)
    _refuse(f"{product}/{version}", found.tags)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    client.download_artifacts(found.run_id, FOLDER, str(folder))
    return Registered(
        product=product,
        version=version,
        commit=found.tags["git.commit"],
        digest=found.tags[BUNDLE_TAG],
        bundle=download_bundle(client, product, version),
        source=folder / FOLDER,
        machine={name: found.tags[name] for name in (CPU, THREADS) if name in found.tags},
    )


def _refuse(model: str, tags: dict[str, str]) -> None:
    """Raise ZeromissError unless the version's tags promise that all is there."""
    if COMPLETE not in tags or tags.get("git.commit", NONE) == NONE:
        raise ZeromissError(f"{model} cannot be made again: it was registered without its source (train it anew to get a version that can)")
    if tags[COMPLETE] != "true":
        raise ZeromissError(f"{model} cannot be made again, its source is incomplete: {tags.get(MISSING, 'no reason is noted')}")


def record(product: str, version: str, workspace: Workspace, result: dict[str, Any]) -> None:
    """Write down in MLflow that the version was made again, with what outcome, and the whole result as a file."""
    facts = {"version": version, "outcome": result["outcome"], "sentence": result["sentence"], "commit": result["commit"]}
    record_event(prepare(workspace), product, workspace, KIND, facts, files={RECORD: result})
