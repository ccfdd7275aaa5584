"""A folder that appears whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zeromiss.images.staging import Staging


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield an empty neighbour of `target` that takes its place when the block ends well.

    On any exception the neighbour is removed, and what stood at `target` before stays.
    """
    staging = Staging(target)
    staging.recover()
    with staging:
        yield staging.folder
        staging.swap()
