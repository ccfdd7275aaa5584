"""`zeromiss history`: every decision about a product's models, from the log that nobody can rewrite unseen."""

import json
from typing import Any

from zeromiss.errors import ZeromissError
from zeromiss.lines import paragraph, time, wrap
from zeromiss.registry.decisions import Log, read_log, sentence
from zeromiss.registry.publish import CHALLENGER, CHAMPION, find_alias, versions
from zeromiss.registry.store import model_name, reading
from zeromiss.workspace import Workspace

SCHEMA_VERSION = 1
BROKEN = 1  # exit code where the chain does not hold


def run(product: str, workspace: Workspace, *, as_json: bool) -> int:
    """Print a product's decisions, the oldest first; return 1 where the log's chain does not hold.

    Nothing is written. Raises ZeromissError where there is no store or no model of the product.
    """
    client = reading(workspace)
    if not versions(client, product):
        raise ZeromissError(f"no model of {product} is registered: train one with zeromiss run {product}")
    log = read_log(client, product)
    aliases = {alias: find_alias(client, product, alias) for alias in (CHAMPION, CHALLENGER)}
    print(json.dumps(_content(product, log, aliases), indent=2) if as_json else _text(product, log, aliases))
    return BROKEN if log.faults else 0


def _content(product: str, log: Log, aliases: dict[str, str | None]) -> dict[str, Any]:
    """Return the history as plain values."""
    head = {"schema_version": SCHEMA_VERSION, "product": product} | aliases
    return head | {"intact": not log.faults, "faults": list(log.faults), "decisions": [entry.content() for entry in log.entries]}


def _text(product: str, log: Log, aliases: dict[str, str | None]) -> str:
    """Return the history as the terminal shows it."""
    borne = ", ".join(f"{alias} version {version}" for alias, version in aliases.items() if version) or "no alias is given"
    lines = [f"{model_name(product)}: {borne}"]
    lines += [paragraph(f"{entry.number:>4}  {time(entry.at)}  {entry.kind}: {sentence(entry)}") for entry in log.entries]
    if not log.entries:
        lines.append(paragraph("no decision is in the log: it begins with the next one"))
    lines += [wrap(f"THE LOG DOES NOT HOLD: {fault}") for fault in log.faults]
    return "\n".join(lines)
