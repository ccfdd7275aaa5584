"""The command line: read arguments, call one function, turn its refusal into a sentence.

Nothing heavy is imported before a command is known, so that `zeromiss --help` answers at once.
"""

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zeromiss.errors import ZeromissError

if TYPE_CHECKING:
    from zeromiss.workspace import Workspace

REFUSED = 2  # exit code of every refusal
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 well, 2 refused with a sentence on stderr."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except ZeromissError as error:
        if options.debug:
            traceback.print_exc()
        print(f"zeromiss: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("zeromiss: interrupted; start it again and it goes on from there", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:  # a defect of the program: told in a line, traced with --debug
        if options.debug:
            raise
        line = " ".join(str(error).split())
        print(f"zeromiss: {type(error).__name__}: {line} (run again with --debug for the trace)", file=sys.stderr)
        return REFUSED


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
    ingest = command("ingest", _ingest, "add images to a product's raw data and version them")
    ingest.add_argument("product")
    ingest.add_argument("folder", nargs="?", type=Path, help="default: the source named in params.yaml")
    inspect = command("inspect", _inspect, "judge images with the product's champion")
    inspect.add_argument("product")
    inspect.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="image files or folders of them")
    inspect.add_argument("--json", action="store_true", help="print one JSON object an image, write no files")
    promote = command("promote", _promote, "let the gate decide whether the challenger becomes champion")
    promote.add_argument("product")
    stage = command("stage", _stage, "run one stage of dvc.yaml (what dvc repro calls)")
    stage.add_argument("name")
    stage.add_argument("--product", required=True)
    _add_product_command(command("product", None, "add a product"), common)
    return parser


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

    return train.run(options.product, Path.cwd(), debug=options.debug)


def _ingest(options: argparse.Namespace) -> int:
    folder = options.folder.resolve() if options.folder else None
    _enter_workspace(options)
    from flows import ingest

    return ingest.run(options.product, folder, Path.cwd(), debug=options.debug)


def _inspect(options: argparse.Namespace) -> int:
    paths = [path.resolve() for path in options.paths]
    _enter_workspace(options)
    from flows import inspect

    return inspect.run(options.product, paths, Path.cwd(), as_json=options.json, debug=options.debug)


def _promote(options: argparse.Namespace) -> int:
    _enter_workspace(options)
    from flows import promote

    return promote.run(options.product, Path.cwd(), debug=options.debug)


def _stage(options: argparse.Namespace) -> int:
    workspace = _enter_workspace(options)
    from zeromiss.registry.stage_runner import run_stage

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
