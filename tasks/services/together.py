"""All parts of the set, started in the order in which they need each other and stopped in the other."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from tasks.services.part import Part
from tasks.services.postgres import postgres
from tasks.services.remote import set_remote
from tasks.services.servers import POOLS, mlflow, prefect, s3, worker
from tasks.services.settings import Settings, open_settings, read_settings, write_environment
from tasks.worktree import reserved
from zeromiss.errors import ZeromissError

Lines = Iterable[str]


def up(folder: Path, ports: dict[str, int], *, root: Path) -> Iterator[str]:
    """Start what does not run, wait until all of it works, and yield a line about each part.

    `ports` (0: a free one) are kept for later; `root` is the repository whose DVC remote is set and which the workers work in.
    Raises ZeromissError at the first part that fails; those before it go on, and the next call goes on from there.
    """
    with reserved(folder.resolve() / "run", "another start or stop of the services"):
        _refuse_other_ports(folder, ports)
        settings = open_settings(folder, ports)
        file = write_environment(settings)
        for wave in waves(settings, root):
            begun = [(part, part.begin()) for part in wave]
            for part, words in begun:
                part.finish()
                yield words
        yield set_remote(root, settings)
        yield f"all of it works; to use it: source {file}"


def down(folder: Path) -> Iterator[str]:
    """Stop what runs, the last first, and yield a line about each part; all data stay.

    Raises ZeromissError when a part cannot be stopped.
    """
    if not folder.is_dir():
        yield f"nothing was ever started in {folder}"
        return
    with reserved(folder.resolve() / "run", "another start or stop of the services"):
        for part in reversed(parts(read_settings(folder))):
            yield part.down()


def status(folder: Path) -> list[tuple[bool, str]]:
    """Return whether each part works, and a line about it."""
    if not folder.is_dir():
        return [(False, f"nothing was ever started in {folder}: make services-up")]
    return [part.state() for part in parts(read_settings(folder))]


def waves(settings: Settings, root: Path) -> list[list[Part]]:
    """Return the parts in the order in which they are started: those of a list at once, as none of them needs another of it.

    The workers work in the folder `root`.
    """
    return [[postgres(settings), s3(settings)], [mlflow(settings), prefect(settings)], [worker(settings, pool, root) for pool in POOLS]]


def parts(settings: Settings) -> list[Part]:
    """Return the parts, each after those it needs."""
    return [part for wave in waves(settings, settings.folder) for part in wave]


def _refuse_other_ports(folder: Path, ports: dict[str, int]) -> None:
    """Refuse to move a part that runs."""
    if not ports or not folder.is_dir():
        return
    settings = read_settings(folder)
    for part in parts(settings):
        if part.name in ports and part.is_running() and ports[part.name] != settings.ports[part.name]:
            raise ZeromissError(f"{part.name} is running{part.where}: stop it with make services-down before you choose another port")
