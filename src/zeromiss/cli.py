"""The command line: one command is called, its refusal becomes a sentence, a signal ends it in good order."""

import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress

from zeromiss.commands import parser, require_signature
from zeromiss.errors import ZeromissError, without_passwords
from zeromiss.stopping import Stopped, stoppable

REFUSED = 2  # exit code of every refusal
SIGNAL = 128  # a shell's exit code of what signal N ended is 128 + N


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 well, 2 refused with a sentence on stderr."""
    options = parser().parse_args(arguments)
    # threads that wait for each other sleep: spinning took up to three times the processor time on two cores that others use too.
    # OpenMP reads it when the first numerical library is imported, which is in the commands
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may hold what the terminal's encoding lacks
    require_signature(options)
    try:
        with stoppable(last=arguments is None):
            return options.command(options)
    except ZeromissError as error:
        if options.debug:
            traceback.print_exc()
        print(f"zeromiss: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt as stop:
        return _interrupted(stop)
    except Exception as error:  # a defect of the program: told in a line, traced with --debug
        if (stop := _signal_behind(error)) is not None:
            return _interrupted(stop)
        if options.debug:
            raise
        line = without_passwords(" ".join(str(error).split()))
        print(f"zeromiss: {type(error).__name__}: {line} (run again with --debug for the trace)", file=sys.stderr)
        return REFUSED


def _interrupted(stop: KeyboardInterrupt) -> int:
    """Say that nothing is lost and return the exit code."""
    number = stop.number if isinstance(stop, Stopped) else signal.SIGINT
    with suppress(OSError):  # a closed terminal hears nothing
        print(f"zeromiss: {'interrupted' if number == signal.SIGINT else 'stopped'}; start it again and it goes on from there", file=sys.stderr)
    return SIGNAL + number


def _signal_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """Return the signal while whose answer an error came up: Prefect's server, stopped as well, does not answer then."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return error
        if type(error).__name__ == "TerminationSignal":
            return Stopped()
        error = error.__cause__ or error.__context__
    return None


if __name__ == "__main__":
    sys.exit(main())
