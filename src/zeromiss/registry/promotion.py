"""Promotion: challenger and champion judge the locked audit set, the gate answers, the alias moves or stays.

MLflow's aliases know no compare-and-swap, so that promotions of a product wait for each other here, and
each leaves a record: a file, an artifact of the version's run, and tags of the version.
"""

import fcntl
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from zeromiss.detectors.taught import refuse_taught
from zeromiss.errors import ZeromissError
from zeromiss.files import read_json, write_json
from zeromiss.images.manifest import SCHEMA_VERSION as MANIFEST_VERSION
from zeromiss.inspection.inspector import Inspector
from zeromiss.params import Product
from zeromiss.registry.events import move_alias
from zeromiss.registry.gate import judge
from zeromiss.registry.openings import past_uses, record_opening
from zeromiss.registry.publish import CHALLENGER, CHAMPION, find_alias, load_inspector
from zeromiss.registry.store import model_name, prepare
from zeromiss.registry.verdict import AuditVerdict, GateVerdict
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

SCHEMA_VERSION = 1
PROMOTED, REFUSED, STAYS = "promoted", "refused", "stays champion"


def promote(product: Product, workspace: Workspace) -> Path:
    """Let the gate decide about the challenger, move the alias if it may, and return the record's path.

    A refusal is a normal end. Raises ZeromissError when no model waits or the manifest is missing.
    """
    with _serialised(workspace, product.name):
        client = prepare(workspace)
        challenger = find_alias(client, product.name, CHALLENGER)
        champion = find_alias(client, product.name, CHAMPION)
        if challenger is None or challenger == champion:
            if challenger is not None:
                move_alias(client, product.name, workspace, CHALLENGER, None, "it is the champion already")
            return _nothing_new(client, product, workspace, champion)
        audit = audit_rows(product.name, workspace)
        answer = _ask(client, product, workspace, audit, challenger, champion)
        if answer.promoted:
            move_alias(client, product.name, workspace, CHAMPION, challenger, "the gate promoted it")
            move_alias(client, product.name, workspace, CHALLENGER, None, "it is the champion now")
        return _record(client, product, workspace, audit, answer, challenger, champion)


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
        try:
            verdicts.append(AuditVerdict(score=inspector.inspect(raw / row.path).score, **facts))
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
    )
    if len(audit):
        record_opening(client, product.name, workspace, audit, answer, digest=digest, challenger=version, champion=champion)
    return answer


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


def _record(
    client: "MlflowClient",
    product: Product,
    workspace: Workspace,
    audit: "pd.DataFrame",
    answer: GateVerdict,
    challenger: str,
    champion: str | None,
) -> Path:
    """Write the record of a decision where people and programs look for it."""
    name, outcome = model_name(product.name), PROMOTED if answer.promoted else REFUSED
    at = datetime.now(UTC).isoformat(timespec="seconds")
    payload = answer.to_json() | {
        "product": product.name,
        "outcome": outcome,
        "at": at,
        "model": f"{name} version {challenger}",
        "champion": None if champion is None else f"{name} version {champion}",
        "audit": audit_hash(audit),
    }
    path = record_path(product.name, workspace)
    write_json(path, payload, schema_version=SCHEMA_VERSION)
    tags = {"gate.outcome": outcome, "gate.statement": answer.statement[:4000], "gate.at": at, "gate.audit": payload["audit"]}
    for key, value in tags.items():
        client.set_model_version_tag(name, challenger, key, value)
    client.log_artifact(client.get_model_version(name, challenger).run_id, str(path), "promotion")
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
    payload = _own_record(client, version.run_id, product.name) | {
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


def _own_record(client: "MlflowClient", run_id: str, product: str) -> dict[str, Any]:
    """Return the record that lies with a version's run, empty for a model that became champion without one."""
    if not any(one.path == f"promotion/{product}.json" for one in client.list_artifacts(run_id, "promotion")):
        return {}
    return read_record(Path(client.download_artifacts(run_id, f"promotion/{product}.json")))


@contextmanager
def _serialised(workspace: Workspace, product: str) -> Iterator[None]:
    """Let one promotion of a product run at a time on this machine; the lock ends with the process."""
    lock = record_path(product, workspace).with_suffix(".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
