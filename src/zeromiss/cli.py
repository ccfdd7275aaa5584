"""The command line: one command is called, its refusal becomes a sentence, a signal ends it in good order."""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from zeromiss.commands import parser
from zeromiss.errors import ZeromissError

REFUSED = 2  # exit code of every refusal
INTERRUPTED, STOPPED = 130, 143  # as a shell says it: 128 + the number of the signal


class Stopped(KeyboardInterrupt):
    """SIGTERM: someone stops the program. All that cleans up after Ctrl-C does so after this too."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 well, 2 refused with a sentence on stderr."""
    options = parser().parse_args(arguments)
    # threads that wait for each other sleep: spinning took up to three times the processor time on two cores that others use too.
    # OpenMP reads it when the first numerical library is imported, which is in the commands
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        with _stoppable():
            return options.command(options)
    except ZeromissError as error:
        if options.debug:
            traceback.print_exc()
        print(f"zeromiss: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt as stop:
        return _interrupted(stop)
    except Exception as error:  # a defect of the program: told in a line, traced with --debug
        if _follows_a_signal(error):
            return _interrupted(Stopped())
        if options.debug:
            raise
        line = " ".join(str(error).split())
        print(f"zeromiss: {type(error).__name__}: {line} (run again with --debug for the trace)", file=sys.stderr)
        return REFUSED


@contextmanager
def _stoppable() -> Iterator[None]:
    """Turn the first SIGTERM into an exception, so that what runs is ended in good order; further ones change nothing."""

    def stop(number: int, frame: object) -> None:
        """Raise once; a second signal changes nothing."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Stopped

    if threading.current_thread() is not threading.main_thread():  # signals come to the main thread alone
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupted(stop: KeyboardInterrupt) -> int:
    """Say that nothing is lost and return the exit code."""
    stopped = isinstance(stop, Stopped)
    print(f"zeromiss: {'stopped' if stopped else 'interrupted'}; start it again and it goes on from there", file=sys.stderr)
    return STOPPED if stopped else INTERRUPTED


def _follows_a_signal(error: BaseException | None) -> bool:
    """Return whether an error came up while SIGTERM was answered: Prefect's server, stopped as well, does not answer then."""
    while error is not None:
        if isinstance(error, Stopped) or type(error).__name__ == "TerminationSignal":
            return True
        error = error.__cause__ or error.__context__
    return False


if __name__ == "__main__":
    sys.exit(main())
