"""Judging files in a worker's process of a cluster: the registered model is loaded once."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from zeromiss.cluster import check_process, worker_name
from zeromiss.errors import ZeromissError
from zeromiss.inspection.batch import inspect_paths
from zeromiss.inspection.inspector import Inspector
from zeromiss.registry.publish import load_inspector
from zeromiss.workspace import Workspace


def judge_there(
    product: str, root: Path, files: Sequence[Path], *, version: str, out: Path, overlays: bool, boxes: int, facts: Mapping[str, str]
) -> None:
    """Judge files with a registered version and write verdicts and overlays to `out`.

    Raises ZeromissError, naming the worker, for a file that is not there, a model that cannot be loaded, or a
    worker that would compute other bits.
    """
    check_process(facts)
    try:
        for file in files:
            if not file.is_file():
                raise ZeromissError(f"{file} is not there: share its folder with this worker's machine, under the same path")
        inspect_paths(_inspector(product, root, version), files, out=out, overlays=overlays, boxes=boxes, progress=False)
    except ZeromissError as error:
        raise ZeromissError(f"worker {worker_name()}: {error}") from None


@lru_cache(maxsize=2)
def _inspector(product: str, root: Path, version: str) -> Inspector:
    """Return the inspector of a registered version, which never changes."""
    return load_inspector(product, Workspace(root=root), version=version)
