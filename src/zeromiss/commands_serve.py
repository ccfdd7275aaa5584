"""The command `zeromiss serve`."""

import argparse
from collections.abc import Callable

PORT = 8080


def add(command: Callable[[str, object, str], argparse.ArgumentParser]) -> None:
    """Add the command."""
    serve = command("serve", _serve, "judge images over HTTP with the product's champion; follows the alias, SIGTERM drains")
    serve.add_argument("product")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen at (default: this machine alone)")
    serve.add_argument("--port", type=int, default=PORT, help=f"default: {PORT}; 0: any free one")
    serve.add_argument("--threads", type=int, help="images judged at once (default: serving.threads, else one a core)")


def _serve(options: argparse.Namespace) -> int:
    from zeromiss.serving.server import run
    from zeromiss.workspace import Workspace

    return run(options.product, Workspace.find(), host=options.host, port=options.port, threads=options.threads)
