"""The steps of an ingest from an inbox. Each finishes what a killed run left, and does nothing where nothing is left to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import git
from tasks.events import resource
from tasks.pipeline import act, process
from tasks.versioning import environment

if TYPE_CHECKING:
    from zeromiss.params import Product
    from zeromiss.workspace import Workspace

INGESTED, QUARANTINED = "zeromiss.ingested", "zeromiss.quarantined"  # events; their resource is zeromiss.product.PRODUCT


def address_of(product: str, root: str, folder: str | None) -> str | None:
    """Return the inbox that an ingest takes from; None where it is a source that is taken whole.

    A bucket is an inbox, and so is a folder without train/, test/ or a CSV list. Raises ZeromissError for what
    params.yaml refuses.
    """
    from zeromiss.params import load_product

    params = load_product(Path(root) / "params.yaml", product)
    if folder is None:
        given = params.ingest.inbox
        return None if given is None else given if "://" in given else str(Path(root, given))
    if "://" in folder:
        return folder
    place = Path(folder)
    listed = any((place / name).exists() for name in ("train", "test", "labels.csv")) or (params.source.kind == "csv" and any(place.glob("*.csv")))
    return None if listed or not place.is_dir() else folder


@contextmanager
def held(product: str, root: str) -> Iterator[int]:
    """Hold the product's inbox for this process and those that it starts; another ingest waits. Yields the lock."""
    from zeromiss.images.staging import locked

    folder = _workspace(root).landing(product).parent / f".{product}.lock"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder) as lock:
        yield lock


@task(cache_policy=NO_CACHE, persist_result=False)
def take_images(product: str, root: str, address: str) -> list[str]:
    """Bring complete images of an inbox into the raw folder and return what there is to say.

    Raises ZeromissError for an inbox that cannot be read, a full disk, and a raw folder that lacks committed images;
    raw images are then as before.
    """
    from tasks.pointed import mend_pointer, refuse_stale
    from zeromiss.images.inbox.take import take

    workspace, params = _opened(product, root)
    raw = workspace.raw(product)
    mend_pointer(workspace, product)
    if raw.with_suffix(".dvc").is_file() and not raw.exists():
        process("checkout", f"{raw.relative_to(root)}.dvc", Path(root), {}, silent=True)
    refuse_stale(workspace, product)
    return take(params, workspace, address).lines()


@task(cache_policy=NO_CACHE, persist_result=False)
def version(product: str, root: str, lock: int) -> str:
    """Version the raw images as `dvc add` does, unless they are, and return the path of the small file git keeps.

    Raises StageFailed as `version_raw` does; all images are in the raw folder then, and in the inbox.
    """
    from tasks.versioned import is_versioned
    from zeromiss.images.inbox import pending

    workspace = _workspace(root)
    raw = workspace.raw(product)
    if raw.exists() and (pending.load(workspace, product).images or not is_versioned(workspace, product)):
        act("add", _target(product), Path(root), environment(), pass_fds=(lock,))
    return str(raw.with_suffix(".dvc"))


@task(cache_policy=NO_CACHE, persist_result=False)
def commit_pointer(product: str, root: str, lock: int) -> str:
    """Commit the pointer where git has another one, and return the last commit of it, '' where there is none.

    Raises ZeromissError when git refuses.
    """
    from zeromiss.images.inbox import pending

    workspace = _workspace(root)
    pointer = workspace.raw(product).with_suffix(".dvc")
    if not pointer.is_file():
        return ""
    if git.head_text(workspace.root, pointer) != pointer.read_text(encoding="utf-8"):
        there, labels = _raw_images(workspace, product)
        normals = labels.count("normal")
        message = pending.load(workspace, product).arrived(there).message(product, normals=normals, defects=len(labels) - normals)
        git.commit_file(workspace.root, pointer, message, lock=lock)
    return git.last_commit(workspace.root, pointer)


@task(cache_policy=NO_CACHE, persist_result=False)
def push_data(product: str, root: str, lock: int) -> None:
    """Push the raw images to DVC's default remote, if there is one and it lacks them, and look whether all are there.

    Raises StageFailed when they could not be pushed; they are committed on this machine then.
    """
    from tasks.dvc_push import is_pushed

    workspace = _workspace(root)
    if workspace.raw(product).with_suffix(".dvc").is_file() and not is_pushed(workspace, product):
        act("push", _target(product), Path(root), environment(), pass_fds=(lock,))


@task(cache_policy=NO_CACHE, persist_result=False)
def push_commit(product: str, root: str, lock: int, asked: bool) -> None:
    """Push the branch, if the argument or params.yaml asks for it.

    Raises ZeromissError when nothing says where to, and when the remote refuses.
    """
    workspace, params = _opened(product, root)
    if asked or params.ingest.push:
        git.push(workspace.root, lock=lock)


@task(cache_policy=NO_CACHE, persist_result=False)
def announce(product: str, root: str, commit: str) -> list[str]:
    """Tell Prefect what came and what was put into quarantine since the last time, and return it as sentences.

    A run that is killed in between tells it again under the same id.
    """
    from zeromiss.images.inbox import pending

    workspace = _workspace(root)
    begun = pending.load(workspace, product)
    if not begun.file.is_file():
        return []
    there, labels = _raw_images(workspace, product)
    told, lines = begun.arrived(there), []
    totals = {"normals": labels.count("normal"), "defects": labels.count("defect"), "commit": commit}
    if told.images:
        _emit(INGESTED, product, told.payload() | totals, f"{commit}/{len(told.images)}")
        lines.append(f"versioned: commit {commit[:12]} holds {len(told.images)} new images")
    if told.quarantined:
        _emit(QUARANTINED, product, {"files": told.quarantined, "inboxes": list(told.inboxes)}, repr(sorted(told.quarantined.items())))
    begun.drop()
    return lines


@task(cache_policy=NO_CACHE, persist_result=False)
def remove_taken(product: str, root: str, address: str) -> list[str]:
    """Take images out of the inbox whose committed copies are read back and whole, if params.yaml says so; return what there is to say."""
    from tasks.pointed import objects
    from zeromiss.images.inbox.removal import remove

    workspace, params = _opened(product, root)
    pointer = workspace.raw(product).with_suffix(".dvc")
    if not params.ingest.remove or not pointer.is_file():
        return []
    text = pointer.read_text(encoding="utf-8")
    committed = objects(workspace, product, text) if git.head_text(workspace.root, pointer) == text else None
    return remove(params, workspace, address, committed or {})


def _emit(event: str, product: str, payload: dict[str, Any], key: str) -> None:
    """Send an event and wait until it is on its way to the server."""
    from prefect.events import emit_event
    from prefect.events.worker import EventsWorker

    named = {"prefect.resource.id": resource(product), "prefect.resource.name": product, "zeromiss.product": product}
    emit_event(event, resource=named, payload=payload, id=uuid5(NAMESPACE_URL, f"{event}/{product}/{key}"))
    EventsWorker.instance().wait_until_empty()


def _target(product: str) -> str:
    """Return the raw folder as DVC calls it."""
    return f"data/01_raw/{product}"


def _raw_images(workspace: "Workspace", product: str) -> tuple[list[str], list[str]]:
    """Return the SHA-256 and the label of every raw image."""
    from zeromiss.images import known
    from zeromiss.images.ingest import existing

    found = existing(workspace.raw(product), known.load(workspace, product))
    return [sha256 for _, sha256 in found], [entry.label for entry, _ in found]


def _opened(product: str, root: str) -> tuple["Workspace", "Product"]:
    """Return a workspace and a product's parameters."""
    from zeromiss.params import load_product

    workspace = _workspace(root)
    return workspace, load_product(workspace.params_file, product)


def _workspace(root: str) -> "Workspace":
    """Return the workspace at a folder."""
    from zeromiss.workspace import Workspace

    return Workspace(root=Path(root))
