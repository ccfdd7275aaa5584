"""Two versions compared: everything that `zeromiss diff` tells, and the pictures of what flipped."""

from typing import Any

import pandas as pd

from zeromiss.errors import ZeromissError
from zeromiss.files import read_json
from zeromiss.images.manifest import FILE as MANIFEST_FILE
from zeromiss.images.manifest import SCHEMA_VERSION as MANIFEST_VERSION
from zeromiss.inspection.bundle import MANIFEST, SUMMARY
from zeromiss.inspection.inspector import Inspector
from zeromiss.lines import flat
from zeromiss.registry.audit_check import read_mapping, section
from zeromiss.registry.publish import BUNDLE_TAG
from zeromiss.registry.source import FOLDER as SOURCE
from zeromiss.registry.store import model_name
from zeromiss.registry.stored import Stored
from zeromiss.registry.tracking import SCHEMA_VERSION as RUN_VERSION
from zeromiss.reports.diff import common_table, compare_figures, compare_images, compare_values
from zeromiss.reports.diff_code import compare_code
from zeromiss.reports.diff_page import write_page
from zeromiss.reports.diff_verdicts import draw_flips, judge_both
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace

SCHEMA_VERSION = 1
DRAWN = 24  # flips with pictures: the worst first
_NO_MANIFEST = "the list of images is not stored with version {} (registered by an older program), and the workspace's is another"


def compare(before: Stored, after: Stored, workspace: Workspace) -> dict[str, Any]:
    """Return what changed from one version to the other; write the page with the flips where any verdict was compared."""
    manifests = [manifest_of(version, workspace) for version in (before, after)]
    figures = [_figures(version) for version in (before, after)]
    content = {
        "schema_version": SCHEMA_VERSION,
        "product": before.product,
        "before": _who(before),
        "after": _who(after),
        "threshold": compare_figures(*(_threshold(version) for version in (before, after))),
        "metrics": compare_figures(*figures),
        "params": compare_values(before.params, after.params),
        "data": _data(before, after, manifests),
        "code": compare_code(before, after, workspace),
    }
    verdicts, page = _verdicts(before, after, manifests, workspace, content)
    return content | {"verdicts": verdicts | {"page": page}}


def manifest_of(version: Stored, workspace: Workspace) -> pd.DataFrame | None:
    """Return the images a version knew, from its stored source, or the workspace's list where the same run wrote it."""
    stored = version.file(SOURCE, MANIFEST_FILE)
    if stored is not None:
        return read_table(stored, schema_version=MANIFEST_VERSION)
    here, run_file = workspace.manifest(version.product) / MANIFEST_FILE, workspace.run_file(version.product, "manifest")
    if not here.is_file() or not run_file.is_file():
        return None
    same = read_json(run_file, schema_version=RUN_VERSION)["run_id"] == version.tags.get("run.manifest")
    return read_table(here, schema_version=MANIFEST_VERSION) if same else None


def _verdicts(
    before: Stored, after: Stored, manifests: list[pd.DataFrame | None], workspace: Workspace, content: dict[str, Any]
) -> tuple[dict[str, Any], str | None]:
    """Return which verdicts flip and the page that shows them, or a note that says why none was compared."""
    nothing: dict[str, Any] = {"judged": 0, "missing": 0, "not_judged": 0, "drawn": 0, "flips": []}
    note = _reason(before, after, manifests)
    if note:
        return nothing | {"note": note}, None
    images, raw = common_table(*manifests), workspace.raw(before.product)
    try:
        pair = [Inspector.load(one.bundle, model_name=model_name(one.product), model_version=one.version) for one in (before, after)]
    except ZeromissError as refusal:
        return nothing | {"note": f"a bundle cannot judge here: {refusal}"}, None
    found = judge_both(*pair, images, raw)
    facts = {"note": "", "judged": found.judged, "missing": found.missing, "not_judged": found.not_judged}
    facts |= {"drawn": min(len(found.flips), DRAWN), "flips": [flip.content() for flip in found.flips]}
    path = workspace.diff(before.product) / f"{before.version}-{after.version}.html"
    pictures = draw_flips(*pair, found.flips[:DRAWN], raw)
    write_page(path, content | {"verdicts": facts}, list(zip(found.flips, pictures, strict=False)))
    return facts, str(path.relative_to(workspace.root))


def _reason(before: Stored, after: Stored, manifests: list[pd.DataFrame | None]) -> str:
    """Return why no verdict can be compared, empty where it can."""
    if before.tags.get(BUNDLE_TAG) is not None and before.tags.get(BUNDLE_TAG) == after.tags.get(BUNDLE_TAG):
        return "both versions hold the same bundle, so no verdict differs"
    gone = [version.name for version in (before, after) if version.bundle is None]
    if gone:
        return f"the registry does not have the bundle of {' and '.join(gone)} any more: see zeromiss audit"
    silent = [version.version for version, manifest in zip((before, after), manifests, strict=True) if manifest is None]
    return _NO_MANIFEST.format(" and ".join(silent)) if silent else ""


def _data(before: Stored, after: Stored, manifests: list[pd.DataFrame | None]) -> dict[str, Any]:
    """Return the data versions, and which images came, went, or changed label or split."""
    versions = {"before": before.tags.get("data.md5"), "after": after.tags.get("data.md5")}
    silent = [version.version for version, manifest in zip((before, after), manifests, strict=True) if manifest is None]
    if silent:
        unknown = {"added": None, "removed": None, "relabelled": None, "moved": None}
        return versions | unknown | {"note": _NO_MANIFEST.format(" and ".join(silent))}
    return versions | compare_images(*manifests) | {"note": ""}


def _who(version: Stored) -> dict[str, Any]:
    """Return which version this is."""
    return {"model": version.name, "version": version.version, "aliases": list(version.aliases), "registered": version.created}


def _figures(version: Stored) -> dict[str, Any]:
    """Return the figures of a version's summary.json by name, without its lists of images."""
    told = {key: value for key, value in _summary(version).items() if key in ("composite", "detectors", "seconds")}
    return {key: value for key, value in flat(told).items() if not isinstance(value, list)}


def _summary(version: Stored) -> dict[str, Any]:
    """Return the content of a version's summary.json, empty where it is gone."""
    return read_mapping(version.bundle, SUMMARY)


def _threshold(version: Stored) -> dict[str, Any]:
    """Return the threshold's figures, without its sentences."""
    whole = section(_summary(version), "threshold") | section(read_mapping(version.bundle, MANIFEST), "threshold")
    return {key: value for key, value in whole.items() if not (isinstance(value, str) and " " in value)}
