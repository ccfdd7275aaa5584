"""The command `zeromiss serve`."""

import argparse
from collections.abc import Callable
from pathlib import Path

PORT = 8080


def add(command: Callable[[str, object, str], argparse.ArgumentParser]) -> None:
    """Add the command."""
    serve = command("serve", _serve, "judge images over HTTP with the product's champion; follows the alias, SIGTERM drains")
    serve.add_argument("product")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen at (default: this machine alone); any other needs a token")
    serve.add_argument("--port", type=int, default=PORT, help=f"default: {PORT}; 0: any free one")
    serve.add_argument("--health-host", default="127.0.0.1", help="address of /health, /version and /metrics beside it (default: this machine alone)")
    serve.add_argument("--health-port", type=int, help="default: 1000 above --port; 0: any free one")
    serve.add_argument("--token-file", type=Path, metavar="FILE", help="file with the token that requests must have (default: ZEROMISS_SERVE_TOKEN, if it is set)")
    serve.add_argument("--tls-cert", type=Path, metavar="FILE", help="PEM file with a certificate and its chain: HTTPS instead of HTTP")
    serve.add_argument("--tls-key", type=Path, metavar="FILE", help="PEM file with the certificate's key, without a password")
    serve.add_argument("--threads", type=int, help="images judged at once (default: serving.threads, else one a core)")


def _serve(options: argparse.Namespace) -> int:
    from zeromiss.serving.server import Address, run
    from zeromiss.workspace import Workspace

    address = Address(
        host=options.host,
        port=options.port,
        health_host=options.health_host,
        health_port=options.health_port,
        token_file=options.token_file,
        tls_certificate=options.tls_cert,
        tls_key=options.tls_key,
    )
    return run(options.product, Workspace.find(), address, threads=options.threads)
