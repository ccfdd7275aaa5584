"""Which version is in charge: the registry's champion, followed while requests go on.

A new champion is loaded beside the old one and takes its place in one assignment. A request keeps the version it
began with, which goes when the last of these has ended. One that cannot be taken is refused, and the old one stays.
"""

import logging
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from zeromiss.errors import ZeromissError
from zeromiss.registry.sealed import Champions, Sealed
from zeromiss.serving.answers import Refused
from zeromiss.serving.meters import Meters

_PAUSE, _LONGEST = 2.0, 300.0  # a refused version is tried again after pauses that double, up to so many seconds
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Attempt:
    """A version that was not taken, and when it is tried again (monotonic seconds)."""

    told: Refused
    pause: float
    again: float


class Charge:
    """Holds the version in charge and follows the registry when told to look."""

    def __init__(self, champions: Champions, meters: Meters) -> None:
        """Open the champion. Raises ZeromissError where there is none, or where it is not as it was sealed."""
        version = champions.version()
        if version is None:
            product = champions.product
            raise ZeromissError(f"{product} has no champion to serve: train one with zeromiss run {product}, or zeromiss promote {product}")
        self._champions, self._meters = champions, meters
        self._attempt: _Attempt | None = None
        self.registry = ""  # what is wrong with it
        self._seat(champions.open(version))

    @property
    def refused(self) -> Refused | None:
        """The champion that was not taken, None where the version in charge is the champion."""
        return None if self._attempt is None else self._attempt.told

    def look(self) -> None:
        """Ask which version is champion and take its place if it is another; whatever goes wrong, the old one stays."""
        try:
            version = self._champions.version()
        except Exception as error:  # nothing that a registry does may end the judging
            self._complain(sentence(error))
            return
        if version is None:
            self._complain(f"{self.current.name} has no champion any more: version {self.current.version} stays in charge")
            return
        self._complain("")
        if version == self.current.version:
            self._attempt = None
        elif self._attempt is None or self._attempt.told.version != version or time.monotonic() >= self._attempt.again:
            self._take(version)
        self._meters.refused.set(self._attempt is not None)

    def _take(self, version: str) -> None:
        """Open a version and put it in charge, or write down why not."""
        try:
            opened = self._champions.open(version)
        except Exception as error:
            before = self._attempt if self._attempt is not None and self._attempt.told.version == version else None
            pause = _PAUSE if before is None else min(2.0 * before.pause, _LONGEST)
            told = Refused(version=version, why=sentence(error), at=_now())
            self._attempt = _Attempt(told=told, pause=pause, again=time.monotonic() + pause)
            self._meters.swaps.labels(outcome="refused").inc()
            _log.error("version %s is champion and is not taken: %s", version, told.why)
            return
        self._seat(opened)
        self._attempt = None
        self._meters.swaps.labels(outcome="taken").inc()
        _log.warning("version %s is in charge", version)

    def _seat(self, opened: Sealed) -> None:
        """Put an opened version in charge."""
        self.since = _now()
        self.current = opened
        self._meters.names(opened)

    def _complain(self, sentence: str) -> None:
        """Write down what is wrong with the registry, and say it once."""
        if sentence and sentence != self.registry:
            _log.error("%s", sentence)
        self.registry = sentence
        self._meters.registry.set(not sentence)


class Watch:
    """Looks at the registry every few seconds, in a thread of its own, until it is stopped."""

    def __init__(self, charge: Charge, seconds: float) -> None:
        """Start the thread."""
        self._charge, self._seconds = charge, seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        """Look, wait, look again."""
        while not self._stop.wait(self._seconds):
            self._charge.look()

    def stop(self) -> None:
        """Look no more; a version that is being opened is not waited for."""
        self._stop.set()


def sentence(error: Exception) -> str:
    """Return what went wrong on one line."""
    line = " ".join(str(error).split())
    return line if isinstance(error, ZeromissError) else f"{type(error).__name__}: {line}"


def _now() -> str:
    """Return the time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
