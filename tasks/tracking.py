"""The parent run of a training."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def parent_run(product: str, root: str) -> Iterator[str]:
    """Open the run that a training's stages nest under and yield its id; it ends with the block's outcome.

    The tracking store is made or upgraded first, before any stage's process opens it.
    """
    from zeromiss.params import load_product
    from zeromiss.registry import tracking
    from zeromiss.workspace import Workspace

    workspace = Workspace(root=Path(root))
    with tracking.parent_run(load_product(workspace.params_file, product), workspace) as log:
        yield log.run_id


def page_command(root: str) -> str:
    """Return the command that opens the tracking server's page."""
    from zeromiss.registry.store import tracking_uri
    from zeromiss.workspace import Workspace

    uri = tracking_uri(Workspace(root=Path(root)))
    return uri if uri.startswith("http") else f".venv/bin/mlflow ui --backend-store-uri {uri}"
