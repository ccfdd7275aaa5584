"""Prefect's automations of this project: what an event starts, and who hears of what. Made anew, they replace themselves."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tasks.events import DRIFT, PROMOTED, resource
from zeromiss.errors import ZeromissError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

FLOWS = ("ingest", "train", "inspect", "inspect-on-cluster", "monitor", "promote", "compare", "rebuild")  # whose failures are told
FAILED = ("prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut")
_SENTENCE = "{{ event.payload['sentence'] }}"
_PRODUCT = "{{ event.payload['product'] }}"


def train_on_drift(product: str, deployment: str | None = None) -> str:
    """Have the event of a product's drift start its training and return the automation's name.

    deployment: FLOW/NAME, default train/PRODUCT. Raises ZeromissError without a server or such a deployment.
    """
    from prefect.events.actions import RunDeployment
    from prefect.exceptions import ObjectNotFound

    wanted, name = deployment or f"train/{product}", f"zeromiss: train {product} on drift"
    with _client() as client:
        try:
            found = client.read_deployment_by_name(wanted)
        except ObjectNotFound:
            raise ZeromissError(f"Prefect's server has no deployment {wanted}: register it with zeromiss deploy") from None
        trigger = _trigger({DRIFT}, match={"prefect.resource.id": resource(product)})
        _put(client, name, trigger, RunDeployment(source="selected", deployment_id=found.id), f"Starts {wanted} when zeromiss monitor tells of a drift.")
    return name


def notify(block: str) -> list[str]:
    """Have failures, drifts and promotions sent through a notification block and return the automations' names.

    block: TYPE/NAME, such as slack-webhook/line-3. Raises ZeromissError without a server or such a block.
    """
    from prefect.events.actions import SendNotification

    with _client() as client:
        identifier, names = _block(client, block), []
        for what, (trigger, subject, body) in _told().items():
            names.append(f"zeromiss: {what} to {block}")
            action = SendNotification(block_document_id=identifier, subject=subject, body=body)
            _put(client, names[-1], trigger, action, f"Sends {what} through the block {block}.")
    return names


def notify_no_more(block: str) -> list[str]:
    """Remove the automations that `notify` made for a block and return their names, none where there are none."""
    removed = []
    with _client() as client:
        for name in (f"zeromiss: {what} to {block}" for what in _told()):
            for one in client.read_automations_by_name(name):
                client.delete_automation(one.id)
                removed.append(name)
    return removed


def _told() -> dict[str, tuple[Any, str, str]]:
    """Return what is told: trigger, subject and text, in Prefect's templates."""
    runs = {"prefect.resource.role": "flow", "prefect.resource.name": list(FLOWS)}
    failure = "{{ flow.name }} failed", "{{ flow.name }}, run {{ flow_run.name }}, ended as {{ flow_run.state.name }}: {{ flow_run.state.message }}"
    return {
        "failures": (_trigger(set(FAILED), match={"prefect.resource.id": "prefect.flow-run.*"}, match_related=runs), *failure),
        "drifts": (_trigger({DRIFT}), f"{_PRODUCT} has drifted", _SENTENCE),
        "promotions": (_trigger({PROMOTED}), f"{_PRODUCT} has a new champion", _SENTENCE),
    }


def _trigger(expect: set[str], *, match: dict[str, Any] | None = None, match_related: dict[str, Any] | None = None) -> Any:
    """Return a trigger that every such event fires, once each."""
    from prefect.events.schemas.automations import EventTrigger, Posture

    return EventTrigger(expect=expect, match=match or {}, match_related=match_related or {}, posture=Posture.Reactive, threshold=1, within=timedelta(0))


def _put(client: "SyncPrefectClient", name: str, trigger: Any, action: Any, description: str) -> str:
    """Create an automation, or bring the one of that name up to date; return a line about it."""
    from prefect.events.schemas.automations import AutomationCore

    from tasks.lost_runs import put

    return put(client, AutomationCore(name=name, description=description, trigger=trigger, actions=[action]))


def _block(client: "SyncPrefectClient", block: str) -> Any:
    """Return the id of a notification block's document."""
    from prefect.exceptions import ObjectNotFound

    kind, _, name = block.partition("/")
    try:
        document = client.read_block_document_by_name(name, kind)
    except ObjectNotFound:
        raise ZeromissError(f"Prefect's server has no block {block}: make it on its page Blocks, or name one as TYPE/NAME, e.g. slack-webhook/line-3") from None
    if "notify" not in document.block_schema.capabilities:
        raise ZeromissError(f"the block {block} sends no notifications: name one that does, e.g. slack-webhook/line-3")
    return document.id


def _client() -> "SyncPrefectClient":
    """Return a client of the server that PREFECT_API_URL names."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        raise ZeromissError("automations live on a Prefect server: start one and set PREFECT_API_URL")
    return get_client(sync_client=True)
