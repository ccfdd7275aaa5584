"""Ingest: images become a product's raw data, versioned by DVC."""

from pathlib import Path

from prefect import flow

from tasks.failure import StageFailed, ended
from tasks.ingest import ingest_images
from tasks.versioning import version_raw


@flow(name="ingest", persist_result=False)
def ingest(product: str, root: str, folder: str | None = None) -> str:
    """Bring in the product's source, or `folder`, version the result, and return the path git keeps."""
    for line in ingest_images(product, root, folder):
        print(line)
    return version_raw(product, root)


def run(product: str, folder: Path | None, root: Path, *, debug: bool = False) -> int:
    """Run the flow for the command line and return its exit code.

    Raises ZeromissError for what the source refuses.
    """
    try:
        pointer = ingest(product, str(root), None if folder is None else str(folder))
    except StageFailed as failure:
        return ended(failure, debug=debug)
    print(f"versioned: commit {Path(pointer).relative_to(root)} to git")
    return 0
