"""Train: from raw images to a registered model, asked about by the gate, that judges new images.

The stages and their order are DVC's; this flow runs each, and does what DVC must not: acts on the outside.
"""

from pathlib import Path
from typing import Any

from prefect import flow

from tasks.at_work import at_work
from tasks.closing import closing_words
from tasks.cluster import reach_cluster
from tasks.failure import REFUSED, StageFailed, ended
from tasks.handover import Workers, find_workers, fit_elsewhere
from tasks.ingest import ingest_images
from tasks.inspect import inspect_images
from tasks.pipeline import changed_stages, run_stage, stage_order
from tasks.registry import announce, ask_gate, register_bundle
from tasks.report import render_report
from tasks.tracking import parent_run
from tasks.versioning import restore_raw, version_raw
from zeromiss.errors import ZeromissError


@flow(name="train", persist_result=False)
@at_work(alone=True)
def train(product: str, root: str, cluster: str | None = None, workers: str | None = None) -> dict[str, Any]:
    """Run the product through; return the gate's `record`, the report's `page` and what was `inspected` (None without new images).

    `cluster`: address of the Dask cluster that the stages divide their work on, `workers`: Prefect work pool whose workers
    run the stages for a GPU (both None: as params.yaml says).
    Raises StageFailed when a stage fails, after which nothing downstream runs, and ZeromissError for what any
    other step refuses.
    """
    order = stage_order(product, root)
    reach_cluster(root, cluster)
    elsewhere = find_workers(product, root, workers)
    bring_raw(product, root)
    with parent_run(product, root) as parent:
        run_stages(order, root, parent, cluster, elsewhere)
        print(register_bundle(product, root, parent=parent))
        record = ask_gate(product, root)
        announce(record)
        page = render_report(product, root)
    new = new_images(product, root)
    inspected = inspect_images(product, root, [new]) if new else None
    return {"record": record, "page": page, "inspected": inspected}


def bring_raw(product: str, root: str) -> None:
    """Have the raw images in place: as they are, from DVC's cache, or from the product's source."""
    if restore_raw(product, root):
        return
    for line in ingest_images(product, root):
        print(line)
    version_raw(product, root)


def run_stages(
    order: list[tuple[str, str]], root: str, parent: str, cluster: str | None = None, workers: Workers | None = None
) -> None:
    """Bring every stage up to date, in order, those for a GPU on `workers`; end only when DVC finds nothing changed.

    Raises ZeromissError when code, parameters or data changed while the stages ran.
    """
    for target, worker in order:
        if workers and worker == "gpu":
            fit_elsewhere.with_options(name=target, tags={worker})(target, root, workers, parent=parent)
        else:
            run_stage.with_options(name=target, tags={worker})(target, root, worker=worker, parent=parent, cluster=cluster)
    changed = changed_stages([target for target, _ in order], root)
    if changed:
        raise ZeromissError(f"{', '.join(changed)} changed while the stages ran (see dvc status): run it again")


def new_images(product: str, root: str) -> str | None:
    """Return the product's incoming folder if anything lies in it."""
    folder = Path(root) / "data" / "00_incoming" / product
    return str(folder) if any(path.is_file() for path in folder.rglob("[!.]*")) else None


def run(product: str, root: Path, *, cluster: str | None = None, workers: str | None = None, debug: bool = False) -> int:
    """Run the flow for the command line and return its exit code: 2 also when a new image could not be judged.

    A stage that failed has printed its sentence; all else that is refused is raised as ZeromissError.
    """
    try:
        done = train(product, str(root), cluster, workers)
    except StageFailed as failure:
        return ended(failure, debug=debug)
    print(closing_words(product, str(root), **done))
    return REFUSED if done["inspected"] and done["inspected"]["errors"] else 0
