"""What was done with a product's models and its audit set: events that are written down and never taken back.

An event is an MLflow run of the product's experiment that bears its kind as the tag `act`, its facts as tags
with the prefix `fact.`, and who, where and at which commit.
"""

import getpass
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from zeromiss.registry.facts import NONE, provenance
from zeromiss.registry.store import experiment_id, experiment_name, model_name
from zeromiss.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Kind = Literal["audit_opening", "alias", "rebuild"]
ACT, FACT = "act", "fact."
_LONGEST = 4000  # characters of a tag
_PAGE = 1000  # runs a request


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing done: its kind, when (ISO 8601, UTC), by whom, on which machine, and its facts as short strings.

    `run_id` is the MLflow run that holds it; `commit` the git commit it was done at.
    """

    kind: str
    at: str
    who: str
    host: str
    facts: dict[str, str]
    run_id: str
    commit: str


def record_event(
    client: "MlflowClient",
    product: str,
    workspace: Workspace,
    kind: Kind,
    facts: Mapping[str, str],
    *,
    files: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write an event down; `files` holds what is too long for a tag, by name, as JSON artifacts of its run."""
    who = user()
    tags = provenance(product, workspace) | {ACT: kind, "at": now(), "who": who, "host": socket.gethostname(), "mlflow.user": who}
    tags |= {FACT + key: str(value)[:_LONGEST] for key, value in facts.items()}
    run = client.create_run(experiment_id(client, product, workspace), tags=tags, run_name=kind.replace("_", " "))
    for name, content in (files or {}).items():
        client.log_dict(run.info.run_id, dict(content), name)
    client.set_terminated(run.info.run_id, "FINISHED")


def read_events(client: "MlflowClient", product: str, workspace: Workspace, kind: Kind | None = None) -> list[Event]:
    """Return a product's events, the oldest first, of one kind or of all; an event that was deleted in MLflow is among them."""
    from mlflow.entities import ViewType

    experiment = client.get_experiment_by_name(experiment_name(product))
    if experiment is None:
        return []
    wanted, events, token = f"tags.{ACT} {'!=' if kind is None else '='} '{kind or ''}'", [], None
    while True:
        page = client.search_runs([experiment.experiment_id], wanted, ViewType.ALL, max_results=_PAGE, page_token=token)
        events += [_event(run) for run in page]
        token = page.token
        if not token:
            return sorted(events, key=lambda event: event.at)


def move_alias(client: "MlflowClient", product: str, workspace: Workspace, alias: str, version: str | None, why: str, *, entry: str = "") -> None:
    """Give an alias to a version, or take it away (None), and record the move; nothing happens where it lies there already.

    `entry`: number and hash of the entry in the log of decisions that the move follows, empty where none asks for it.

    The event is written first: a move that fails after it is done, and recorded, again by the next try, whereas
    a move without its event would look like one that somebody made by hand.
    """
    name = model_name(product)
    before = client.get_registered_model(name).aliases.get(alias)
    after = None if version is None else str(version)
    if (None if before is None else str(before)) == after:
        return
    facts = {"alias": alias, "version": after or NONE, "before": str(before or NONE), "why": why} | ({"entry": entry} if entry else {})
    record_event(client, product, workspace, "alias", facts)
    if after is None:
        client.delete_registered_model_alias(name, alias)
    else:
        client.set_registered_model_alias(name, alias, after)


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the microsecond: events of one second keep their order."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def user() -> str:
    """Return the name of who acts; a number where the machine knows none for it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _event(run: "Run") -> Event:
    """Return the event a run holds."""
    tags = run.data.tags
    facts = {key.removeprefix(FACT): value for key, value in tags.items() if key.startswith(FACT)}
    return Event(
        kind=tags[ACT],
        at=tags["at"],
        who=tags["who"],
        host=tags["host"],
        facts=facts,
        run_id=run.info.run_id,
        commit=tags["git.commit"],
    )
