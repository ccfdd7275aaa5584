"""Registering a bundle, and getting an inspector back from the registry.

A bundle is identified by the SHA-256 of its `bundle.json`, which lists the SHA-256 of every file in it;
one that is registered already is not registered again.
"""

import importlib.metadata
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeromiss import schemas
from zeromiss.errors import ZeromissError
from zeromiss.files import read_json, sha256_file
from zeromiss.images.labels import FILE as LABELS_FILE
from zeromiss.images.labels import SCHEMA_VERSION as LABELS_VERSION
from zeromiss.images.near_duplicates import FILE as DUPLICATES_FILE
from zeromiss.inspection.bundle import MANIFEST, SUMMARY
from zeromiss.inspection.inspector import Inspector
from zeromiss.inspection.summary import SCHEMA_VERSION as SUMMARY_VERSION
from zeromiss.params import Product
from zeromiss.registry.card import card
from zeromiss.registry.events import move_alias, user
from zeromiss.registry.facts import provenance
from zeromiss.registry.hardest import hardest_tag
from zeromiss.registry.normals import log_normals
from zeromiss.registry.seal import MODEL, listing, log_seal
from zeromiss.registry.source import log_source
from zeromiss.registry.store import model_name, prepare
from zeromiss.registry.tracking import SCHEMA_VERSION as RUN_VERSION
from zeromiss.registry.tracking import MlflowLog, act_run
from zeromiss.stages.base import stages_of
from zeromiss.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import ModelSignature
    from mlflow.models.model import ModelInfo

CHALLENGER, CHAMPION = "challenger", "champion"
BUNDLE_TAG = "bundle.sha256"
BY_TAG, HOST_TAG = "registered.by", "registered.host"


@dataclass(frozen=True, kw_only=True)
class Registration:
    """The version that holds a bundle, and whether it was made just now."""

    name: str
    version: str
    created: bool


def register(
    product: Product, workspace: Workspace, *, parent: str | None = None, example: Path | None = None
) -> Registration:
    """Register the product's bundle as challenger and return its version.

    The model is logged with a run of its own, nested under `parent`; `example` is an image file that becomes
    the input example. A bundle that is registered already keeps its version. Raises ZeromissError when there
    is no bundle, or when what the registry gives back is not what went in.
    """
    client, name, bundle = prepare(workspace), model_name(product.name), workspace.bundle(product.name)
    if not (bundle / MANIFEST).is_file():
        raise ZeromissError(f"{bundle / MANIFEST} is missing: run the bundle stage before registering")
    digest = sha256_file(bundle / MANIFEST)
    known = find_bundle(client, product.name, digest)
    if known is not None:
        move_alias(client, product.name, workspace, CHALLENGER, str(known.version), "its bundle was registered again")
        return Registration(name=name, version=str(known.version), created=False)
    with act_run("register", product, workspace, parent=parent, sections=product.sections) as log:
        version = _create(log, product, workspace, example=example, digest=digest)
    fetched = download_bundle(client, product.name, version)
    if sha256_file(fetched / MANIFEST) != digest:
        raise ZeromissError(f"{name} version {version}: the registry gave back another bundle: check its artifact store")
    move_alias(client, product.name, workspace, CHALLENGER, version, "its bundle was registered")
    return Registration(name=name, version=version, created=True)


def load_inspector(product: str, workspace: Workspace, *, alias: str | None = None, version: str | None = None) -> Inspector:
    """Load a registered model, named by its alias or version, through the one inspection path.

    Raises ZeromissError when there is no such model.
    """
    client = prepare(workspace)
    found = version or find_alias(client, product, alias or CHAMPION)
    if found is None:
        raise ZeromissError(f"{model_name(product)} has no {alias or CHAMPION}: train it with zeromiss run {product}")
    bundle = download_bundle(client, product, found)
    return Inspector.load(bundle, model_name=model_name(product), model_version=found)


def in_charge(product: str, workspace: Workspace) -> tuple[str, str]:
    """Return version and alias of the model that judges: the champion, before the first one the challenger.

    Raises ZeromissError when neither is registered.
    """
    client = prepare(workspace)
    for alias in (CHAMPION, CHALLENGER):
        version = find_alias(client, product, alias)
        if version is not None:
            return version, alias
    raise ZeromissError(f"no model of {product} is registered: train one with zeromiss run {product}")


def find_alias(client: "MlflowClient", product: str, alias: str) -> str | None:
    """Return the version that bears an alias, None where none does."""
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_model_version_by_alias(model_name(product), alias).version)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def versions(client: "MlflowClient", product: str) -> list["ModelVersion"]:
    """Return all versions of a product's model, the newest first."""
    found = client.search_model_versions(f"name = '{model_name(product)}'")
    return sorted(found, key=lambda version: -int(version.version))


def find_bundle(client: "MlflowClient", product: str, digest: str) -> "ModelVersion | None":
    """Return the newest version that holds the bundle with this SHA-256."""
    return next((version for version in versions(client, product) if version.tags.get(BUNDLE_TAG) == digest), None)


def download_bundle(client: "MlflowClient", product: str, version: str) -> Path:
    """Return the folder of a registered version's bundle, fetched if the store is elsewhere.

    Raises ZeromissError when there is no such version, or its files are gone.
    """
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    name = model_name(product)
    try:
        folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{name}/{version}"))
        stated = Model.load(str(folder)).flavors["python_function"]["artifacts"]["bundle"]["path"]
    except (MlflowException, OSError) as error:
        line = " ".join(str(error).split())
        raise ZeromissError(f"{name} version {version} cannot be fetched from the registry ({line}): register it anew") from None
    return folder / stated


def _create(log: MlflowLog, product: Product, workspace: Workspace, *, example: Path | None, digest: str) -> str:
    """Log the bundle and its source with the run, register it, and return the new version."""
    client, name = log.client, model_name(product.name)
    summary = read_json(workspace.bundle(product.name) / SUMMARY, schema_version=SUMMARY_VERSION)
    tags = version_tags(product, workspace) | {BUNDLE_TAG: digest} | log_source(log, product, workspace)
    model = _log(workspace.bundle(product.name), run_id=log.run_id, example=example)
    tags |= _seal(log, model.model_uri)
    log_normals(log, product.name, workspace)
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, description=f"Zero-miss visual inspection of {product.name}")
    made = client.create_model_version(
        name, model.model_uri, run_id=log.run_id, tags=tags, description=card(product.name, tags, summary), model_id=model.model_id
    )
    return str(made.version)


def _seal(log: MlflowLog, model_uri: str) -> dict[str, str]:
    """Log the SHA-256 of every file of the logged model, and return the tag with the list's own."""
    import mlflow

    return log_seal(log, MODEL, listing(Path(mlflow.artifacts.download_artifacts(artifact_uri=model_uri))))


def _log(bundle: Path, *, run_id: str, example: Path | None) -> "ModelInfo":
    """Log the bundle as a pyfunc model from code."""
    import mlflow

    here = Path(__file__).resolve()
    with mlflow.start_run(run_id=run_id):
        return mlflow.pyfunc.log_model(
            name="inspection",
            python_model=str(here.with_name("pyfunc_model.py")),
            artifacts={"bundle": str(bundle)},
            code_paths=[str(here.parents[1])],
            signature=signature(),
            input_example=_example(example),
            pip_requirements=requirements(),
        )


def signature() -> "ModelSignature":
    """Return the model's signature: optional columns path and image in, a verdict a row out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    inputs = [ColSpec(DataType.string, "path", required=False), ColSpec(DataType.binary, "image", required=False)]
    texts = {name: DataType.string for name in ("path", "verdict", "patches", "error")}
    kinds = texts | dict.fromkeys(("score", "probability", "threshold"), DataType.double)
    order = ("path", "verdict", "score", "probability", "threshold", "patches", "error")
    outputs = [ColSpec(kinds[name], name, required=name != "probability") for name in order]  # null where nothing is calibrated
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


def requirements() -> list[str]:
    """Return the project's own dependencies at the installed versions: what a served model needs.

    The code itself lies in the model, so the project is not among them.
    """
    pinned = set()
    for line in importlib.metadata.requires("zeromiss") or []:
        requirement, _, marker = line.partition(";")
        if "extra" not in marker:
            name = requirement.split("[")[0].strip()
            for sign in "<>=!~ ":
                name = name.split(sign)[0]
            pinned.add(f"{name}=={importlib.metadata.version(name)}")
    return sorted(pinned)


def version_tags(product: Product, workspace: Workspace) -> dict[str, str]:
    """Return what a registered version says of itself: where it came from, by whom, its threshold and its runs."""
    tags = provenance(product.name, workspace) | {BY_TAG: user(), HOST_TAG: socket.gethostname()}
    summary = read_json(workspace.bundle(product.name) / SUMMARY, schema_version=SUMMARY_VERSION)
    tags |= {f"threshold.{key}": str(value) for key, value in summary["threshold"].items() if not isinstance(value, dict)} | hardest_tag(summary)
    changes = workspace.manifest(product.name) / LABELS_FILE
    if changes.is_file():
        tags["labels"] = read_json(changes, schema_version=LABELS_VERSION)["sentence"] or "as the raw images came"
    duplicates = workspace.manifest(product.name) / DUPLICATES_FILE
    if duplicates.is_file():
        tags["near_duplicates"] = read_json(duplicates, schema_version=schemas.DUPLICATES)["sentence"] or "not looked for"
    for stage in stages_of(product.detectors):
        if workspace.run_file(product.name, stage).is_file():
            run = read_json(workspace.run_file(product.name, stage), schema_version=RUN_VERSION)
            tags[f"run.{stage}"] = run["run_id"]
    return tags


def _example(path: Path | None) -> Any:
    """Return the input example: one image as bytes, or a path that shows the form."""
    import pandas as pd

    if path is None:
        return pd.DataFrame({"path": ["part-0001.png"]})
    return pd.DataFrame({"image": [path.read_bytes()]})
