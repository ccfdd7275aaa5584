"""Ingest, as the command line starts it: at once where nothing is new, else by the flow of Prefect."""

from pathlib import Path

from tasks.failure import StageFailed, ended
from tasks.versioned import nothing_new


def run(product: str, folder: Path | None, root: Path, *, debug: bool = False) -> int:
    """Bring in the product's source, or `folder`, and return the exit code.

    Raises ZeromissError for what the source refuses.
    """
    pointer = root / "data" / "01_raw" / f"{product}.dvc"
    if lines := nothing_new(product, folder, root):
        print(*lines, sep="\n")
    else:
        from flows.raw_images import ingest  # Prefect takes seconds to start

        try:
            pointer = Path(ingest(product, str(root), None if folder is None else str(folder)))
        except StageFailed as failure:
            return ended(failure, debug=debug)
    print(f"versioned: commit {pointer.relative_to(root)} to git")
    return 0
