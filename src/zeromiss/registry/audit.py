"""The audit of a version: all that is stored of it, and whether that still fits together."""

from collections.abc import Mapping, Sequence
from typing import Any

from zeromiss.files import sha256_file
from zeromiss.inspection.bundle import MANIFEST, SUMMARY, VQGAN
from zeromiss.registry import audit_facts as facts
from zeromiss.registry.audit_check import Check, read_mapping, section
from zeromiss.registry.audit_files import check_bundle, check_model, check_source, check_summary
from zeromiss.registry.audit_records import check_aliases, check_data, check_decision, check_log, check_runs, check_threshold
from zeromiss.registry.decisions import read_log
from zeromiss.registry.events import Event, read_events
from zeromiss.registry.facts import NONE, git_output, pointer_hash
from zeromiss.registry.publish import BUNDLE_TAG
from zeromiss.registry.store import model_name
from zeromiss.registry.stored import Store, Stored, read_version
from zeromiss.stages.base import stages_of
from zeromiss.workspace import Workspace

SCHEMA_VERSION = 1


def audit(store: Store, product: str, version: str, workspace: Workspace) -> dict[str, Any]:
    """Return all that is stored of a version that exists, what was compared, and whether it is `intact`."""
    stored = read_version(store, product, version)
    events = read_events(store.client, product, workspace)
    aliases = {alias: str(one) for alias, one in store.client.get_registered_model(model_name(product)).aliases.items()}
    checks = _checks(store, stored, workspace, [event for event in events if event.kind == "alias"], aliases)
    summary, bundle = read_mapping(stored.bundle, SUMMARY), read_mapping(stored.bundle, MANIFEST)
    return {
        "schema_version": SCHEMA_VERSION,
        "product": product,
        "version": version,
        "model": stored.name,
        "aliases": list(stored.aliases),
        "intact": all(check.state != "differs" for check in checks),
        "registered": facts.registered(stored),
        "git": facts.git(stored, workspace),
        "source": facts.source(stored),
        "data": facts.data(stored),
        "params": stored.params,
        "stages": [facts.stage(run) for run in stored.stages],
        "metrics": {key: summary[key] for key in ("composite", "detectors", "seconds") if key in summary},
        "threshold": section(summary, "threshold") | section(bundle, "threshold"),
        "gate": facts.gate(stored, events),
        "history": facts.history(events),
        "rebuilds": [facts.told(event) for event in events if event.kind == "rebuild" and event.facts.get("version") == version],
        "bundle": {"sha256": stored.tags.get(BUNDLE_TAG), "files": section(bundle, "files")},
        "checks": [check.content() for check in checks],
    }


def _checks(store: Store, stored: Stored, workspace: Workspace, moves: Sequence[Event], aliases: Mapping[str, str]) -> list[Check]:
    """Compare everything there is to compare."""
    bundling = next((store.run(run.run_id) for run in stored.stages if run.stage == "bundle"), None)
    copy = None if bundling is None else store.fetch(f"{bundling.info.artifact_uri.rstrip('/')}/{SUMMARY}")
    checks = [
        check_bundle(stored.bundle, stored.tags.get(BUNDLE_TAG)),
        check_summary(stored, copy),
        check_model(stored),
        check_source(stored),
        check_threshold(stored),
        check_data(stored, _committed_pointer(stored, workspace)),
        check_runs(stored, stages_of(stored.params.get("detectors", VQGAN).split(", "))),
        check_decision(stored, workspace),
        check_aliases(stored, moves, aliases),
        check_log(stored, read_log(store.client, stored.product), moves),
    ]
    here = workspace.bundle(stored.product)
    if (here / MANIFEST).is_file() and sha256_file(here / MANIFEST) == stored.tags.get(BUNDLE_TAG):
        checks.append(check_bundle(here, stored.tags[BUNDLE_TAG], what=str(here.relative_to(workspace.root))))
    return checks


def _committed_pointer(stored: Stored, workspace: Workspace) -> str | None:
    """Return the data version that the version's commit names, None where the commit is not in this repository."""
    pointer = workspace.raw(stored.product).with_suffix(".dvc").relative_to(workspace.root)
    text = git_output(workspace, "show", f"{stored.tags.get('git.commit', NONE)}:./{pointer}")
    return None if text is None else pointer_hash(text.decode("utf-8"))
