"""The command that shows which labels to check first, and records what people say of them."""

import argparse
from collections.abc import Callable

Command = Callable[[str, object, str], argparse.ArgumentParser]


def add(command: Command) -> None:
    """Add the command labels."""
    labels = command("labels", _labels, "the labels that scores contradict most, as pictures; or change a label, with a name and a reason")
    labels.add_argument("product")
    labels.add_argument("--count", type=int, metavar="N", help="images shown each way (default: 20)")
    word = "normal, defect or unsure; FILE is a path of index.csv or a file name; may be repeated"
    labels.add_argument("--set", action="append", default=[], metavar="FILE=WORD", help=word)
    labels.add_argument("--by", metavar="NAME", help="who says so")
    labels.add_argument("--why", metavar="TEXT", help="what it was seen by")
    labels.add_argument("--json", action="store_true", help="print one JSON object")


def _labels(options: argparse.Namespace) -> int:
    from zeromiss.errors import ZeromissError
    from zeromiss.reports.labels_command import record, show
    from zeromiss.workspace import Workspace

    workspace = Workspace.find()
    if options.set:
        if options.count is not None:
            raise ZeromissError("--count is for showing labels, --set for changing them: give one of the two")
        return record(options.product, workspace, options.set, by=options.by, why=options.why, as_json=options.json)
    if options.by is not None or options.why is not None:
        raise ZeromissError("--by and --why go with a label that is changed: add --set FILE=normal, FILE=defect or FILE=unsure")
    return show(options.product, workspace, count=20 if options.count is None else options.count, as_json=options.json)
