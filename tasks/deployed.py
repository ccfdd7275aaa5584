"""What is deployed: prefect.yaml, which says how, and the Prefect server that is told."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL
from prefect.utilities.templating import apply_values
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from zeromiss.errors import ZeromissError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

FILE = "prefect.yaml"
PRODUCT = "ZEROMISS_PRODUCT"  # what prefect.yaml calls the product
READ = {"name", "description", "entrypoint", "work_pool", "parameters", "concurrency_limit", "tags", "schedules", "pull"}


def read_entries(root: Path) -> list[dict[str, Any]]:
    """Return the deployments of prefect.yaml as they stand there, each with its pull steps.

    Raises ZeromissError for a file that cannot be read, and for keys that nothing here reads.
    """
    path = root / FILE
    try:
        tree = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
        entries = [{"pull": tree.get("pull") or []} | dict(entry) for entry in tree["deployments"]]
    except (OSError, YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ZeromissError(f"{path} cannot be read ({' '.join(str(error).split())}): it needs a list of deployments") from None
    for entry in entries:
        stray, missing = set(entry) - READ, READ - set(entry) - {"description", "schedules", "concurrency_limit"}
        if stray or missing:
            what = f"has the key {sorted(stray)[0]!r}, which zeromiss deploy does not read" if stray else f"lacks {sorted(missing)[0]!r}"
            raise ZeromissError(f"{path}: the deployment of {entry.get('entrypoint', '?')} {what}: mend it")
    return entries


def fill_in(entry: dict[str, Any], product: str) -> dict[str, Any]:
    """Return an entry with the product's name in its places, as Prefect's own `prefect deploy` does it; pull steps wait for the worker."""
    before = os.environ.get(PRODUCT)
    os.environ[PRODUCT] = product
    try:
        filled = apply_values({key: value for key, value in entry.items() if key != "pull"}, os.environ, remove_notset=False)
    finally:
        if before is None:
            del os.environ[PRODUCT]
        else:
            os.environ[PRODUCT] = before
    return filled | {"pull": entry["pull"]}


@contextmanager
def server() -> "Iterator[SyncPrefectClient]":
    """Open a client of the Prefect server that PREFECT_API_URL names.

    Raises ZeromissError without one, and when it does not answer.
    """
    if not PREFECT_API_URL.value():
        raise ZeromissError("deployments and schedules live on a Prefect server: start one (prefect server start) and set PREFECT_API_URL")
    with get_client(sync_client=True) as client:
        if fault := client.api_healthcheck():
            raise ZeromissError(f"the Prefect server at {PREFECT_API_URL.value()} does not answer ({type(fault).__name__}): start it or mend PREFECT_API_URL")
        yield client
