"""`python -m tasks.services up|down|status`: what make services-up, services-down and services-status run."""

import argparse
import sys
from pathlib import Path

from tasks.services import together
from tasks.services.settings import PORTS
from zeromiss.errors import ZeromissError


def main(words: list[str] | None = None) -> int:
    """Do what is asked for; return 0, 1 where `status` finds a part that does not work, or 2 with a sentence on standard error."""
    asked = _parser().parse_args(words)
    try:
        if asked.act == "up":
            return _print(together.up(asked.folder, _ports(asked.ports), root=Path.cwd()))
        if asked.act == "down":
            return _print(together.down(asked.folder))
        states = together.status(asked.folder)
        _print(line for _, line in states)
        return 0 if all(works for works, _ in states) else 1
    except ZeromissError as error:
        print(f"zeromiss: {error}", file=sys.stderr)
        return 2


def _print(lines: "together.Lines") -> int:
    """Print each line when it is known."""
    for line in lines:
        print(line, flush=True)
    return 0


def _ports(words: list[str]) -> dict[str, int]:
    """Return part -> port from words as in mlflow=5001.

    Raises ZeromissError when a word has another form.
    """
    found = {}
    for word in words:
        name, equals, number = word.partition("=")
        if not equals or not number.isdigit():
            raise ZeromissError(f"PORTS has {word!r}: write part=number, for example PORTS='mlflow=5001 s3=0', for {', '.join(PORTS)} (0: a free port)")
        found[name] = int(number)
    return found


def _parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(prog="python -m tasks.services", description=__doc__)
    parser.add_argument("act", choices=["up", "down", "status"])
    parser.add_argument("--folder", type=Path, default=Path(".services"), help="where the data, logs and settings are (default: %(default)s)")
    parser.add_argument("--ports", nargs="*", default=[], metavar="PART=PORT", help=f"other ports than {PORTS}, kept from then on; 0 is a free one")
    return parser


if __name__ == "__main__":
    sys.exit(main())
