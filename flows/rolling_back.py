"""The flow of a rollback."""

from typing import Any

from prefect import flow

from tasks.registry import roll_back


@flow(name="rollback", persist_result=False)
def rollback(product: str, root: str, to: str | None, by: str, why: str) -> dict[str, Any]:
    """Put an earlier champion in charge again and return what was done; see `zeromiss.registry.rollback`."""
    return roll_back(product, root, to, by, why)
