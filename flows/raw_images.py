"""Raw images: a source becomes a product's raw folder, or an inbox adds to it; DVC versions the result."""

from prefect import flow

from tasks import inbox
from tasks.at_work import at_work
from tasks.ingest import ingest_images
from tasks.versioning import version_raw
from zeromiss.errors import ZeromissError


@flow(name="ingest", persist_result=False)
@at_work(alone=True)
def ingest(product: str, root: str, folder: str | None = None, push: bool = False) -> str:
    """Bring in the product's source, or what `folder` holds, version the result, and return the path git keeps.

    Without `folder` the inbox of params.yaml is taken where the product has one. What an inbox adds is committed, its
    data pushed where DVC has a default remote, the commit too with `push` or `ingest.push`, and an event tells it. A
    source takes no `push`: ZeromissError.
    """
    address = inbox.address_of(product, root, folder)
    if address is not None:
        return _from_inbox(product, root, address, push=push)
    if push:
        raise ZeromissError(f"the images of {product} come from a source, which nothing commits or pushes: leave out --push, or name an inbox")
    for line in ingest_images(product, root, folder):
        print(line)
    return version_raw(product, root)


def _from_inbox(product: str, root: str, address: str, *, push: bool) -> str:
    """Do what an inbox asks for, each step finishing what a killed run left of it; one run at a time."""
    with inbox.held(product, root) as lock:
        for line in inbox.take_images(product, root, address):
            print(line)
        pointer = inbox.version(product, root, lock)
        commit = inbox.commit_pointer(product, root, lock)
        inbox.push_data(product, root, lock)
        inbox.push_commit(product, root, lock, push)
        for line in [*inbox.announce(product, root, commit), *inbox.remove_taken(product, root, address)]:
            print(line)
    return pointer
