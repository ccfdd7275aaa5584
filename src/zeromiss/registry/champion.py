"""Which version is champion: the alias, the log of decisions and the recorded moves of the alias must say the same.

MLflow lets anybody who can write to its database move an alias. The log of decisions holds who decided what, so that an
alias that names another version than the last decision is not followed.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from zeromiss.errors import ZeromissError
from zeromiss.registry.decisions import Log, read_log, sentence
from zeromiss.registry.events import Event, read_events
from zeromiss.registry.facts import NONE
from zeromiss.registry.publish import CHALLENGER, CHAMPION, find_alias
from zeromiss.registry.reference import resolve
from zeromiss.registry.store import reading
from zeromiss.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

UNDER_WAY = 60.0  # seconds within which the alias follows its entry in the log, however slow the store


def find_champion(client: "MlflowClient", product: str, workspace: Workspace) -> str | None:
    """Return the version that the last decision made champion, None before there is one. Nothing is written.

    Raises ZeromissError where the alias names another version, or where the decision behind it is not in the log.
    """
    aliases = read_aliases(client, product)
    told = contradiction(product, aliases, read_log(client, product), read_events(client, product, workspace, "alias"))
    if told is not None:
        raise ZeromissError(told)
    return aliases[CHAMPION]


def read_aliases(client: "MlflowClient", product: str) -> dict[str, str | None]:
    """Return the versions that bear the aliases challenger and champion.

    The challenger is asked for first: a promotion moves it last, so that it is still there where the champion has yet to move.
    """
    return {alias: find_alias(client, product, alias) for alias in (CHALLENGER, CHAMPION)}


def in_charge(product: str, workspace: Workspace) -> tuple[str, str]:
    """Return version and alias of the model that judges: the champion, before the first one the challenger.

    Raises ZeromissError when neither is registered, and as `find_champion` does.
    """
    client = reading(workspace)
    champion = find_champion(client, product, workspace)
    if champion is not None:
        return champion, CHAMPION
    challenger = find_alias(client, product, CHALLENGER)
    if challenger is not None:
        return challenger, CHALLENGER
    raise ZeromissError(f"no model of {product} is registered: train one with zeromiss run {product}")


def resolve_decided(reference: str, workspace: Workspace) -> tuple[str, str]:
    """Return product and version as `resolve` does; raise ZeromissError as `find_champion` does where the champion is meant."""
    product, version = resolve(reference, workspace)
    if reference in (product, f"{product}@{CHAMPION}"):
        find_champion(reading(workspace), product, workspace)
    return product, version


def contradiction(
    product: str, aliases: Mapping[str, str | None], log: Log, moves: Sequence[Event], *, deciding: bool = False
) -> str | None:
    """Return in a sentence why the alias champion is not to be followed, None where it names the version of the log's last decision.

    aliases: as of `read_aliases`; moves: events of kind `alias`, the oldest first. For UNDER_WAY seconds after a decision the
    alias may still name the champion before it, and at any time for who is `deciding` anew after one that was cut off.
    """
    champion, last = aliases[CHAMPION], log.champion()
    remedy = f"zeromiss history {product} shows the decisions, zeromiss rollback {product} --to VERSION decides anew"
    lost = _lost_decision(log, moves)
    if lost is not None:
        return f"the decision that made version {lost.facts['version']} champion of {product} is missing from the log of decisions: {remedy}"
    decided = None if last is None else last.facts["version"]
    if champion == decided:
        return None
    borne = "no version" if champion is None else f"version {champion}"
    if last is None:
        return f"the alias champion of {product} names {borne}, but no decision in the log made it champion: {remedy}"
    if last.facts["before"] == (champion or NONE) and (last.kind == "rollback" or aliases[CHALLENGER] == decided):
        if deciding or _age_s(last.at) < UNDER_WAY:
            return None
        again = f"zeromiss promote {product}" if last.kind != "rollback" else f"zeromiss rollback {product} --to {decided}"
        return f"version {decided} became champion of {product} by entry {last.number} of the log, but the alias still names {borne}: {again} completes it"
    return f"the alias champion of {product} names {borne}, but the last decision made version {decided} champion: somebody moved the alias; {remedy}"


def refuse_undecided(client: "MlflowClient", product: str, workspace: Workspace, log: Log) -> None:
    """Raise ZeromissError where a decision must not build on the champion: it moved by hand, or is about to move."""
    aliases = read_aliases(client, product)
    refuse_under_way(log, aliases[CHAMPION])
    told = contradiction(product, aliases, log, read_events(client, product, workspace, "alias"), deciding=True)
    if told is not None:
        raise ZeromissError(told)


def refuse_under_way(log: Log, champion: str | None) -> None:
    """Raise ZeromissError while the alias has yet to follow the last entry of the log: another machine is at it."""
    last = log.champion()
    if last is None or last.facts["version"] == champion or last.facts["before"] != (champion or NONE):
        return
    if _age_s(last.at) < UNDER_WAY:
        raise ZeromissError(
            f"somebody else was first: {sentence(last)}, and the alias has yet to follow; ask again in {UNDER_WAY:g} s if it does not"
        )


def _age_s(at: str) -> float:
    """Return how many seconds a time (ISO 8601) lies from now, in either direction: clocks of two machines differ."""
    return abs((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds())


def _lost_decision(log: Log, moves: Sequence[Event]) -> Event | None:
    """Return the last move of the alias champion where it followed a decision that is newer than all in the log."""
    known, last = {entry.name for entry in log.entries}, log.champion()
    followed = [event for event in moves if event.facts["alias"] == CHAMPION and "entry" in event.facts]
    if not followed or followed[-1].facts["entry"] in known:
        return None
    return followed[-1] if last is None or followed[-1].at > last.at else None
