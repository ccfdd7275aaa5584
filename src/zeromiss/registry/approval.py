"""A person's answer to a verdict of the gate that waits: it goes into the log, the record and the version's tags."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeromiss.errors import ZeromissError
from zeromiss.params import Product
from zeromiss.registry.decisions import append, read_log, refuse_outrun
from zeromiss.registry.events import now
from zeromiss.registry.facts import NONE
from zeromiss.registry.promotion import (
    PROMOTED,
    REFUSED,
    WAITS,
    audit_hash,
    audit_rows,
    crown,
    file_record,
    find_waiting,
    own_record,
    refuse_under_way,
    serialised,
    verdict_hash,
    versions_of,
    write_record,
)
from zeromiss.registry.publish import CHALLENGER, CHAMPION, find_alias
from zeromiss.registry.store import model_name, prepare
from zeromiss.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

LONGEST = 500  # characters of a reason, so that an entry of the log holds it whole


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a person said: yes or no, who they are, and why. Raises ZeromissError without a name or a reason."""

    approve: bool
    by: str
    why: str

    def __post_init__(self) -> None:
        """Refuse an answer that nobody stands for."""
        for name, value in (("--by", self.by), ("--why", self.why)):
            if not value.strip():
                raise ZeromissError(f"an answer needs {name}: say who decides and why, it is kept with the model")
            if len(value) > LONGEST:
                raise ZeromissError(f"{name} has {len(value)} characters, at most {LONGEST} are kept: shorten it")


def settle(product: Product, workspace: Workspace, answer: Answer) -> Path:
    """Act on a person's answer to the verdict that waits and return the record's path.

    Raises ZeromissError where no verdict waits, where champion, challenger or audit set are others than those it was about,
    and where somebody else decided meanwhile.
    """
    client = prepare(workspace)
    seen = read_log(client, product.name)
    with serialised(workspace, product.name):
        refuse_outrun(read_log(client, product.name), seen, product.name)
        record = _waiting(client, product.name, workspace)
        version, champion = versions_of(record)
        refuse_under_way(seen, champion)
        said = {"answer": "yes" if answer.approve else "no", "by": answer.by, "why": answer.why, "at": now()}
        facts = {"version": version, "before": champion or NONE, "audit": record["audit"], "verdict": verdict_hash(record), "by": answer.by}
        if answer.approve:
            log = append(client, product.name, workspace, "approval", facts | {"why": answer.why}, after=seen)
            passed = record["statement"].split(": ", 1)[1]
            record |= {"outcome": PROMOTED, "promoted": True, "approval": said, "statement": f"promoted: {passed}; approved by {answer.by}: {answer.why}"}
            return crown(client, product.name, workspace, record, facts, log, why=f"{answer.by} approved it")
        record |= {"outcome": REFUSED, "approval": said, "statement": f"refused by {answer.by}: {answer.why}"}
        log = append(client, product.name, workspace, "refusal", facts | {"why": f"by {answer.by}: {answer.why}"}, after=seen)
        return file_record(client, product.name, workspace, record, log.entries[-1])


def waiting_version(product: str, workspace: Workspace) -> str:
    """Return the version whose verdict waits; raise ZeromissError where none does."""
    version = find_alias(client := prepare(workspace), product, CHALLENGER)
    if version is None or client.get_model_version(model_name(product), version).tags.get("gate.outcome") != WAITS:
        raise ZeromissError(f"no verdict on {model_name(product)} waits for a person: zeromiss promote {product} asks the gate")
    return version


def fetch_record(product: str, workspace: Workspace, version: str) -> Path:
    """Make the record that lies with a version's run the workspace's last one and return its path."""
    client = prepare(workspace)
    record = own_record(client, client.get_model_version(model_name(product), version).run_id, product)
    return write_record(product, workspace, record)


def _waiting(client: "MlflowClient", product: str, workspace: Workspace) -> dict[str, Any]:
    """Return the record of the verdict that waits; raise ZeromissError where there is none."""
    challenger, champion = (find_alias(client, product, alias) for alias in (CHALLENGER, CHAMPION))
    audit = audit_hash(audit_rows(product, workspace))
    record = None if challenger is None else find_waiting(client, product, challenger, champion, audit)
    if record is None:
        raise ZeromissError(
            f"no verdict on {model_name(product)} waits for a person (or champion, challenger or audit set changed since): "
            f"zeromiss promote {product} asks the gate"
        )
    return record
