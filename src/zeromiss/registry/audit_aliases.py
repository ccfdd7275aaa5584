"""The history of aliases, and where it does not fit together: an alias that somebody moved without a record."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from zeromiss.registry.events import Event
from zeromiss.registry.facts import NONE


@dataclass(frozen=True, kw_only=True)
class Break:
    """A move that nobody recorded: which alias, between which versions (None: no version), in a sentence."""

    alias: str
    before: str | None
    found: str | None
    sentence: str


def breaks(events: Iterable[Event], current: Mapping[str, str]) -> list[Break]:
    """Return where recorded moves don't meet each other, or the aliases as they are now.

    events: of kind `alias`, oldest first; current: alias -> version. A move that was recorded twice, because the first
    try failed after it was written down, is no break; nor is an alias without any record, which older programs moved.
    """
    found = []
    last: dict[str, Event] = {}
    for event in events:
        alias, before = event.facts["alias"], _version(event.facts["before"])
        previous = last.get(alias)
        if previous is not None:
            stood = _version(previous.facts["version"])
            if before not in (stood, _version(previous.facts["before"])):
                found.append(_break(alias, stood, before, f"between {previous.at[:19]} and {event.at[:19]}"))
        last[alias] = event
    for alias, event in sorted(last.items()):
        stood, now = _version(event.facts["version"]), current.get(alias)
        if now != stood:
            found.append(_break(alias, stood, None if now is None else str(now), f"after {event.at[:19]}"))
    return found


def concerning(found: Iterable[Break], version: str) -> list[Break]:
    """Return the breaks in which a version lost or got an alias."""
    return [one for one in found if version in (one.before, one.found)]


def _version(fact: str) -> str | None:
    """Return the version a fact names."""
    return None if fact == NONE else fact


def _break(alias: str, before: str | None, found: str | None, when: str) -> Break:
    """Put a break into words."""
    stood, now = (f"version {one}" if one is not None else "no version" for one in (before, found))
    sentence = f"the alias {alias} went from {stood} to {now} {when} without a record"
    return Break(alias=alias, before=before, found=found, sentence=sentence)
