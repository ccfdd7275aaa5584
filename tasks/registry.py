"""Acts on the model registry."""

from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.events import tell, tell_promotion


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
    from zeromiss.params import load_product
    from zeromiss.registry.promotion import promote
    from zeromiss.workspace import Workspace

    workspace = Workspace(root=Path(root))
    path = promote(load_product(workspace.params_file, product), workspace)
    return str(path)


def read_gate(path: str) -> dict[str, Any]:
    """Return the record at `path`."""
    from zeromiss.registry.promotion import read_record

    return read_record(Path(path))


def waiting_version(product: str, root: str) -> str:
    """Return the version whose verdict waits for a person; raise ZeromissError where none does."""
    from zeromiss.registry.approval import waiting_version
    from zeromiss.workspace import Workspace

    return waiting_version(product, Workspace(root=Path(root)))


def fetch_record(product: str, root: str, version: str) -> str:
    """Bring the record of a version's decision here, which another machine may have made, and return its path."""
    from zeromiss.registry.approval import fetch_record
    from zeromiss.workspace import Workspace

    return str(fetch_record(product, Workspace(root=Path(root)), version))


def waits(path: str) -> bool:
    """Return whether a record says that a person has to decide."""
    from zeromiss.registry.promotion import WAITS

    return read_gate(path)["outcome"] == WAITS


def person_decides(product: str, root: str) -> tuple[bool, float]:
    """Return whether a person has the last word on a promotion of the product, and for how many hours one is waited for."""
    from zeromiss.params import load_product
    from zeromiss.workspace import Workspace

    promotion = load_product(Workspace(root=Path(root)).params_file, product).promotion
    return promotion.mode == "approve", promotion.wait_hours


@task(cache_policy=NO_CACHE, persist_result=False)
def settle_answer(product: str, root: str, answer: dict[str, Any]) -> str:
    """Act on a person's answer (approve, by, why) to the verdict that waits and return the path of its record."""
    from zeromiss.params import load_product
    from zeromiss.registry.approval import Answer, settle
    from zeromiss.workspace import Workspace

    workspace = Workspace(root=Path(root))
    return str(settle(load_product(workspace.params_file, product), workspace, Answer(**answer)))


@task(cache_policy=NO_CACHE, persist_result=False)
def roll_back(product: str, root: str, to: str | None, by: str, why: str) -> dict[str, Any]:
    """Put an earlier champion in charge again and tell the server's automations."""
    from zeromiss.registry.rollback import rollback
    from zeromiss.workspace import Workspace

    done = rollback(product, Workspace(root=Path(root)), to=to, by=by, why=why)
    said = f"version {done['version']} of {product} is champion again, in place of version {done['before']}: {why}"
    tell("zeromiss.promotion.rolled-back", product, said, version=done["version"], before=done["before"], by=by, why=why)
    return done


def announce(record: str) -> None:
    """Tell the server's automations what was decided."""
    tell_promotion(read_gate(record))
