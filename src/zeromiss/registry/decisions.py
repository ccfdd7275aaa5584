"""The log of decisions about a product's models: promotions, refusals, approvals, rollbacks, in one order, for good.

MLflow has no compare-and-swap on aliases, but it has a store of values that are written once: a parameter of a run
cannot be changed, and of two writers of one parameter the database lets one through. The log is a run whose parameters
000001, 000002, ... are its entries. Who decides writes the entry after the last one that they have seen; where somebody
else wrote it first, the decision rests on something that is past, and is dropped. This holds for all machines
that share a tracking server, and needs no lock that could be left behind. Each entry holds the hash of the one before.
"""

import hashlib
import json
import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from zeromiss.errors import ZeromissError
from zeromiss.registry.events import now, user
from zeromiss.registry.facts import NONE, provenance
from zeromiss.registry.store import TRACKING_URI, experiment_id, experiment_name
from zeromiss.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

Kind = Literal["waiting", "approval", "promotion", "refusal", "rollback"]
CHAMPION_KINDS = ("promotion", "rollback")  # that say which version is champion from then on
RUN = "zeromiss.decisions"  # tag of the experiment that names the log's run
_LONGEST, _FACT = 6000, 1000  # characters that MLflow keeps of a parameter, and that an entry keeps of a fact


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One decision: its number from 1, when (ISO 8601, UTC), by whom, where, at which commit, and its facts.

    `before`: the hash of the entry before it; `digest`: its own.
    """

    number: int
    kind: str
    at: str
    who: str
    host: str
    commit: str
    facts: dict[str, str]
    before: str
    digest: str

    @property
    def name(self) -> str:
        """What an alias' move or a version's tag calls it by: number and hash."""
        return f"{self.number} {self.digest}"

    def content(self) -> dict[str, Any]:
        """Return plain values."""
        own = {key: getattr(self, key) for key in ("number", "kind", "at", "who", "host", "commit")}
        return own | self.facts | {"hash_before": self.before, "hash": self.digest}


@dataclass(frozen=True, kw_only=True)
class Log:
    """The entries in their order, and in sentences what of the chain does not hold. `run_id` is None before the first.

    `head` and `last`: hash and number of the last entry, also where it cannot be read.
    """

    run_id: str | None = None
    entries: tuple[Entry, ...] = ()
    faults: tuple[str, ...] = ()
    head: str = NONE
    last: int = 0

    def champion(self) -> Entry | None:
        """Return the last entry that made a version champion."""
        return next((one for one in reversed(self.entries) if one.kind in CHAMPION_KINDS), None)


def read_log(client: "MlflowClient", product: str) -> Log:
    """Return a product's log; nothing is created. Lines that are missing or changed are told, not skipped."""
    experiment = client.get_experiment_by_name(_name(product))
    if experiment is None:
        return Log()
    run = client.get_run(experiment.tags[RUN])
    lines = sorted(run.data.params.items())
    gone = run.info.lifecycle_stage != "active"
    faults = [f"the run {run.info.run_id}, which holds the log, was deleted in MLflow: mlflow runs restore brings it back"] if gone else []
    entries, before = [], NONE
    for number, (key, text) in enumerate(lines, start=1):
        try:
            entry = _parse(key, text)
        except (ValueError, KeyError, TypeError):
            faults.append(f"entry {key} cannot be read")
        else:
            if (entry.before, entry.number) != (before, number):
                faults.append(f"entry {entry.number} does not follow the one before it: a line was removed or changed")
            entries.append(entry)
        before = _digest(text)
    last = int(lines[-1][0]) if lines else 0
    return Log(run_id=run.info.run_id, entries=tuple(entries), faults=tuple(faults), head=before, last=last)


def append(client: "MlflowClient", product: str, workspace: Workspace, kind: Kind, facts: Mapping[str, str], *, after: Log) -> Log:
    """Write the entry that follows `after` and return the log with it.

    Raises ZeromissError where somebody wrote one first: what was decided is then to be dropped.
    """
    run_id, number = after.run_id or _log_run(client, product, workspace), after.last + 1
    text = _text(kind, product, workspace, facts, before=after.head)
    if not _write_once(client, run_id, f"{number:06}", text):
        refuse_outrun(read_log(client, product), after, product)
        raise ZeromissError(f"the log of {product}'s decisions has an entry {number} that it had not: look at it with zeromiss history {product}")
    return Log(run_id=run_id, entries=(*after.entries, _parse(f"{number:06}", text)), faults=after.faults, head=_digest(text), last=number)


def refuse_outrun(now_there: Log, seen: Log, product: str) -> None:
    """Raise ZeromissError where entries came after those that were seen, naming the first of these."""
    if now_there.head == seen.head:
        return
    fresh = [entry for entry in now_there.entries if entry.number > seen.last]
    if not fresh:
        raise ZeromissError(f"the log of {product}'s decisions lost an entry meanwhile: look at it with zeromiss history {product}")
    raise ZeromissError(
        f"somebody else was first: {sentence(fresh[0])}; nothing was changed by this command, so look at it with "
        f"zeromiss history {product} and ask again if there is still something to decide"
    )


def sentence(entry: Entry) -> str:
    """Return an entry in words, without its time."""
    facts = entry.facts
    version, by = f"version {facts['version']}", facts.get("by", entry.who)
    told = {
        "waiting": f"{version} passed the gate and waits for approval",
        "approval": f"{version} approved by {by}: {facts.get('why')}",
        "promotion": f"{version} became champion (before: {facts.get('before')})",
        "refusal": f"{version} was refused: {facts.get('why')}",
        "rollback": f"{version} became champion again (before: {facts.get('before')}), by {by}: {facts.get('why')}",
    }[entry.kind]
    return f"{told} ({entry.who} on {entry.host})"


def _name(product: str) -> str:
    """Return the name of the experiment that stands for the log: the database holds names to be unique."""
    return f"{experiment_name(product)} decisions"


def _log_run(client: "MlflowClient", product: str, workspace: Workspace) -> str:
    """Return the run that holds the log, made on first use.

    Of several that make one at once, the one whose experiment's name is taken first gives the run; the others' are deleted.
    """
    from mlflow.exceptions import MlflowException

    home = experiment_id(client, product, workspace)
    run = client.create_run(home, tags={"product": product, "mlflow.user": user()}, run_name="decisions").info.run_id
    client.set_terminated(run, "FINISHED")
    location = None if os.environ.get(TRACKING_URI) else client.get_experiment(home).artifact_location
    try:
        client.create_experiment(_name(product), artifact_location=location, tags={RUN: run})
    except MlflowException:
        found = client.get_experiment_by_name(_name(product))
        if found is None:
            raise
        client.delete_run(run)
        return found.tags[RUN]
    return run


def _write_once(client: "MlflowClient", run_id: str, key: str, text: str) -> bool:
    """Write a parameter and return whether it is this text that stands there now."""
    from mlflow.exceptions import MlflowException

    try:
        client.log_param(run_id, key, text)
    except MlflowException as error:
        run = client.get_run(run_id)
        if run.info.lifecycle_stage != "active":
            raise ZeromissError(f"the log of decisions was deleted in MLflow: bring it back with mlflow runs restore --run-id {run_id}") from None
        if key not in run.data.params:
            raise ZeromissError(f"the log of decisions cannot be written ({' '.join(str(error).split())}): nothing was changed") from None
    return client.get_run(run_id).data.params.get(key) == text


def _text(kind: str, product: str, workspace: Workspace, facts: Mapping[str, str], *, before: str) -> str:
    """Return an entry's text; no two are equal, so that nobody takes another's for their own."""
    commit = provenance(product, workspace)["git.commit"]
    own = {"kind": kind, "at": now(), "who": user(), "host": socket.gethostname(), "commit": commit, "token": uuid.uuid4().hex}
    text = json.dumps(own | {"facts": {key: str(value)[:_FACT] for key, value in facts.items()}, "before": before}, sort_keys=True)
    if len(text) > _LONGEST:
        raise ZeromissError(f"an entry of {len(text)} characters does not fit the log of decisions ({_LONGEST}): give a shorter reason")
    return text


def _parse(key: str, text: str) -> Entry:
    """Return the entry that a parameter holds."""
    found = json.loads(text)
    own = {name: found[name] for name in ("kind", "at", "who", "host", "commit", "facts", "before")}
    return Entry(number=int(key), digest=_digest(text), **own)


def _digest(text: str) -> str:
    """Return the SHA-256 of an entry."""
    return hashlib.sha256(text.encode()).hexdigest()
