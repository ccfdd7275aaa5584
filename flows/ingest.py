"""Ingest, as the command line starts it: at once where nothing is new, else by the flow of Prefect."""

from pathlib import Path

from tasks.failure import StageFailed, ended
from tasks.versioned import nothing_new


def run(product: str, folder: str | None, root: Path, *, push: bool = False, debug: bool = False) -> int:
    """Bring in what `folder` (an absolute path or a URL) holds, by default the product's inbox or source; return the exit code.

    Raises ZeromissError for what the source or inbox refuses.
    """
    from zeromiss.params import load_product

    pointer = root / "data" / "01_raw" / f"{product}.dvc"
    is_source = load_product(root / "params.yaml", product).ingest.inbox is None if folder is None else "://" not in folder
    if is_source and not push and (lines := nothing_new(product, Path(folder) if folder else None, root)):
        print(*lines, sep="\n")
    else:
        from flows.raw_images import ingest  # Prefect takes seconds to start

        try:
            pointer = Path(ingest(product, str(root), folder, push))
        except StageFailed as failure:
            return ended(failure, debug=debug)
    if pointer.is_file():
        print(f"versioned: commit {pointer.relative_to(root)} to git" if not _is_committed(root, pointer) else f"versioned and committed: {pointer.relative_to(root)}")
    return 0


def _is_committed(root: Path, pointer: Path) -> bool:
    """Return whether git's last commit holds the pointer as it is."""
    from tasks.git import head_text
    from zeromiss.errors import ZeromissError

    try:
        return head_text(root, pointer) == pointer.read_text(encoding="utf-8")
    except ZeromissError:  # no repository of git: DVC alone
        return False
