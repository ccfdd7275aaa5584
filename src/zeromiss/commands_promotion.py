"""The commands that decide which model is in charge: promote, rollback, history."""

import argparse
from collections.abc import Callable
from pathlib import Path


def add(command: Callable[[str, object, str], argparse.ArgumentParser]) -> None:
    """Add the commands."""
    promote = command("promote", _promote, "let the gate decide whether the challenger becomes champion")
    promote.add_argument("product")
    said = promote.add_mutually_exclusive_group()
    said.add_argument("--approve", action="store_true", help="approve what passed the gate (promotion.mode: approve)")
    said.add_argument("--refuse", action="store_true", help="refuse what passed the gate")
    _add_person(promote, required=False)
    rollback = command("rollback", _rollback, "put an earlier champion in charge again, at once")
    rollback.add_argument("product")
    rollback.add_argument("--to", metavar="VERSION", help="which one (default: the champion before this one)")
    _add_person(rollback, required=True)
    history = command("history", _history, "every promotion, refusal, approval and rollback of a product, in order")
    history.add_argument("product")
    history.add_argument("--json", action="store_true", help="print one JSON object")


def _add_person(command: argparse.ArgumentParser, *, required: bool) -> None:
    """Add who decides and why."""
    command.add_argument("--by", metavar="NAME", required=required, help="who decides")
    command.add_argument("--why", metavar="TEXT", required=required, help="why, in a sentence: it is kept with the model")


def _promote(options: argparse.Namespace) -> int:
    from zeromiss.commands import enter_workspace
    from zeromiss.errors import ZeromissError

    said = options.approve or options.refuse
    if said != bool(options.by and options.why) or (not said and (options.by or options.why)):
        raise ZeromissError("an answer is --approve or --refuse with --by NAME and --why TEXT: give all three or none")
    enter_workspace(options)
    from flows import promote

    answer = {"approve": options.approve, "by": options.by, "why": options.why} if said else None
    return promote.run(options.product, Path.cwd(), answer=answer, debug=options.debug)


def _rollback(options: argparse.Namespace) -> int:
    from zeromiss.commands import enter_workspace

    enter_workspace(options)
    from flows import rollback

    return rollback.run(options.product, Path.cwd(), to=options.to, by=options.by, why=options.why)


def _history(options: argparse.Namespace) -> int:
    from zeromiss.registry.history import run
    from zeromiss.workspace import Workspace

    return run(options.product, Workspace.find(), as_json=options.json)
