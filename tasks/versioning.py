"""Raw images as DVC versions them: added to its cache, and brought back from it."""

import os
import shutil
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.pipeline import act, process


@task(cache_policy=NO_CACHE, persist_result=False)
def version_raw(product: str, root: str) -> str:
    """Version the product's raw images as `dvc add` does and return the path of the small file git keeps.

    Raises StageFailed when DVC refuses, when a file changes meanwhile, and when the disk has no room for the cache's
    copy: what is wrong has been told then.
    """
    raw = Path(root) / "data" / "01_raw" / product
    act("add", str(raw.relative_to(root)), Path(root), environment())
    return str(raw.with_suffix(".dvc"))


def environment() -> dict[str, str]:
    """Return what the process must be told to find this repository's tasks."""
    found = [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, found))}


@task(cache_policy=NO_CACHE, persist_result=False)
def restore_raw(product: str, root: str) -> bool:
    """Bring back raw images that DVC's cache still has; return whether they are there now."""
    raw = Path(root) / "data" / "01_raw" / product
    if (raw / "index.csv").is_file():
        return True
    if not raw.with_suffix(".dvc").is_file():
        return False
    done = process("checkout", str(raw.relative_to(root)) + ".dvc", Path(root), {}, silent=True)
    if done != 0 or not (raw / "index.csv").is_file():
        shutil.rmtree(raw, ignore_errors=True)  # what a checkout from an incomplete cache leaves
        return False
    return True
