"""The model in charge and what it is watched with."""

from pathlib import Path

from zeromiss.errors import ZeromissError
from zeromiss.files import read_json
from zeromiss.inspection.bundle import MANIFEST, SUMMARY
from zeromiss.inspection.bundle import SCHEMA_VERSION as BUNDLE_VERSION
from zeromiss.inspection.summary import SCHEMA_VERSION as SUMMARY_VERSION
from zeromiss.monitoring.watched import Watched
from zeromiss.registry.audit_files import check_monitor
from zeromiss.registry.champion import in_charge
from zeromiss.registry.normals import FILE, FOLDER, SCHEMA_VERSION
from zeromiss.registry.stored import open_store
from zeromiss.registry.verified import not_as_registered, verify
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace


def watched(product: str, workspace: Workspace) -> Watched:
    """Return the model in charge with its table's normal images.

    Raises ZeromissError when no model is registered, it was registered without them, or anything is not as it was registered.
    """
    version, _ = in_charge(product, workspace)
    with open_store(workspace) as store:
        stored = verify(store, product, version, workspace)
        if FOLDER not in stored.artifacts:
            raise ZeromissError(
                f"{stored.name} was registered without its table's normal images, which recent ones are compared with: "
                f"register a model anew with zeromiss run {product}"
            )
        for finding in check_monitor(stored).findings:
            raise not_as_registered(stored, finding.sentence)
        features = read_json(stored.bundle / MANIFEST, schema_version=BUNDLE_VERSION)["features"]
        fpr, source = _expected(stored.bundle)
        normals = read_table(stored.artifacts[FOLDER] / FILE, schema_version=SCHEMA_VERSION)
    return Watched(version=version, normals=normals[features], expected_fpr=fpr, expected_from=source)


def _expected(bundle: Path) -> tuple[float, str]:
    """Return the false-positive rate to expect and where it comes from."""
    composite = read_json(bundle / SUMMARY, schema_version=SUMMARY_VERSION)["composite"]
    if composite.get("honest"):
        return float(composite["honest"]["fpr"]["mean"]), "forecast by outer folds"
    return float(composite["paper"]["zfn"]["fpr"]), "on the table's own images, out of fold"
