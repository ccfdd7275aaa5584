"""A person's answer to a promotion that a server holds paused, given from a shell."""

import time
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.flow_runs import resume_flow_run

from zeromiss.errors import ZeromissError

LONGEST = 120.0  # seconds from the answer to the end of the run: its process looks every few seconds


def paused_run(product: str) -> UUID | None:
    """Return the newest run of the flow promote that waits for an answer about the product, on whatever machine, None without one."""
    state = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED])))
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=["promote"])), flow_run_filter=state, sort=FlowRunSort.START_TIME_DESC
        )
    mine = [run for run in runs if run.parameters.get("product") == product]
    return mine[0].id if mine else None


def answer_paused(run_id: UUID, product: str, root: str, answer: dict[str, Any]) -> str:
    """Give a paused run its answer, wait for its end, and return the path of the record it wrote, fetched from the registry.

    Raises ZeromissError when it failed, or does not end: its process may be gone.
    """
    from tasks.registry import fetch_record, waiting_version

    version = waiting_version(product, root)
    resume_flow_run(run_id, run_input=answer)
    end = time.monotonic() + LONGEST
    with get_client(sync_client=True) as client:
        while time.monotonic() < end:
            state = client.read_flow_run(run_id).state
            if state is not None and state.is_final():
                break
            time.sleep(0.5)
        else:
            raise ZeromissError(
                f"the paused run {run_id} took the answer and did not end within {LONGEST:g} s: its process may be gone, so cancel it "
                f"(prefect flow-run cancel {run_id}) and answer again"
            )
    if not state.is_completed():
        raise ZeromissError(f"the paused run {run_id} took the answer and failed: {state.message}")
    return fetch_record(product, root, version)
