"""The command line: read arguments, call one function, turn its refusal into a sentence.

Nothing heavy is imported before a command is known, so that `zeromiss --help` answers at once.
"""

import argparse
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from zeromiss.errors import ZeromissError

if TYPE_CHECKING:
    from zeromiss.workspace import Workspace

REFUSED = 2  # exit code of every refusal
INTERRUPTED, STOPPED = 130, 143  # as a shell says it: 128 + the number of the signal


class Stopped(KeyboardInterrupt):
    """SIGTERM: someone stops the program. All that cleans up after Ctrl-C does so after this too."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 well, 2 refused with a sentence on stderr."""
    options = _parser().parse_args(arguments)
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


def _parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show tracebacks and the services' own logs")
    parser = argparse.ArgumentParser(
        prog="zeromiss",
        description="Visual inspection that may raise false alarms but must not miss a defect.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: object, text: str) -> argparse.ArgumentParser:
        """Add one command."""
        added = commands.add_parser(name, help=text, description=text, parents=[common])
        added.set_defaults(command=function)
        return added

    run = command("run", _run, "from raw images to a promoted model that inspects new ones")
    run.add_argument("product")
    _add_cluster(run, "where the stages measure images, search classifiers and leave one part out")
    ingest = command("ingest", _ingest, "add images to a product's raw data and version them")
    ingest.add_argument("product")
    ingest.add_argument("folder", nargs="?", type=Path, help="default: the source named in params.yaml")
    inspect = command("inspect", _inspect, "judge images with the product's champion")
    inspect.add_argument("product")
    inspect.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="image files or folders of them")
    inspect.add_argument("--json", action="store_true", help="print one JSON object an image, write no files")
    _add_cluster(inspect, "whose workers judge the images; needs a Prefect server (PREFECT_API_URL)")
    promote = command("promote", _promote, "let the gate decide whether the challenger becomes champion")
    promote.add_argument("product")
    plan = command("plan", _plan, "memory, operations and hours that a product will take, before it is trained")
    plan.add_argument("product")
    plan.add_argument("--device", default="cpu", help="what trains: cpu (measured), l4, a10g, a6000, l40s, a100 or h100")
    plan.add_argument("--json", action="store_true", help="print one JSON object")
    stage = command("stage", _stage, "run one stage of dvc.yaml (what dvc repro calls)")
    stage.add_argument("name")
    stage.add_argument("--product", required=True)
    _add_cluster(stage, "where the stage divides its work")
    _add_product_command(command("product", None, "add a product"), common)
    return parser


def _add_cluster(command: argparse.ArgumentParser, text: str) -> None:
    """Add `--cluster` to a command."""
    command.add_argument("--cluster", metavar="tcp://HOST:PORT", help=f"Dask cluster {text} (local: none, whatever params.yaml says)")


def _add_product_command(product: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    """Add `product add` below `product`."""
    actions = product.add_subparsers(required=True, metavar="ACTION")
    add = actions.add_parser("add", help="write a new product into params.yaml", parents=[common])
    add.add_argument("name")
    add.add_argument("--source", required=True, choices=("mvtec", "csv", "elpv", "pcba"))
    add.add_argument("--path", help="folder (mvtec) or CSV file (csv)")
    add.add_argument("--size", type=int, help="pixels of the square image that is judged (default: the profile's)")
    add.add_argument("--profile", default="quick", help="quick or paper (default: quick)")
    add.add_argument("--split", choices=("paper", "official"))
    add.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. selection.draws=20")
    add.set_defaults(command=_product_add)


def _run(options: argparse.Namespace) -> int:
    _enter_workspace(options)
    from flows import train

    return train.run(options.product, Path.cwd(), cluster=options.cluster, debug=options.debug)


def _ingest(options: argparse.Namespace) -> int:
    folder = options.folder.resolve() if options.folder else None
    _enter_workspace(options)
    from flows import ingest

    return ingest.run(options.product, folder, Path.cwd(), debug=options.debug)


def _inspect(options: argparse.Namespace) -> int:
    paths = [path.resolve() for path in options.paths]
    _enter_workspace(options)
    from flows import inspect
    from zeromiss.cluster import choose_address

    cluster = choose_address(options.cluster, None) if options.cluster else None  # only if asked for: params.yaml speaks of stages
    return inspect.run(options.product, paths, Path.cwd(), as_json=options.json, cluster=cluster, debug=options.debug)


def _promote(options: argparse.Namespace) -> int:
    _enter_workspace(options)
    from flows import promote

    return promote.run(options.product, Path.cwd(), debug=options.debug)


def _plan(options: argparse.Namespace) -> int:
    from zeromiss.planning.command import run
    from zeromiss.workspace import Workspace

    return run(options.product, Workspace.find(), device=options.device, as_json=options.json)


def _stage(options: argparse.Namespace) -> int:
    workspace = _enter_workspace(options)
    from zeromiss.cluster import at_cluster, choose_address
    from zeromiss.params import read_cluster
    from zeromiss.registry.stage_runner import run_stage

    with at_cluster(choose_address(options.cluster, read_cluster(workspace.params_file))):
        run_stage(options.name, options.product, workspace)
    return 0


def _product_add(options: argparse.Namespace) -> int:
    from zeromiss.products import add_product
    from zeromiss.workspace import Workspace

    workspace = Workspace.find()
    product = add_product(
        workspace,
        options.name,
        source=options.source,
        path=options.path,
        size=options.size,
        profile=options.profile,
        split=options.split,
        settings=options.set,
    )
    print(f"{product.name} added to {workspace.params_file}: zeromiss run {product.name}")
    return 0


def _enter_workspace(options: argparse.Namespace) -> "Workspace":
    """Find the repository, go there, make its `flows` importable, set the services' defaults."""
    import os

    from zeromiss.workspace import Workspace

    workspace = Workspace.find()
    os.chdir(workspace.root)
    if str(workspace.root) not in sys.path:
        sys.path.insert(0, str(workspace.root))
    from tasks.environment import set_defaults  # before anything imports Prefect, which reads them then

    set_defaults(workspace.root, debug=options.debug)
    return workspace


if __name__ == "__main__":
    sys.exit(main())
