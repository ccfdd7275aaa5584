"""Judging many images at once: the job is cut into chunks, which a flow maps over the workers of a Dask cluster."""

from contextlib import closing
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

CHUNK = 16  # files a task


@task(cache_policy=NO_CACHE, persist_result=False)
def cut_job(product: str, root: str, paths: list[str], cluster: str) -> dict[str, Any]:
    """Return what every chunk needs (`common`), the `chunks`, the `folder` to write to, and the `model`'s name for people.

    Raises ZeromissError when there is no model or no such path, or the cluster cannot do the work.
    """
    from tasks.inspect import free_folder, name_in_charge
    from zeromiss.cluster import Session
    from zeromiss.inspection.batch import find_files
    from zeromiss.params import load_product
    from zeromiss.workspace import Workspace

    workspace = Workspace(root=Path(root))
    options = load_product(workspace.params_file, product).inspection
    version, model = name_in_charge(product, workspace)
    files = [str(file.absolute()) for file in find_files([Path(path) for path in paths])]
    with closing(Session(cluster)) as session:
        facts = session.check()
    folder = free_folder(workspace.inspection(product))
    parts = folder.with_name(f".{folder.name}.parts")
    chunks = [files[start : start + CHUNK] for start in range(0, len(files), CHUNK)]
    return {
        "common": {
            "product": product, "root": root, "version": version, "overlays": options.overlays, "boxes": options.boxes, "facts": facts
        },
        "chunks": [{"files": chunk, "out": str(parts / f"{number:06d}")} for number, chunk in enumerate(chunks)],
        "folder": str(folder),
        "model": model,
    }  # fmt: skip


@task(cache_policy=NO_CACHE, persist_result=False)
def judge_chunk(chunk: dict[str, Any], common: dict[str, Any]) -> str:
    """Judge a chunk's files in this process, a worker's, and return the folder of the verdicts.

    Raises ZeromissError when the worker lacks a file or the model.
    """
    from zeromiss.registry.remote import judge_there

    root, out = Path(common["root"]), Path(chunk["out"])
    judge_there(
        common["product"], root, [Path(file) for file in chunk["files"]], version=common["version"], out=out,
        overlays=common["overlays"], boxes=common["boxes"], facts=common["facts"],
    )  # fmt: skip
    return str(out)


@task(cache_policy=NO_CACHE, persist_result=False)
def join_job(parts: list[str], folder: str, model: str, *, product: str, root: str) -> dict[str, Any]:
    """Put the chunks' verdicts and overlays together in `folder`, keep their rows, and return what `inspect_images` returns."""
    from tasks.inspect import keep_rows, outcome
    from zeromiss.inspection.merge import merge_folders

    merged = merge_folders([Path(part) for part in parts], Path(folder))
    keep_rows(product, Path(root), Path(folder))
    judged = [verdict for verdict in merged.verdicts if verdict != "error"]
    return outcome(judged, merged.failures, model=model, folder=Path(folder))


def clear_job(job: dict[str, Any]) -> None:
    """Remove what chunks left behind, whether the job ended well or not."""
    import shutil

    shutil.rmtree(Path(job["chunks"][0]["out"]).parent, ignore_errors=True)
