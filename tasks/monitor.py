"""Checking recent inspections and telling of what was found."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE


@task(cache_policy=NO_CACHE, persist_result=False)
def check_inspections(product: str, root: str) -> dict[str, Any]:
    """Check, write monitor.json and the page, tell of what calls for retraining; return the `page` and a few `sentences`."""
    return check_and_tell(product, Path(root))


def check_and_tell(product: str, root: Path) -> dict[str, Any]:
    """Do what `check_inspections` does, without a task.

    What was told of a version is told again only when the window's days have passed, or there is a new reason:
    retraining takes its time. Raises ZeromissError where there is no model or no verdict.
    """
    from tasks.events import DRIFT, tell
    from zeromiss.monitoring.check import check
    from zeromiss.params import load_product
    from zeromiss.registry.watched import watched
    from zeromiss.reports.monitor_page import write_monitor
    from zeromiss.reports.monitor_words import headline, sentences
    from zeromiss.workspace import Workspace

    workspace = Workspace(root=root)
    params = load_product(workspace.params_file, product)
    model = watched(product, workspace)
    found = check(product, params.monitor, model, verdicts=workspace.verdicts(product), judgements=workspace.judgements(product), seed=params.seed)
    folder = workspace.monitor(product)
    found["told"], lines = _told_before(folder, found), sentences(found)
    if found["reasons"] and found["told"] is None:
        heard = tell(DRIFT, product, headline(found), reasons=found["reasons"], version=found["version"])
        found["told"] = {"version": found["version"], "reasons": found["reasons"], "at": found["at"]} if heard else None
        lines.append("The event zeromiss.drift was sent." if heard else "Nobody was told: no Prefect server of your own runs (PREFECT_API_URL).")
    page = write_monitor(folder, found)
    return {"page": str(page), "sentences": lines, "reasons": found["reasons"]}


def _told_before(folder: Path, found: dict[str, Any]) -> dict[str, Any] | None:
    """Return what was told last, None where it no longer keeps anyone from being told."""
    from zeromiss.files import read_json
    from zeromiss.monitoring.check import FILE, SCHEMA_VERSION

    if not found["reasons"] or not (folder / FILE).is_file():
        return None
    told = read_json(folder / FILE, schema_version=SCHEMA_VERSION)["told"]
    if told is None or told["version"] != found["version"] or set(found["reasons"]) - set(told["reasons"]):
        return None
    recent = datetime.now(UTC) - datetime.fromisoformat(told["at"]) < timedelta(days=found["days"])
    return told if recent else None
