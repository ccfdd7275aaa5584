"""The model in charge and what it is watched with."""

import tempfile
from pathlib import Path

import pandas as pd

from zeromiss.errors import ZeromissError
from zeromiss.files import read_json
from zeromiss.inspection.bundle import MANIFEST, SUMMARY
from zeromiss.inspection.bundle import SCHEMA_VERSION as BUNDLE_VERSION
from zeromiss.inspection.summary import SCHEMA_VERSION as SUMMARY_VERSION
from zeromiss.monitoring.watched import Watched
from zeromiss.registry.normals import FILE, FOLDER, SCHEMA_VERSION
from zeromiss.registry.publish import download_bundle, in_charge
from zeromiss.registry.store import model_name, prepare
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace


def watched(product: str, workspace: Workspace) -> Watched:
    """Return the model in charge with its table's normal images.

    Raises ZeromissError when no model is registered, or it was registered without them.
    """
    version, _ = in_charge(product, workspace)
    client = prepare(workspace)
    bundle = download_bundle(client, product, version)
    features = read_json(bundle / MANIFEST, schema_version=BUNDLE_VERSION)["features"]
    fpr, source = _expected(bundle)
    run_id = client.get_model_version(model_name(product), version).run_id
    return Watched(version=version, normals=_normals(product, workspace, run_id, version)[features], expected_fpr=fpr, expected_from=source)


def _normals(product: str, workspace: Workspace, run_id: str, version: str) -> pd.DataFrame:
    """Return the normal images' rows that lie with a run."""
    client = prepare(workspace)
    if not any(Path(one.path).name == FILE for one in client.list_artifacts(run_id, FOLDER)):
        raise ZeromissError(
            f"{model_name(product)} version {version} was registered without its table's normal images, which recent ones are compared with: "
            f"register a model anew with zeromiss run {product}"
        )
    with tempfile.TemporaryDirectory() as folder:
        return read_table(Path(client.download_artifacts(run_id, f"{FOLDER}/{FILE}", folder)), schema_version=SCHEMA_VERSION)


def _expected(bundle: Path) -> tuple[float, str]:
    """Return the false-positive rate to expect and where it comes from."""
    composite = read_json(bundle / SUMMARY, schema_version=SUMMARY_VERSION)["composite"]
    if composite.get("honest"):
        return float(composite["honest"]["fpr"]["mean"]), "forecast by outer folds"
    return float(composite["paper"]["zfn"]["fpr"]), "on the table's own images, out of fold"
