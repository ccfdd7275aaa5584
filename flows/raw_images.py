"""Raw images: a source becomes a product's raw folder, versioned by DVC."""

from prefect import flow

from tasks.at_work import at_work
from tasks.ingest import ingest_images
from tasks.versioning import version_raw


@flow(name="ingest", persist_result=False)
@at_work(alone=True)
def ingest(product: str, root: str, folder: str | None = None) -> str:
    """Bring in the product's source, or `folder`, version the result, and return the path git keeps."""
    for line in ingest_images(product, root, folder):
        print(line)
    return version_raw(product, root)
