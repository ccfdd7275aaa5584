"""Deployments: prefect.yaml, which says how each flow is deployed, filled in for every product of params.yaml.

Registering twice changes nothing. What people change on the server stays: schedules, work pools, numbers of slots.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound

from tasks.at_work import GPU
from tasks.automations import train_on_drift
from tasks.deployed import FILE, fill_in, read_entries, server
from tasks.lost_runs import switch_on
from tasks.schedule import from_file, told
from zeromiss.errors import ZeromissError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

@dataclass
class PullSteps:
    """Prefect's protocol of where a flow's code comes from: here the steps that a worker takes first, as prefect.yaml has them."""

    steps: list[dict[str, Any]]
    destination: Path = Path()
    pull_interval: int | None = None  # nothing is pulled but by workers

    def set_base_path(self, path: Path) -> None:
        """Take the folder that the protocol hands out."""
        self.destination = path

    async def pull_code(self) -> None:
        """Do nothing: the worker takes the steps."""

    def to_pull_step(self) -> list[dict[str, Any]]:
        """Return the steps."""
        return self.steps


def deploy(root: Path, *, gpus: int | None = None) -> list[str]:
    """Register a deployment a flow and product, with pools, limits and automations, and return what there is to say.

    `gpus`: slots for stages on a GPU (None: leave them, one where there is no limit yet). Raises ZeromissError without
    a server, and for a prefect.yaml or params.yaml that cannot be used; then nothing has been registered.
    """
    from zeromiss.params import load_product, read_params
    from zeromiss.workspace import Workspace

    params = Workspace(root=root).params_file
    products = [load_product(params, name).name for name in read_params(params)["products"]]
    filled = [fill_in(entry, product) for product in products for entry in read_entries(root)]
    with server() as client:
        made = [_runner_deployment(entry) for entry in filled]
        lines = [_ensure_pool(client, name) for name in sorted({entry["work_pool"]["name"] for entry in filled})]
        lines.append(_ensure_slots(client, gpus))
        lines += [_register(client, one, entry) for one, entry in zip(made, filled, strict=True)]
        lines += switch_on(client)
    return lines + [f"automation {train_on_drift(product)!r}: made or as before" for product in products]


def _runner_deployment(entry: dict[str, Any]) -> RunnerDeployment:
    """Return Prefect's own form of an entry; its flow is imported for the parameters that it takes."""
    try:
        one = RunnerDeployment.from_entrypoint(
            entry["entrypoint"],
            name=entry["name"],
            description=entry.get("description"),
            parameters=entry["parameters"],
            tags=entry["tags"],
            work_pool_name=entry["work_pool"]["name"],
            job_variables=entry["work_pool"].get("job_variables"),
        )
    except (ImportError, AttributeError, LookupError) as error:
        raise ZeromissError(f"{FILE}: the flow {entry['entrypoint']} cannot be imported ({' '.join(str(error).split())}): mend its entrypoint") from None
    limit = entry.get("concurrency_limit")
    if isinstance(limit, dict):
        one.concurrency_limit, one.concurrency_options = limit["limit"], {key: value for key, value in limit.items() if key != "limit"}
    elif limit is not None:
        one.concurrency_limit = limit
    one.storage = PullSteps(entry["pull"])
    return one


def _register(client: "SyncPrefectClient", one: RunnerDeployment, entry: dict[str, Any]) -> str:
    """Create a deployment with the file's schedules, or update all but the schedules of one that is there; return a line."""
    name = f"{one.flow_name}/{one.name}"
    try:
        client.read_deployment_by_name(name)
        schedules, what = None, "registered again"
        one.model_fields_set.difference_update({"schedules", "paused"})  # only what is set is sent: people's choices stay
    except ObjectNotFound:
        schedules, what = [from_file(schedule) for schedule in entry.get("schedules") or []], "registered"
    found = client.read_deployment(one.apply(schedules=schedules))
    return f"deployment {name}: {what}, work pool {one.work_pool_name}; {told(found)}"


def _ensure_pool(client: "SyncPrefectClient", name: str) -> str:
    """Make a work pool for processes where there is none of that name; return a line."""
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.workers.process import ProcessWorker

    try:
        return f"work pool {name}: there already ({client.read_work_pool(name).type})"
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=name, type="process", base_job_template=ProcessWorker.get_default_base_job_template()))
        return f"work pool {name}: created (process); start a worker in a workspace: prefect worker start --pool {name}"


def _ensure_slots(client: "SyncPrefectClient", gpus: int | None) -> str:
    """Have the limit of GPU slots; return a line."""
    try:
        there = client.read_global_concurrency_limit_by_name(GPU).limit
    except ObjectNotFound:
        there = None
    slots = gpus or there or 1
    if slots != there:
        client.upsert_global_concurrency_limit_by_name(GPU, slots)
    return f"GPU slots (limit {GPU!r}): {slots}{'' if slots != there else ', as before'}"


def run(root: Path, *, gpus: int | None) -> int:
    """Deploy for the command line and return the exit code."""
    for line in deploy(root, gpus=gpus):
        print(line)
    return 0
