"""Commands that register deployments on a Prefect server and change their schedules."""

import argparse
from collections.abc import Callable
from pathlib import Path


def add(command: Callable[[str, object, str], argparse.ArgumentParser]) -> None:
    """Add the commands."""
    deploy = command("deploy", _deploy, "register every product's flows on the Prefect server that PREFECT_API_URL names")
    deploy.add_argument("--gpus", type=_slots, metavar="N", help="how many stages may use a GPU at once (default: as it is on the server, else 1)")
    schedule = command("schedule", _schedule, "show or change when a product's flow runs by itself")
    schedule.add_argument("product")
    schedule.add_argument("--flow", metavar="FLOW", help="as in prefect.yaml (default: train to change, all to show)")
    schedule.add_argument("--cron", metavar="'M H D M W'", help="when, for example '0 3 * * 0': Sundays at three")
    schedule.add_argument("--timezone", metavar="ZONE", help="of the times, for example Europe/Brussels (default: as it is, else UTC)")
    state = schedule.add_mutually_exclusive_group()
    state.add_argument("--on", dest="on", action="store_true", default=None, help="switch it on")
    state.add_argument("--off", dest="on", action="store_false", default=None, help="switch it off; what runs already goes on")


def _slots(text: str) -> int:
    """Return a number of slots, 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of GPUs: write 1 or more")
    return int(text)


def _deploy(options: argparse.Namespace) -> int:
    from zeromiss.commands import enter_workspace

    enter_workspace(options)
    from tasks.deploy import run

    return run(Path.cwd(), gpus=options.gpus)


def _schedule(options: argparse.Namespace) -> int:
    from zeromiss.commands import enter_workspace

    enter_workspace(options)
    from tasks.schedule import run

    return run(Path.cwd(), options.product, flow=options.flow, cron=options.cron, timezone=options.timezone, on=options.on)
