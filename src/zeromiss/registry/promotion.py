"""Promotion: challenger and champion judge the locked audit set, the gate answers, the alias moves or stays.

MLflow's aliases know no compare-and-swap. Promotions of a product wait for each other on one machine, and on several the
log of decisions lets one through. Each leaves a record: a file, an artifact of the version's run, and tags of the version.
"""

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from zeromiss.detectors.taught import refuse_taught
from zeromiss.errors import ZeromissError
from zeromiss.files import read_json, write_json
from zeromiss.images.manifest import SCHEMA_VERSION as MANIFEST_VERSION
from zeromiss.inspection.inspector import Inspector
from zeromiss.params import Product
from zeromiss.registry.decisions import Entry, Log, append, read_log, refuse_outrun, sentence
from zeromiss.registry.events import move_alias
from zeromiss.registry.facts import NONE
from zeromiss.registry.gate import judge
from zeromiss.registry.openings import past_uses, record_opening
from zeromiss.registry.publish import CHALLENGER, CHAMPION, find_alias, load_inspector
from zeromiss.registry.release import find_release
from zeromiss.registry.store import model_name, prepare
from zeromiss.registry.verdict import AuditVerdict, GateVerdict
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

SCHEMA_VERSION = 1
PROMOTED, REFUSED, STAYS, WAITS = "promoted", "refused", "stays champion", "waits for approval"
_UNDER_WAY = 60.0  # seconds within which the alias follows its entry in the log, however slow the store


def promote(product: Product, workspace: Workspace) -> Path:
    """Let the gate decide about the challenger, move the alias if it may, and return the record's path.

    Where promotion.mode is `approve` a challenger that passes waits for `approval.settle`, and asking again opens nothing.
    A refusal is a normal end. Raises ZeromissError when no model waits, the manifest is missing, or somebody else decided
    meanwhile.
    """
    client = prepare(workspace)
    seen = read_log(client, product.name)
    with serialised(workspace, product.name):
        log = read_log(client, product.name)
        refuse_outrun(log, seen, product.name)
        challenger = find_alias(client, product.name, CHALLENGER)
        champion = find_alias(client, product.name, CHAMPION)
        refuse_under_way(log, champion)
        if challenger is None or challenger == champion:
            if challenger is not None:
                move_alias(client, product.name, workspace, CHALLENGER, None, "it is the champion already")
            return _nothing_new(client, product, workspace, champion)
        audit = audit_rows(product.name, workspace)
        waiting = find_waiting(client, product.name, challenger, champion, audit_hash(audit)) if product.promotion.mode == "approve" else None
        if waiting is not None:
            return write_record(product.name, workspace, waiting)
        answer = _ask(client, product, workspace, audit, challenger, champion, log)
        return _decide(client, product, workspace, _record(product, audit, answer, challenger, champion), log)


def _decide(client: "MlflowClient", product: Product, workspace: Workspace, record: dict[str, Any], log: Log) -> Path:
    """Write the decision down and act on it."""
    challenger, champion = versions_of(record)
    facts = {"version": challenger, "before": champion or NONE, "audit": record["audit"], "verdict": verdict_hash(record), "looks": str(record["looks"])}
    if record["outcome"] == PROMOTED:
        return crown(client, product.name, workspace, record, facts, log, why="the gate promoted it")
    kind, why = ("waiting", "it passed the gate") if record["outcome"] == WAITS else ("refusal", record["statement"].removeprefix("refused: "))
    log = append(client, product.name, workspace, kind, facts | {"why": why}, after=log)
    return file_record(client, product.name, workspace, record, log.entries[-1])


def crown(
    client: "MlflowClient", product: str, workspace: Workspace, record: dict[str, Any], facts: Mapping[str, str], log: Log, *, why: str
) -> Path:
    """Make the record's version champion: in the log first, where one of several decisions at once goes through, then as an alias."""
    challenger, _ = versions_of(record)
    entry = append(client, product, workspace, "promotion", facts | {"why": why}, after=log).entries[-1]
    path = file_record(client, product, workspace, record, entry)
    move_alias(client, product, workspace, CHAMPION, challenger, why, entry=entry.name)
    move_alias(client, product, workspace, CHALLENGER, None, "it is the champion now")
    return path


def refuse_under_way(log: Log, champion: str | None) -> None:
    """Raise ZeromissError while the alias has yet to follow the last entry of the log: another machine is at it."""
    last = log.champion()
    if last is None or last.facts["version"] == champion or last.facts["before"] != (champion or NONE):
        return
    age = (datetime.now(UTC) - datetime.fromisoformat(last.at)).total_seconds()
    if abs(age) < _UNDER_WAY:
        raise ZeromissError(
            f"somebody else was first: {sentence(last)}, and the alias has yet to follow; ask again in {_UNDER_WAY:g} s if it does not"
        )


def find_waiting(client: "MlflowClient", product: str, challenger: str, champion: str | None, audit: str) -> dict[str, Any] | None:
    """Return the record of a verdict that waits for a person: of this challenger, against this champion, on these images."""
    version = client.get_model_version(model_name(product), challenger)
    if version.tags.get("gate.outcome") != WAITS or version.tags.get("gate.audit") != audit:
        return None
    record = own_record(client, version.run_id, product)
    return record if record and versions_of(record) == (challenger, champion) else None


def versions_of(record: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the version that a record is about and the champion that it was compared with."""
    model, champion = (None if record[key] is None else str(record[key]).rsplit(" ", 1)[1] for key in ("model", "champion"))
    return str(model), champion


def verdict_hash(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what the gate found, which no later answer of a person changes."""
    found = {field.name: record.get(field.name) for field in fields(GateVerdict) if field.name not in ("promoted", "statement")}
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def audit_rows(product: str, workspace: Workspace) -> "pd.DataFrame":
    """Return the manifest's rows that only this gate reads, ordered by path."""
    manifest = read_table(workspace.manifest(product) / "manifest.parquet", schema_version=MANIFEST_VERSION)
    return manifest[manifest["split"] == "audit"].sort_values("path", ignore_index=True)


def audit_hash(audit: "pd.DataFrame") -> str:
    """Return the SHA-256 over content and label of the audit images: the same set, the same hash."""
    lines = sorted(f"{row.sha256} {row.label}" for row in audit.itertuples())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def judge_audit(inspector: Inspector, audit: "pd.DataFrame", raw: Path, *, who: str) -> list[AuditVerdict]:
    """Return one model's verdict on every audit image; a file it cannot judge is an error, never normal."""
    verdicts = []
    for row in tqdm(list(audit.itertuples()), desc=f"audit by {who}", unit="image"):
        facts = {"path": row.path, "label": row.label, "defect_type": row.defect_type, "part_id": row.part_id, "threshold": inspector.threshold}
        begin = perf_counter()
        try:
            score = inspector.inspect(raw / row.path).score
            verdicts.append(AuditVerdict(score=score, seconds=perf_counter() - begin, **facts))
        except ZeromissError as error:
            verdicts.append(AuditVerdict(score=None, error=str(error), **facts))
    return verdicts


def _ask(
    client: "MlflowClient",
    product: Product,
    workspace: Workspace,
    audit: "pd.DataFrame",
    challenger: str,
    champion: str | None,
    log: Log,
) -> GateVerdict:
    """Let both models judge the audit set, ask the gate, and write down that the set was opened."""
    version, digest = client.get_model_version(model_name(product.name), challenger), audit_hash(audit)
    judged = [_judged(product.name, workspace, audit, one, fresh=one == challenger) for one in (challenger, champion) if one is not None]
    past = past_uses(client, product.name, workspace, audit, digest=digest, challenger=version)
    answer = judge(
        judged[0],
        judged[1] if champion is not None else None,
        confidence=product.promotion.confidence,
        min_audit_defects=product.promotion.min_audit_defects,
        chance=product.promotion.chance,
        audit_uses=product.promotion.audit_uses,
        seen=past.seen,
        openings=past.openings + bool(len(audit)),
        threshold_defects=_threshold_defects(version.tags),
        release=find_release(client, product, workspace, version, champion, log),
    )
    if len(audit):
        outcome = _outcome(product, answer)
        record_opening(client, product.name, workspace, audit, answer, digest=digest, challenger=version, champion=champion, outcome=outcome)
    return answer


def _outcome(product: Product, answer: GateVerdict) -> str:
    """Return what becomes of the challenger."""
    if not answer.promoted:
        return REFUSED
    return WAITS if product.promotion.mode == "approve" else PROMOTED


def _threshold_defects(tags: Mapping[str, str]) -> int | None:
    """Return on how many defects a version's threshold lies, None unless it lies at the lowest score of them."""
    known = tags.get("threshold.defects_behind") or tags.get("threshold.n_defects")
    return int(known) if known and tags.get("threshold.rule") == "zfn" else None


def _judged(product: str, workspace: Workspace, audit: "pd.DataFrame", version: str, *, fresh: bool) -> Sequence[AuditVerdict]:
    """Load one version and let it judge the audit set.

    Raises ZeromissError where the set must be `fresh` and an image of it, or its part, taught one of the detectors. A champion
    may know some: after a change of the splits it was there before, and that can only make it harder to replace.
    """
    if audit.empty:  # nothing to judge on, and the gate says so
        return []
    inspector = load_inspector(product, workspace, version=version)
    if fresh:
        refuse_taught(inspector.taught, audit)
    return judge_audit(inspector, audit, workspace.raw(product), who=f"version {version}")


def _record(product: Product, audit: "pd.DataFrame", answer: GateVerdict, challenger: str, champion: str | None) -> dict[str, Any]:
    """Return the record of a decision."""
    name, outcome = model_name(product.name), _outcome(product, answer)
    if outcome == WAITS:
        statement = answer.statement.replace("promoted:", "passed the gate and waits for approval:", 1)
        answer = replace(answer, promoted=False, statement=statement)
    return answer.to_json() | {
        "product": product.name,
        "outcome": outcome,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": f"{name} version {challenger}",
        "champion": None if champion is None else f"{name} version {champion}",
        "audit": audit_hash(audit),
        "approval": None,
    }


def file_record(client: "MlflowClient", product: str, workspace: Workspace, record: dict[str, Any], entry: Entry) -> Path:
    """Put the record of a decision where people and programs look for it: a file, tags of the version, an artifact of its run."""
    (version, _), name = versions_of(record), model_name(product)
    path = write_record(product, workspace, record)
    tags = {f"gate.{key}": str(record[key])[:4000] for key in ("outcome", "statement", "at", "audit")} | {"gate.entry": entry.name}
    if record["approval"]:
        tags |= {f"approval.{key}": str(value)[:4000] for key, value in record["approval"].items()}
    client.log_artifact(client.get_model_version(name, version).run_id, str(path), "promotion")
    for key, value in tags.items():
        client.set_model_version_tag(name, version, key, value)
    return path


def write_record(product: str, workspace: Workspace, record: dict[str, Any]) -> Path:
    """Write a record as the workspace's last one."""
    path = record_path(product, workspace)
    write_json(path, record, schema_version=SCHEMA_VERSION)
    return path


def record_path(product: str, workspace: Workspace) -> Path:
    """Return where the last promotion's record lies."""
    return workspace.root / "mlruns" / "promotion" / f"{product}.json"


def read_record(path: Path) -> dict[str, Any]:
    """Read a promotion's record."""
    return read_json(path, schema_version=SCHEMA_VERSION)


def _nothing_new(client: "MlflowClient", product: Product, workspace: Workspace, champion: str | None) -> Path:
    """Say that the champion stays because no other model waits; raise ZeromissError when there is none at all.

    What the gate found when it promoted the champion stays in the record.
    """
    name, path = model_name(product.name), record_path(product.name, workspace)
    if champion is None:
        raise ZeromissError(f"{name} has neither challenger nor champion: train one with zeromiss run {product.name}")
    version = client.get_model_version(name, champion)
    payload = own_record(client, version.run_id, product.name) | {
        "product": product.name,
        "outcome": STAYS,
        "promoted": True,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": f"{name} version {champion}",
        "champion": f"{name} version {champion}",
        "statement": f"no other model waits; at its own promotion: {version.tags.get('gate.statement', 'no record')}",
        "images": [],
        "advice": [],
    }
    write_json(path, payload, schema_version=SCHEMA_VERSION)
    return path


def own_record(client: "MlflowClient", run_id: str, product: str) -> dict[str, Any]:
    """Return the record that lies with a version's run, empty for a model that became champion without one."""
    if not any(one.path == f"promotion/{product}.json" for one in client.list_artifacts(run_id, "promotion")):
        return {}
    return read_record(Path(client.download_artifacts(run_id, f"promotion/{product}.json")))


@contextmanager
def serialised(workspace: Workspace, product: str) -> Iterator[None]:
    """Let one promotion of a product run at a time on this machine; the lock ends with the process."""
    lock = record_path(product, workspace).with_suffix(".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
