"""Checkpoints that travel: a training's state, copied every so often to DVC's remote and brought from there by another machine.

They lie beside the remote's cache, under `checkpoints/<product>/`, and are gone when their training is done. DVC's own
configuration says where the remote is and how to get in, so that every kind of remote works that DVC has a driver for.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from zeromiss.errors import ZeromissError

if TYPE_CHECKING:
    from dvc_objects.fs.base import FileSystem

FOLDER = "checkpoints"  # in the remote
LOOK = 0.2  # seconds between looks at the file


class Keeper:
    """One training's state, here and in the remote."""

    def __init__(self, local: Path, storage: "FileSystem", folder: str, *, say: Callable[[str], None]) -> None:
        """Keep `local` under its own name in `folder` of the storage; `say` is told in a line what was copied."""
        self.local = local
        self.storage = storage
        self.remote = storage.join(folder, local.name)
        self._half = f"{self.remote}.partial"
        self._say = say
        self._sent: tuple[int, int] | None = None  # what was copied last: inode and time of change

    def bring(self) -> int:
        """Have the newest state here, the remote's or this machine's own, and return the steps it has done; 0: there is none.

        Raises ZeromissError when the remote's is damaged.
        """
        from zeromiss.files import atomic_path

        self.storage.fs.invalidate_cache()  # another machine may have written since
        if self.storage.exists(self.remote):
            coming = self.local.with_name(f"{self.local.name}.coming")
            try:
                with atomic_path(coming) as temporary:
                    self.storage.get_file(self.remote, str(temporary))
                if read_step(coming, name=self.remote) > self._here():
                    coming.replace(self.local)
                    self._sent = _version(self.local)
            finally:
                coming.unlink(missing_ok=True)
        return self._here()

    def send(self) -> bool:
        """Copy the state to the remote, if it is another than the last one; whole or not at all. Return whether it was."""
        version = _version(self.local)
        if version is None or version == self._sent:
            return False
        still = self.local.with_name(f"{self.local.name}.going")
        still.unlink(missing_ok=True)
        try:
            still.hardlink_to(self.local)  # the training puts another file in its place, and never writes into it
        except FileNotFoundError:  # it has just ended and has removed it
            return False
        try:
            self.storage.makedirs(self.storage.parent(self.remote), exist_ok=True)
            self.storage.put_file(str(still), self._half)
            self.storage.mv(self._half, self.remote)
            step = read_step(still, name=str(self.local))
        finally:
            still.unlink(missing_ok=True)
        self._sent = version
        self._say(f"its state after {step} steps is in the remote")
        return True

    def remove(self) -> None:
        """Remove the state from the remote: the training is done. What stays there for want of an answer is told, and does no harm."""
        try:
            self.storage.fs.invalidate_cache()
            for path in (self.remote, self._half):
                if self.storage.exists(path):
                    self.storage.rm_file(path)
        except Exception as error:  # each kind of storage has errors of its own
            self._say(f"its state could not be removed from {self.remote} ({' '.join(str(error).split())}): delete it by hand")

    def _here(self) -> int:
        return read_step(self.local, name=str(self.local)) if self.local.is_file() else 0


@contextmanager
def kept(keeper: Keeper, *, every: float) -> Iterator[None]:
    """Send the state at most every so many seconds while the block trains, and remove it when that ends well.

    A remote that does not answer for a while stops no training: it is told, and tried again.
    """
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(keeper, every, over), name="checkpoints", daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        over.set()
        thread.join()
        _try(keeper)  # stopped or failed: the next one goes on from the last state there is
        raise
    over.set()
    thread.join()
    keeper.remove()


def read_step(path: Path, *, name: str) -> int:
    """Return the steps that a checkpoint's training had done; raise ZeromissError, naming it, when it is damaged."""
    import json

    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return int(json.loads(file.metadata()["zeromiss"])["step"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ZeromissError(f"checkpoint {name} cannot be read ({' '.join(str(error).split())[:120]}): delete it to train anew") from None


def keeper_of(target: str, root: Path, *, say: Callable[[str], None]) -> Keeper | None:
    """Return what keeps the state of the stage `target` of the workspace; None for a stage that learns nothing.

    Raises ZeromissError without a default remote.
    """
    from zeromiss.detector_params import DETECTORS

    name, _, product_name = target.rpartition(":")[2].partition("@")
    if name not in DETECTORS:
        return None
    from zeromiss.params import load_product
    from zeromiss.stages.teaching import checkpoint_file  # imports torch
    from zeromiss.workspace import Workspace

    workspace = Workspace(root=root)
    product = load_product(workspace.params_file, product_name)
    storage, folder = remote_storage(root)
    local = checkpoint_file(name, getattr(product, name), product, workspace)
    local.parent.mkdir(parents=True, exist_ok=True)
    return Keeper(local, storage, storage.join(folder, FOLDER, product_name), say=say)


def remote_storage(root: Path) -> tuple["FileSystem", str]:
    """Return DVC's default remote: its file system, and its folder in it. Raises ZeromissError where there is none."""
    from dvc.config import NoRemoteError
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            remote = repo.cloud.get_remote()
    except NoRemoteError:
        raise ZeromissError(f"DVC has no default remote in {root}, through which machines hand over data: dvc remote add -d NAME ADDRESS") from None
    except DvcException as error:
        raise ZeromissError(f"DVC's remote in {root} cannot be used: {' '.join(str(error).split())}") from None
    return remote.fs, remote.path


def _watch(keeper: Keeper, every: float, over: threading.Event) -> None:
    """Send what is new, then rest, until it is over."""
    while not over.wait(LOOK):
        if _try(keeper):
            over.wait(every)


def _try(keeper: Keeper) -> bool:
    """Send what is new; tell what stood in the way. Return whether anything was tried."""
    try:
        return keeper.send()
    except Exception as error:  # each kind of storage has errors of its own
        keeper._say(f"its state could not be copied to {keeper.remote} ({' '.join(str(error).split())}): it will be tried again")
        return True


def _version(path: Path) -> tuple[int, int] | None:
    """Return what tells one state of a file from the next, None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
