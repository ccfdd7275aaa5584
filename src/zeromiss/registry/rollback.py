"""Rollback: an earlier champion takes over again, at once, if everything that is stored of it still matches."""

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

from zeromiss.errors import ZeromissError
from zeromiss.registry.approval import Answer
from zeromiss.registry.audit import audit
from zeromiss.registry.audit_records import DECISIONS
from zeromiss.registry.decisions import append, read_log, refuse_outrun
from zeromiss.registry.events import Event, move_alias, read_events
from zeromiss.registry.facts import NONE
from zeromiss.registry.promotion import PROMOTED, refuse_under_way, serialised
from zeromiss.registry.publish import CHALLENGER, CHAMPION, find_alias, versions
from zeromiss.registry.store import model_name, prepare
from zeromiss.registry.stored import open_store
from zeromiss.workspace import Workspace


def rollback(product: str, workspace: Workspace, *, to: str | None, by: str, why: str) -> dict[str, Any]:
    """Make an earlier champion champion again (`to`: its version; None: the one before) and return what was done.

    Raises ZeromissError where there is no earlier champion, for a version that the gate never promoted or of which anything
    does not match, without a name or reason, and where somebody else decided meanwhile.
    """
    begin, answer = perf_counter(), Answer(approve=True, by=by, why=why)
    client = prepare(workspace)
    seen = read_log(client, product)
    with serialised(workspace, product):
        refuse_outrun(read_log(client, product), seen, product)
        champion = find_alias(client, product, CHAMPION)
        refuse_under_way(seen, champion)
        if champion is None:
            raise ZeromissError(f"{model_name(product)} has no champion to go back from: zeromiss promote {product} asks the gate about the challenger")
        target = to or _previous(read_events(client, product, workspace, "alias"), champion, product)
        _refuse_unfit(product, target, champion, {str(one.version): one.tags for one in versions(client, product)})
        _refuse_unsound(product, target, workspace)
        facts = {"version": target, "before": champion, "by": answer.by, "why": answer.why}
        entry = append(client, product, workspace, "rollback", facts, after=seen).entries[-1]
        move_alias(client, product, workspace, CHAMPION, target, f"rolled back by {answer.by}: {answer.why}", entry=entry.name)
        if find_alias(client, product, CHALLENGER) == target:
            move_alias(client, product, workspace, CHALLENGER, None, "it is the champion now")
    return {"product": product, "version": target, "before": champion, "entry": entry.number, "by": by, "why": why, "seconds": perf_counter() - begin}


def champions(moves: Sequence[Event]) -> list[str]:
    """Return the champions that a rollback can pass through, the first one first: going back to one forgets those after it."""
    stack: list[str] = []
    for event in moves:
        if event.facts["alias"] != CHAMPION or event.facts["version"] == NONE:
            continue
        version = event.facts["version"]
        stack = stack[: stack.index(version) + 1] if version in stack else [*stack, version]
    return stack


def _previous(moves: Sequence[Event], champion: str, product: str) -> str:
    """Return the champion before this one; raise ZeromissError where there is none."""
    stack = champions(moves)
    earlier = stack[: stack.index(champion)] if champion in stack else stack
    if not earlier:
        raise ZeromissError(f"version {champion} is the first champion of {product} that is recorded: name another with --to VERSION")
    return earlier[-1]


def _refuse_unfit(product: str, target: str, champion: str, known: Mapping[str, Mapping[str, str]]) -> None:
    """Raise ZeromissError for a version that is not there, is champion already, or was never promoted."""
    if target not in known:
        raise ZeromissError(f"{model_name(product)} has no version {target}: zeromiss history {product} names its champions")
    if target == champion:
        raise ZeromissError(f"version {target} is the champion of {product}: there is nothing to roll back")
    if known[target].get("gate.outcome") != PROMOTED:
        raise ZeromissError(f"the gate never promoted version {target} of {product}, so it cannot be put in charge: choose one that was champion")


def _refuse_unsound(product: str, target: str, workspace: Workspace) -> None:
    """Raise ZeromissError where anything that is stored of the version does not match.

    The log of decisions is left out: a line that is missing there cannot be mended, and must not keep a bad champion in charge.
    """
    with open_store(workspace) as store:
        checks = [check for check in audit(store, product, target, workspace)["checks"] if check["what"] != DECISIONS]
    wrong = [f"{check['what']}: {one['sentence']}" for check in checks for one in check["findings"]]
    wrong += [f"{check['what']}: {check['note']}" for check in checks if check["what"] == "bundle" and check["state"] == "not stored"]
    if wrong:
        raise ZeromissError(
            f"version {target} of {product} is not as it was promoted ({'; '.join(wrong[:3])}): nothing was changed; zeromiss audit "
            f"{product}/{target} says more, --to names another version"
        )
