"""Acts on the model registry."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE


@task(cache_policy=NO_CACHE, persist_result=False)
def register_bundle(product: str, root: str, *, parent: str) -> str:
    """Register the product's bundle as challenger and return a sentence that names the version.

    A bundle that is registered already is not registered again.
    """
    from zeromiss.params import load_product
    from zeromiss.registry.publish import register
    from zeromiss.workspace import Workspace

    workspace = Workspace(root=Path(root))
    example = next(iter(sorted(path for path in workspace.incoming(product).rglob("*") if path.is_file())), None)
    found = register(load_product(workspace.params_file, product), workspace, parent=parent, example=example)
    if found.created:
        return f"registered as {found.name} version {found.version}"
    return f"the bundle is unchanged: it is {found.name} version {found.version} already"


@task(cache_policy=NO_CACHE, persist_result=False)
def ask_gate(product: str, root: str) -> str:
    """Let the gate decide about the challenger and return the path of its record. A refusal is a normal end, a promotion an event."""
    from tasks.events import tell_promotion
    from zeromiss.params import load_product
    from zeromiss.registry.promotion import promote
    from zeromiss.workspace import Workspace

    workspace = Workspace(root=Path(root))
    path = promote(load_product(workspace.params_file, product), workspace)
    tell_promotion(read_gate(str(path)))
    return str(path)


def read_gate(path: str) -> dict[str, object]:
    """Return the record at `path`."""
    from zeromiss.registry.promotion import read_record

    return read_record(Path(path))
