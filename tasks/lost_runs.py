"""What the Prefect server does by itself about runs that were lost with their worker: two automations, ours by name."""

from datetime import timedelta
from typing import TYPE_CHECKING

from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

OURS, RETRIED = "zeromiss", "retried"  # tags of deployments, and so of their runs
SILENCE = timedelta(seconds=90)  # three heartbeats
_RUN = ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"})


def automations() -> list[AutomationCore]:
    """Return both: silent runs are marked crashed, and crashed runs of deployments that want it are scheduled again."""
    beat, ends = "prefect.flow-run.heartbeat", ("Completed", "Failed", "Cancelled", "Crashed", "Scheduled", "Paused", "Suspended", "AwaitingRetry")
    lost = EventTrigger(
        after={beat},
        expect={beat, *(f"prefect.flow-run.{end}" for end in ends)},
        match=_RUN,
        match_related=_tagged(OURS),
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=SILENCE,
    )
    crashed = EventTrigger(
        expect={"prefect.flow-run.Crashed"}, match=_RUN, match_related=_tagged(RETRIED), for_each={"prefect.resource.id"}, posture=Posture.Reactive, threshold=1
    )
    silent = f"no heartbeat for {SILENCE.seconds} seconds: its worker is lost"
    again = ChangeFlowRunState(state=StateType.SCHEDULED, name="AwaitingRetry", message="crashed: another worker takes it, from the last checkpoint")
    return [
        AutomationCore(
            name="zeromiss: lost runs",
            description="Marks a run crashed whose worker sends no heartbeats any more.",
            trigger=lost,
            actions=[ChangeFlowRunState(state=StateType.CRASHED, message=silent)],
        ),
        AutomationCore(
            name="zeromiss: try again", description="Schedules a crashed run of a deployment with the tag `retried` again.", trigger=crashed, actions=[again]
        ),
    ]


def switch_on(client: "SyncPrefectClient") -> list[str]:
    """Have both automations on the server, as they are here, and return a line about each.

    One that a person has switched off there stays off.
    """
    return [put(client, wanted) for wanted in automations()]


def put(client: "SyncPrefectClient", wanted: AutomationCore) -> str:
    """Have one automation of that name on the server, changed only where it differs, and return a line about it.

    One that a person has switched off stays off.
    """
    found = client.read_automations_by_name(wanted.name)
    if not found:
        client.create_automation(wanted)
    else:
        for extra in found[1:]:
            client.delete_automation(extra.id)
        if _shape(found[0]) != _shape(wanted):
            client.update_automation(found[0].id, wanted.model_copy(update={"enabled": found[0].enabled}))
    return f"automation {wanted.name!r}: {'on' if not found or found[0].enabled else 'switched off on the server'}"


def _tagged(tag: str) -> ResourceSpecification:
    """Return what matches a run with a tag."""
    return ResourceSpecification({"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"})


def _shape(automation: AutomationCore) -> dict[str, object]:
    """Return what two automations must have in common to do the same; as JSON the sets in it would have an order."""
    return automation.model_dump(include={"description", "trigger", "actions"})
