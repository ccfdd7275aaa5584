"""One part of the set: started when it is not running, and waited for until it answers."""

import errno
import json
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tasks.services.process import Started, identify, is_alive, session_left, start, stop
from tasks.services.settings import HOST
from zeromiss.errors import ZeromissError

_LAST = 12  # lines of its log that say why a part failed


@dataclass(frozen=True, kw_only=True)
class Part:
    """What is started and how one sees that it works.

    It starts in the folder `place`, else in that of the set. `command` raises ZeromissError where the program is missing. `answers` raises any exception, or returns False, as long as the part does not; it gets the start of its process.
    `before` prepares its data, `after` what it must hold once it answers; both do nothing the second time.
    """

    name: str
    folder: Path
    command: Callable[[], list[str]]
    environment: dict[str, str]
    answers: Callable[[float], bool]
    port: int | None = None
    user: str | None = None
    place: Path | None = None
    seconds: float = 600.0  # for a machine that is busy with training; a part that has ended is told at once
    polite: signal.Signals = signal.SIGTERM
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None

    @property
    def log(self) -> Path:
        """The file with what the part printed."""
        return self.folder / "logs" / f"{self.name}.log"

    @property
    def where(self) -> str:
        """The part's address, where it has one."""
        return f" on {HOST}:{self.port}" if self.port else ""

    @property
    def _note(self) -> Path:
        return self.folder / "run" / f"{self.name}.json"

    def begin(self) -> str:
        """Start the part unless it runs, and return what was done, in a few words; `finish` waits for it.

        Raises ZeromissError when its port is taken, or its program or its data cannot be had.
        """
        known = self._known()
        if known and is_alive(known):
            return f"{self.name} is running{self.where}"
        if known:
            stop(known, polite=self.polite, seconds=5)  # what a crashed part left behind would hold its port
        command = self.command()
        self._refuse_taken_port()
        self.before()
        child = start(command, log=self.log, environment=self.environment, folder=self.place or self.folder, user=self.user)
        started = identify(child.pid)
        if started is None:
            raise self._failed("ended at once")
        self._keep(started)
        return f"{self.name} {'was not there any more and is started again' if known else 'is started'}{self.where}"

    def finish(self) -> None:
        """Wait until the part answers, and let it hold what it must.

        Raises ZeromissError when it ends, and when it does not answer in time.
        """
        known = self._known()
        if known is None:
            raise ZeromissError(f"{self._note} is gone: run make services-up again")
        self._wait_for(known)
        self.after()

    def down(self) -> str:
        """Stop the part if it runs, and return what was done."""
        known = self._known()
        if known is None or not (is_alive(known) or session_left(known)):
            self._note.unlink(missing_ok=True)
            return f"{self.name} was not running"
        went = stop(known, polite=self.polite, seconds=30)
        if session_left(known):
            raise ZeromissError(f"{self.name} (process {known.pid}) cannot be stopped: end it by hand, as the user who started it")
        self._note.unlink(missing_ok=True)
        return f"{self.name} is stopped" if went else f"{self.name} did not stop when asked and was killed"

    def state(self) -> tuple[bool, str]:
        """Return whether the part works, and a line about it."""
        known = self._known()
        if known is None or not is_alive(known):
            return False, f"{self.name} is not running" + (f": it was process {known.pid}, see {self.log}" if known else "")
        why = self._ask()
        return why is None, f"{self.name} is running{self.where} (process {known.pid})" + ("" if why is None else f" and does not answer: {why}")

    def is_running(self) -> bool:
        """Return whether its process is there."""
        known = self._known()
        return known is not None and is_alive(known)

    def _keep(self, process: Started) -> None:
        """Write down which process it is."""
        from zeromiss.files import atomic_path

        with atomic_path(self._note) as temporary:
            temporary.write_text(json.dumps(asdict(process) | {"time": time.time()}), encoding="utf-8")

    def _known(self) -> Started | None:
        """Return the process that was started last and not stopped; it may have ended since."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            return Started(pid=note["pid"], ticks=note["ticks"], boot=note["boot"])
        except (FileNotFoundError, json.JSONDecodeError, KeyError):
            return None

    def _ask(self) -> str | None:
        """Return why the part does not work yet; None when it does."""
        try:
            since = json.loads(self._note.read_text(encoding="utf-8"))["time"]
            return None if self.answers(since) else "it is not ready"
        except Exception as error:  # noqa: BLE001 -- whatever a client raises, the part does not answer
            return " ".join(str(error).split())[:200] or type(error).__name__

    def _wait_for(self, process: Started) -> None:
        """Return when the part answers."""
        end = time.monotonic() + self.seconds
        while (why := self._ask()) is not None:
            if not is_alive(process):
                raise self._failed("ended before it answered")
            if time.monotonic() > end:
                raise self._failed(f"does not answer after {self.seconds:.0f} s ({why})")
            time.sleep(0.25)
        if not is_alive(process):  # what answered was another
            raise self._failed("ended, and something else answers in its place")

    def _failed(self, what: str) -> ZeromissError:
        """Return the error that says what happened, with the end of the log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST:] if self.log.is_file() else []
        said = "".join(f"\n    {line[:300]}" for line in lines)
        return ZeromissError(f"{self.name} {what}: see {self.log}, mend it and run make services-up again; its last lines are:{said or ' none'}")

    def _refuse_taken_port(self) -> None:
        """Raise ZeromissError when something listens on the port."""
        if self.port is None:
            return
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, self.port))
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
                why = "is taken by another process" if error.errno == errno.EADDRINUSE else "is not for this user to take"
                raise ZeromissError(f"port {self.port} of {self.name} {why}: choose another one with make services-up PORTS={self.name}=0 (a free one) or a number") from None
