"""Checks of records: threshold, data version, runs, aliases and decisions of a version against what was written down."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ruamel.yaml.error import YAMLError

from zeromiss.inspection.bundle import MANIFEST, SUMMARY
from zeromiss.registry.audit_aliases import breaks, concerning
from zeromiss.registry.audit_check import Check, Finding, changed, lost, read_mapping, section
from zeromiss.registry.decisions import Entry, Log
from zeromiss.registry.events import Event
from zeromiss.registry.facts import NONE, pointer_hash
from zeromiss.registry.promotion import PROMOTED, record_path, verdict_hash, versions_of
from zeromiss.registry.publish import CHAMPION
from zeromiss.registry.source import FOLDER as SOURCE
from zeromiss.registry.stored import Stored
from zeromiss.workspace import Workspace

_LONGEST = 4000  # characters of a tag
DECISIONS = "decisions"  # the check of their log


def check_threshold(stored: Stored) -> Check:
    """Compare the threshold in the tags with the one in bundle.json, which judges, and with summary.json."""
    bundle, summary = read_mapping(stored.bundle, MANIFEST), read_mapping(stored.bundle, SUMMARY)
    stated = {key.removeprefix("threshold."): value for key, value in stored.tags.items() if key.startswith("threshold.")}
    findings, compared = [], 0
    for name, threshold in ((MANIFEST, section(bundle, "threshold")), (SUMMARY, section(summary, "threshold"))):
        for key in sorted(set(stated) & set(threshold)):
            compared += 1
            if str(threshold[key]) != stated[key]:
                sentence = f"the tag threshold.{key} says {stated[key]}, {name} says {threshold[key]}"
                findings.append(Finding(name=f"threshold.{key}", how="changed", sentence=sentence))
    return Check(what="threshold", compared=compared, findings=tuple(findings), note="" if stated else "the version has no tags of its threshold")


def check_data(stored: Stored, committed: str | None) -> Check:
    """Compare the data version in the tags with the stored pointer, and with the commit's where the tree was clean."""
    stated, pointer = stored.tags.get("data.md5", NONE), stored.file(SOURCE, f"{stored.product}.dvc")
    witnesses = {f"{SOURCE}/{stored.product}.dvc": None if pointer is None else _pointer_hash(pointer)}
    if stored.tags.get("git.dirty") == "false":
        witnesses["the pointer in the commit"] = committed
    found = {name: value for name, value in witnesses.items() if value is not None}
    findings = tuple(
        changed(name, f"the tag data.md5 says {stated}, {name} says {value}") for name, value in found.items() if value != stated
    )
    return Check(what="data version", compared=len(found), findings=findings, note="" if found else "neither pointer nor commit is here to compare with")


def _pointer_hash(path: Path) -> str:
    """Return the hash that a stored pointer holds, or that it holds none."""
    try:
        return pointer_hash(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, LookupError, YAMLError):
        return "nothing that can be read"


def check_runs(stored: Stored, stages: tuple[str, ...]) -> Check:
    """Look for the run of every stage and of the registration, each to have ended well."""
    named = [(f"stage {run.stage}", run.run_id, run.status) for run in stored.stages] + [("registration", stored.run_id, stored.run_status)]
    findings = []
    for what, run_id, status in named:
        if status is None:
            findings.append(lost(run_id, f"the run {run_id} of {what} does not exist"))
        elif status == "DELETED":
            findings.append(lost(run_id, f"the run {run_id} of {what} was deleted in MLflow"))
        elif status != "FINISHED":
            findings.append(changed(run_id, f"the run {run_id} of {what} ended as {status}"))
    silent = [stage for stage in stages if stage not in {run.stage for run in stored.stages}]
    note = f"the version names no run of {', '.join(silent)}" if silent else ""
    return Check(what="runs", compared=len(named), findings=tuple(findings), note=note)


def check_decision(stored: Stored, workspace: Workspace) -> Check:
    """Compare the tags of the gate's last decision with its record, and the workspace's copy with both."""
    stated = {key.removeprefix("gate."): value for key, value in stored.tags.items() if key.startswith("gate.")}
    name = f"promotion/{stored.product}.json"
    if "outcome" not in stated:
        return Check(what="gate", note="the gate has not decided about it")
    record = read_mapping(stored.artifacts.get("promotion"), f"{stored.product}.json")
    if not record:
        return Check(what="gate", findings=(Finding(name=name, how="missing", sentence=f"the record {name} of the gate's decision is missing"),))
    pairs = [(key, stated[key], str(record[key])[:_LONGEST]) for key in ("outcome", "at", "audit", "statement") if key in stated and key in record]
    found = [
        Finding(name=f"gate.{key}", how="changed", sentence=f"the tag gate.{key} says {tag!r}, the record {name} says {said!r}")
        for key, tag, said in pairs
        if tag != said
    ]
    path = record_path(stored.product, workspace)
    copy = read_mapping(path.parent, path.name)
    if copy.get("at") == record.get("at") and copy != record:
        found.append(Finding(name=str(path.relative_to(workspace.root)), how="changed", sentence=f"{path.name} of the workspace differs from {name}"))
    return Check(what="gate", compared=len(pairs), findings=tuple(found))


def check_aliases(stored: Stored, moves: Sequence[Event], aliases: Mapping[str, str]) -> Check:
    """Compare the aliases with the record of their moves."""
    found = [Finding(name=one.alias, how="moved", sentence=one.sentence) for one in concerning(breaks(moves, aliases), stored.version)]
    recorded = {event.facts["alias"] for event in moves}
    if aliases.get(CHAMPION) == stored.version and stored.tags.get("gate.outcome") != PROMOTED:
        found.append(Finding(name=CHAMPION, how="moved", sentence=f"it bears the alias {CHAMPION}, but the gate did not promote it"))
    silent = [alias for alias, one in sorted(aliases.items()) if one == stored.version and alias not in recorded]
    note = f"no move of {', '.join(silent)} is recorded: the program that moved it kept no history" if silent else ""
    return Check(what="aliases", compared=len(moves), findings=tuple(found), note=note)


def check_log(stored: Stored, log: Log, moves: Sequence[Event]) -> Check:
    """Follow the log's chain of hashes, and look in it for what the champion's moves and the version's own decision name."""
    names = {entry.name: entry for entry in log.entries}
    findings = [changed("log", fault) for fault in log.faults]
    named = [(f"the move of {event.facts['alias']} at {event.at[:19]}", event.facts["entry"]) for event in moves if "entry" in event.facts]
    own = stored.tags.get("gate.entry")
    for what, entry in [*named, *([("the tag gate.entry", own)] if own else [])]:
        if entry not in names:
            findings.append(lost(entry.split(" ")[0], f"{what} names entry {entry.split(' ')[0]} of the log, which is not there as it was"))
    findings += _other_decision(stored, None if own is None else names.get(own))
    note = "" if log.entries else "no decision is in the log: it begins with the next one"
    return Check(what=DECISIONS, compared=len(log.entries) + len(named), findings=tuple(findings), note=note)


def _other_decision(stored: Stored, entry: Entry | None) -> list[Finding]:
    """Return where the record of the version's decision is not the one that the log's entry was written about."""
    record = read_mapping(stored.artifacts.get("promotion"), f"{stored.product}.json")
    if entry is None or not record:
        return []
    if entry.facts.get("verdict") == verdict_hash(record) and entry.facts.get("version") == versions_of(record)[0]:
        return []
    return [changed(f"promotion/{stored.product}.json", f"the record of the decision is not the one that entry {entry.number} of the log was written about")]
