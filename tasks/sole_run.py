"""One run of a product at a time in a workspace, whoever started it; a second one is refused."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from zeromiss.errors import ZeromissError


@contextmanager
def sole_run(product: str, root: Path) -> Iterator[None]:
    """Be the only run that writes what DVC versions of a product; the lock ends with the process, however it ends.

    Raises ZeromissError, naming the other run's process, while there is one.
    """
    file = root / ".zeromiss" / f"{quote(product, safe='')}.run.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise ZeromissError(f"{product} is at work already ({handle.read() or 'just started'}): wait until that run has ended, or stop it") from None
        handle.truncate(0)
        handle.write(f"process {os.getpid()} since {time.strftime('%d %b %H:%M:%S')}")
        handle.flush()
        yield


def refuse_second(product: str, root: Path) -> None:
    """Raise ZeromissError while another run of a product is at work: told at once, before a server or a flow starts."""
    with sole_run(product, root):
        pass
