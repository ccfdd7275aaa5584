"""Raw images as DVC versions them: added to its cache, and brought back from it."""

import shutil
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.pipeline import act, process
from zeromiss.errors import ZeromissError

SPARE = 64 << 20  # bytes that must stay free when images are added to DVC's cache


@task(cache_policy=NO_CACHE, persist_result=False)
def version_raw(product: str, root: str) -> str:
    """Version the product's raw images with `dvc add` and return the path of the small file git keeps.

    Raises ZeromissError when the disk has no room for the cache's copy: an interrupted copy is the one way
    in which images could be lost.
    """
    raw = Path(root) / "data" / "01_raw" / product
    refuse_full_disk(raw, Path(root))
    act("add", str(raw.relative_to(root)), Path(root), {})
    return str(raw.with_suffix(".dvc"))


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


def refuse_full_disk(raw: Path, root: Path) -> None:
    """Raise ZeromissError unless the disk holds another copy of `raw`."""
    needed = sum(path.stat().st_size for path in raw.rglob("*") if path.is_file()) + SPARE
    free = shutil.disk_usage(root).free
    if free < needed:
        raise ZeromissError(
            f"{root} has {free >> 20} MiB free, versioning {raw} needs {needed >> 20} MiB: free some space first"
        )
