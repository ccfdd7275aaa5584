"""The schedule of a product's flow on the Prefect server: shown, changed, switched on and off."""

import asyncio
from pathlib import Path
from typing import Any

from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound
from pydantic import ValidationError

from tasks.deployed import read_entries, server
from zeromiss.errors import ZeromissError

SLUG = "zeromiss"  # our schedule among those of a deployment
NEXT = 3  # runs that are told


def from_file(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a schedule of prefect.yaml in Prefect's own form."""
    cron = parsed(entry["cron"], entry.get("timezone", "UTC"))
    return {"slug": entry.get("slug", SLUG), "schedule": cron, "active": entry.get("active", False)}


def parsed(cron: str, timezone: str) -> CronSchedule:
    """Return a cron expression in a time zone, checked.

    Raises ZeromissError for one that is none.
    """
    try:
        return CronSchedule(cron=cron, timezone=timezone)
    except (ValidationError, ValueError) as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ") if isinstance(error, ValidationError) else str(error)
        raise ZeromissError(
            f'the schedule "{cron}" ({timezone}) cannot be read ({" ".join(reason.split())}): write minute, hour, day, month and weekday, as in "0 3 * * 0"'
        ) from None


def told(deployment: DeploymentResponse) -> str:
    """Return the schedules of a deployment in words."""
    return "; ".join(_words(schedule, paused=deployment.paused) for schedule in deployment.schedules) or "no schedule"


def schedule(root: Path, product: str, *, flow: str | None, cron: str | None, timezone: str | None, on: bool | None) -> list[str]:
    """Change a flow's schedule if anything is asked for, and return what is set: of that flow, or of all flows.

    `cron` leaves it on or off as it was, `on` leaves the times. Raises ZeromissError for an unknown product, flow or
    cron expression, without a server, and before `zeromiss deploy`.
    """
    from zeromiss.params import load_product
    from zeromiss.workspace import Workspace

    load_product(Workspace(root=root).params_file, product)
    change = cron is not None or timezone is not None or on is not None
    flows = [entry["entrypoint"].rpartition(".")[2] for entry in read_entries(root)]
    if flow is not None and flow not in flows:
        raise ZeromissError(f"no flow {flow!r} is deployed: prefect.yaml has {', '.join(flows)}")
    wanted = [flow or "train"] if change else [flow] if flow else flows
    with server() as client:
        found = [_read(client, f"{name}/{product}") for name in wanted]
        if change:
            _change(client, f"{wanted[0]}/{product}", found[0], cron=cron, timezone=timezone, on=on)
            found = [_read(client, f"{wanted[0]}/{product}")]
    return [line for name, one in zip(wanted, found, strict=True) for line in _lines(f"{name}/{product}", one)]


def _read(client: Any, name: str) -> DeploymentResponse:
    """Return a deployment by its name."""
    try:
        return client.read_deployment_by_name(name)
    except ObjectNotFound:
        raise ZeromissError(f"the Prefect server has no deployment {name}: run zeromiss deploy first") from None


def _change(client: Any, name: str, deployment: DeploymentResponse, *, cron: str | None, timezone: str | None, on: bool | None) -> None:
    """Change our schedule of a deployment, or add it."""
    ours = next((one for one in deployment.schedules if one.slug == SLUG), None)
    if ours is None and cron is None:
        raise ZeromissError(f"{name} has no schedule that --on or --off could switch: say when with --cron")
    zone = timezone or (ours.schedule.timezone if ours else None) or "UTC"
    times = parsed(cron or ours.schedule.cron, zone)
    if ours is None:
        client.create_deployment_schedules(deployment.id, [(times, bool(on))])
        made = next(one for one in client.read_deployment_schedules(deployment.id) if one.slug is None)
        client.update_deployment_schedule(deployment.id, made.id, slug=SLUG)
        return
    client.update_deployment_schedule(deployment.id, ours.id, active=ours.active if on is None else on, schedule=times)


def _lines(name: str, deployment: DeploymentResponse) -> list[str]:
    """Return a deployment's schedules with their next runs."""
    lines = [f"{name}: {told(deployment)}"]
    for one in deployment.schedules:
        lines += [f"  {'next' if one.active and not deployment.paused else 'would run'}: {time}" for time in next_runs(one)]
    return lines


def next_runs(one: DeploymentSchedule) -> list[str]:
    """Return the next times of a cron schedule, in its time zone; none of any other kind of schedule."""
    from prefect.server.schemas.schedules import CronSchedule as Calendar

    if not isinstance(one.schedule, CronSchedule):
        return []
    calendar = Calendar(cron=one.schedule.cron, timezone=one.schedule.timezone, day_or=one.schedule.day_or)
    return [f"{time:%a %Y-%m-%d %H:%M %Z}" for time in asyncio.run(calendar.get_dates(NEXT))]


def _words(one: DeploymentSchedule, *, paused: bool) -> str:
    """Return a schedule in words."""
    state = "the deployment is paused" if paused else "on" if one.active else "off"
    if isinstance(one.schedule, CronSchedule):
        return f'schedule "{one.schedule.cron}" ({one.schedule.timezone or "UTC"}), {state}'
    return f"schedule {one.slug or one.id}, {state}"


def run(root: Path, product: str, *, flow: str | None, cron: str | None, timezone: str | None, on: bool | None) -> int:
    """Show or change for the command line and return the exit code."""
    for line in schedule(root, product, flow=flow, cron=cron, timezone=timezone, on=on):
        print(line)
    return 0
