"""Bringing images in."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE


@task(cache_policy=NO_CACHE, persist_result=False)
def ingest_images(product: str, root: str, folder: str | None = None) -> list[str]:
    """Bring the images of the product's source, or of `folder`, into its raw folder; return what there is to say.

    Raises ZeromissError for what the source refuses; the raw folder is then as before.
    """
    from zeromiss.images.ingest import ingest
    from zeromiss.params import load_product
    from zeromiss.workspace import Workspace

    workspace = Workspace(root=Path(root))
    parameters = load_product(workspace.params_file, product)
    return ingest(parameters, workspace, Path(folder) if folder else None).lines()
