"""How a failed stage ends a flow: with an exit code, its sentence having been printed already."""

import traceback

REFUSED = 2
INTERRUPTED = 130
_SIGNALS = 128  # a shell's exit code of a process killed by signal N is 128 + N


class StageFailed(Exception):
    """A process of the pipeline failed and has said why on the terminal; there is nothing to print twice."""

    def __init__(self, target: str, exit_code: int, said: str = "") -> None:
        """Keep what failed and how it ended, and its sentence where nobody sits at a terminal to read it there."""
        super().__init__(said or f"{target} ended with exit code {exit_code}; its own message says why")
        self.target = target
        self.exit_code = exit_code

    @property
    def killed(self) -> bool:
        """Whether a signal ended it (lack of memory, a reboot): worth another try from the last checkpoint."""
        return (self.exit_code > _SIGNALS or self.exit_code < 0) and not self.interrupted

    @property
    def interrupted(self) -> bool:
        """Whether a person stopped it."""
        return self.exit_code in (INTERRUPTED, -2)

    @property
    def command_exit_code(self) -> int:
        """What the command line ends with: 130 when interrupted, else 2."""
        return INTERRUPTED if self.interrupted else REFUSED


def ended(failure: StageFailed, *, debug: bool) -> int:
    """Return the command line's exit code for a failure that has been told; with `debug` show where it happened."""
    if debug:
        traceback.print_exception(failure)
    return failure.command_exit_code
