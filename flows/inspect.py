"""Inspect: the model in charge judges images, here or in chunks on a Dask cluster.

A schedule or a server runs the flows. The command line calls the same function without Prefect: a few files
should not wait for a temporary server to start, and DVC, MLflow and the verdicts know no difference. On a cluster
it runs the flow, whose tasks the workers report to the Prefect server.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect import flow, unmapped
from prefect.settings import PREFECT_API_URL

from tasks.at_work import at_work
from tasks.failure import REFUSED
from tasks.inspect import inspect_images, judge_to_folder, judge_to_json
from tasks.inspect_chunks import clear_job, cut_job, join_job, judge_chunk
from zeromiss.errors import ZeromissError


@flow(name="inspect", persist_result=False)
@at_work()
def inspect(product: str, root: str, paths: list[str]) -> dict[str, Any]:
    """Judge files and folders, write verdicts and overlays, and return counts, model and folder."""
    return inspect_images(product, root, paths)


@flow(name="inspect-on-cluster", persist_result=False)
def inspect_in_chunks(product: str, root: str, paths: list[str], cluster: str) -> dict[str, Any]:
    """Do what `inspect` does, with chunks of the files mapped over this flow's task runner, a Dask cluster's."""
    job = cut_job(product, root, paths, cluster)
    try:
        parts = judge_chunk.map(job["chunks"], common=unmapped(job["common"])).result()
        return join_job(parts, job["folder"], job["model"], product=product, root=root)
    finally:
        clear_job(job)


def inspect_on(cluster: str, product: str, root: str, paths: list[str]) -> dict[str, Any]:
    """Run `inspect_in_chunks` on the Dask cluster at an address.

    Raises ZeromissError without a Prefect server that the workers can report to.
    """
    if not PREFECT_API_URL.value():
        raise ZeromissError(
            "an inspection on a cluster is recorded by a Prefect server that its workers reach: start one and set PREFECT_API_URL"
        )
    try:
        from prefect_dask import DaskTaskRunner
    except ModuleNotFoundError:
        raise ZeromissError(f"the cluster {cluster} needs the extra packages: pip install 'zeromiss[cluster]'") from None
    return inspect_in_chunks.with_options(task_runner=DaskTaskRunner(address=cluster))(product, root, paths, cluster)


def run(
    product: str,
    paths: Sequence[Path],
    root: Path,
    *,
    as_json: bool = False,
    cluster: str | None = None,
    beside: Mapping[str, Any] | None = None,
    debug: bool = False,
) -> int:
    """Judge for the command line and return the exit code: 2 when a file could not be judged.

    `beside`: reference, references and design as the options of `zeromiss inspect` name them. Such a file is named with its
    reason and never called normal. Raises ZeromissError when nothing can be
    judged at all: no model, no such path, no cluster.
    """
    if as_json and cluster:
        raise ZeromissError("--json prints verdicts as they come, a cluster writes them to a folder: leave one of the two out")
    if cluster and any((beside or {}).values()):
        raise ZeromissError("a cluster's workers are not told of references and designs: leave --cluster out")
    if as_json:
        lines, failures = judge_to_json(product, root, paths, beside)
    else:
        done = inspect_on(cluster, product, str(root), [str(path) for path in paths]) if cluster else judge_to_folder(product, root, paths, beside)
        lines, failures = words(done), done["failures"]
    for line in lines:
        print(line)
    for failure in failures:
        print(f"zeromiss: {failure}", file=sys.stderr)
    return REFUSED if failures else 0


def words(done: dict[str, Any]) -> list[str]:
    """Return an inspection's outcome as lines."""
    counts = f"{done['abnormal']} abnormal, {done['normal']} normal, {done['errors']} that could not be judged"
    shadow = [done["shadow"]] if done.get("shadow") else []  # what a cluster judged has none
    return [f"{done['model']} judged {done['images']} images: {counts}", *shadow, done["folder"]]
