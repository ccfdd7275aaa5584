"""The one exception whose text is meant for the person at the terminal."""


class ZeromissError(Exception):
    """Bad input, told in one sentence: what is wrong, where, and what to do.

    The command line prints the text without a traceback and exits with code 2.
    """
