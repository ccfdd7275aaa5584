"""The commands that watch a model in use: what people say of its verdicts, whether images drift, who is told."""

import argparse
from collections.abc import Callable
from pathlib import Path

Command = Callable[[str, object, str], argparse.ArgumentParser]


def add(command: Command) -> None:
    """Add the commands judge, monitor and notify."""
    judge = command("judge", _judge, "say what an inspected part really is; the last word on an image counts")
    judge.add_argument("product")
    judge.add_argument("image", help="the image file, or eight or more digits of its SHA-256")
    judge.add_argument("--as", dest="judgement", required=True, choices=("normal", "defect"), help="what it is")
    judge.add_argument("--by", metavar="NAME", help="who says so (default: the user's name)")
    judge.add_argument("--why", metavar="TEXT", default="", help="what it was seen by")
    monitor = command("monitor", _monitor, "compare recent inspections with what the model was chosen on")
    monitor.add_argument("product")
    notify = command("notify", _notify, "have failures, drifts and promotions sent through one of Prefect's notification blocks")
    notify.add_argument("--block", required=True, metavar="TYPE/NAME", help="e.g. slack-webhook/line-3")
    notify.add_argument("--off", action="store_true", help="send nothing through it any more")


def _judge(options: argparse.Namespace) -> int:
    from zeromiss.inspection.judgements import find_image, judge
    from zeromiss.params import load_product
    from zeromiss.registry.events import user
    from zeromiss.workspace import Workspace

    workspace = Workspace.find()
    load_product(workspace.params_file, options.product)
    digest = find_image(workspace.verdicts(options.product), options.image)
    by = options.by or user()
    judge(workspace.judgements(options.product), digest, options.judgement, by=by, why=options.why)
    print(f"{options.product}: image {digest[:12]} is {'normal' if options.judgement == 'normal' else 'a defect'}, says {by}")
    return 0


def _monitor(options: argparse.Namespace) -> int:
    from zeromiss.commands import enter_workspace

    enter_workspace(options)
    from flows import monitor

    return monitor.run(options.product, Path.cwd())


def _notify(options: argparse.Namespace) -> int:
    from zeromiss.commands import enter_workspace

    enter_workspace(options)
    from tasks.automations import notify, notify_no_more

    names = notify_no_more(options.block) if options.off else notify(options.block)
    print(*(f"{'removed' if options.off else 'set'}: {name}" for name in names) if names else [f"nothing was sent through {options.block}"], sep="\n")
    return 0
