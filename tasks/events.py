"""What the flows tell Prefect's server beside their own states: events that automations wait for."""

from typing import Any

DRIFT, PROMOTED = "zeromiss.drift", "zeromiss.promotion.promoted"


def resource(product: str) -> str:
    """Return the name by which automations know a product."""
    return f"zeromiss.product.{product}"


def tell(event: str, product: str, sentence: str, **facts: Any) -> bool:
    """Emit an event about a product and return whether a server of one's own is there to hear it.

    A temporary server ends with the process and has no automations. Prefect sends in the background, at the latest when the process ends.
    """
    from prefect.events import emit_event
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        return False
    named = {"prefect.resource.id": resource(product), "prefect.resource.name": product, "zeromiss.sentence": sentence}
    sent = emit_event(event=event, resource=named, payload={"product": product, "sentence": sentence, **facts})
    return sent is not None


def tell_promotion(record: dict[str, Any]) -> None:
    """Emit what a gate's record says: zeromiss.promotion.promoted, .refused, .waits-for-approval or .stays-champion."""
    facts = {key: record[key] for key in ("model", "champion", "at") if key in record}
    tell(f"zeromiss.promotion.{str(record['outcome']).replace(' ', '-')}", record["product"], f"{record['model']}: {record['statement']}", **facts)
