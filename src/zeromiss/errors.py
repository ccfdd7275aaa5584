"""The one exception whose text is meant for the person at the terminal."""

import re

_PASSWORD = re.compile(r"(?P<head>[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@'\"]*):[^\s/'\"]+@")  # up to the last @ before the path


class ZeromissError(Exception):
    """Bad input, told in one sentence: what is wrong, where, and what to do; passwords of addresses are left out.

    The command line prints the text without a traceback and exits with code 2.
    """

    def __init__(self, text: str = "") -> None:
        """Keep the sentence."""
        super().__init__(without_passwords(text))


def without_passwords(text: str) -> str:
    """Return a text with `***` in the place of every password in an address: https://me:***@host/path."""
    return _PASSWORD.sub(r"\g<head>:***@", text)
