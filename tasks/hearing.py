"""What a process says on standard error, passed on as it comes and its last sentence kept."""

import os
import re
import sys
from collections.abc import Callable

_BLOCK = 1 << 16
_TOLD = re.compile(rb"(?:zeromiss|dvc): (.+)")  # how the command line and DVC's process begin a refusal
_LONGEST = 4096  # bytes of a line that is not complete


class Sentences:
    """Listens to a stream and remembers the last refusal in it."""

    def __init__(self) -> None:
        """Begin with nothing heard."""
        self.last = ""
        self._rest = b""

    def listener(self) -> Callable[[bytes], None] | None:
        """Return `hear`; None where a person sits at the terminal, which a process then has as its own, progress bars and all."""
        return None if sys.stderr.isatty() else self.hear

    def hear(self, block: bytes) -> None:
        """Take the next bytes; a line ends with a line feed or, of a progress bar, with a carriage return."""
        *lines, rest = re.split(rb"[\r\n]", self._rest + block)
        self._rest = rest[-_LONGEST:]
        for line in lines:
            if found := _TOLD.match(line):
                self.last = found.group(1).decode("utf-8", "replace").strip()


def forward(stream: int, listen: Callable[[bytes], None]) -> None:
    """Pass a file descriptor's bytes on to standard error, and to `listen`, until its end."""
    while block := os.read(stream, _BLOCK):
        os.write(2, block)
        listen(block)
