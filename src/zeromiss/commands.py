"""The commands: what each takes, and the one function that each calls.

Nothing heavy is imported before a command is known, so that `zeromiss --help` answers at once.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from zeromiss import commands_deploy, commands_edge, commands_labels, commands_monitor, commands_promotion, commands_serve

if TYPE_CHECKING:
    from zeromiss.image_size import ImageSize
    from zeromiss.workspace import Workspace


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show tracebacks and the services' own logs")
    whole = argparse.ArgumentParser(
        prog="zeromiss",
        description="Visual inspection that may raise false alarms but must not miss a defect.",
    )
    commands = whole.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: object, text: str) -> argparse.ArgumentParser:
        """Add one command."""
        added = commands.add_parser(name, help=text, description=text, parents=[common])
        added.set_defaults(command=function)
        return added

    run = command("run", _run, "from raw images to a promoted model that inspects new ones")
    run.add_argument("product")
    _add_cluster(run, "where the stages measure images, search classifiers and leave one part out")
    pool = "Prefect work pool whose workers run the stages for a GPU (local: none, whatever params.yaml says)"
    run.add_argument("--workers", metavar="POOL", help=pool)
    ingest = command("ingest", _ingest, "add images to a product's raw data and version them")
    ingest.add_argument("product")
    ingest.add_argument("folder", nargs="?", help="source or inbox, a folder or s3://BUCKET/PREFIX (default: the inbox or source of params.yaml)")
    ingest.add_argument("--push", action="store_true", help="push what an inbox added, by git too")
    inspect = command("inspect", _inspect, "judge images with the product's champion")
    inspect.add_argument("product")
    inspect.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="image files or folders of them")
    inspect.add_argument("--json", action="store_true", help="print one JSON object an image, write no files")
    inspect.add_argument("--reference", type=Path, metavar="FILE", help="picture that all images are compared with: golden sample or CAD rendering")
    own = "each image's own: a CSV file of path,reference[,design], or a folder of files with the images' names"
    inspect.add_argument("--references", type=Path, metavar="CSV", help=own)
    inspect.add_argument("--design", default="", metavar="NAME", help="design of all images, where the product has several")
    _add_cluster(inspect, "whose workers judge the images; needs a Prefect server (PREFECT_API_URL)")
    commands_promotion.add(command)
    plan = command("plan", _plan, "memory, operations and hours that a product will take, before it is trained")
    plan.add_argument("product")
    plan.add_argument("--device", default="cpu", help="what trains: cpu (measured), l4, a10g, a6000, l40s, a100 or h100")
    plan.add_argument("--json", action="store_true", help="print one JSON object")
    commands_labels.add(command)
    commands_monitor.add(command)
    _add_lineage(command)
    commands_serve.add(command)
    commands_edge.add(command)
    _add_studies(command)
    commands_deploy.add(command)
    stage = command("stage", _stage, "run one stage of dvc.yaml (what dvc repro calls)")
    stage.add_argument("name")
    stage.add_argument("--product", required=True)
    _add_cluster(stage, "where the stage divides its work")
    _add_product_command(command("product", None, "add a product"), common)
    return whole


def _add_studies(command: Callable[[str, object, str], argparse.ArgumentParser]) -> None:
    """Add the commands that name detectors, put them side by side, and tell what each part of the method contributes."""
    detectors = command("detectors", _detectors, "what detectors there are, and which ones a product uses")
    detectors.add_argument("product", nargs="?", help="say which of them this product uses")
    detectors.add_argument("--use", metavar="NAME,NAME", help="have the product use these, the first one's boxes shown")
    detectors.add_argument("--json", action="store_true", help="print one JSON object")
    compare = command("compare", _compare, "all detectors of a product on the same images, alone and stacked")
    compare.add_argument("product")
    shown = compare.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print one JSON object")
    shown.add_argument("--layout", choices=("paper1", "poster", "cpcae", "simplenet"), help="print in the layout of a paper's own table")
    ablate = command("ablate", _ablate, "what each part of the method contributes, with intervals")
    ablate.add_argument("product")
    ablate.add_argument("--only", nargs="+", metavar="VARIANT", help="these variants (default: all that fit the product)")
    ablate.add_argument("--hours", type=float, default=2.0, metavar="H", help="leave out a variant that would take longer (default: 2)")
    ablate.add_argument("--json", action="store_true", help="print one JSON object")


def _add_lineage(command: Callable[[str, object, str], argparse.ArgumentParser]) -> None:
    """Add the commands that look at registered models."""
    reference = "PRODUCT, PRODUCT@ALIAS or PRODUCT/VERSION; PRODUCT alone: the model that judges"
    audit = command("audit", _audit, "where a registered model comes from, what was decided about it, and whether it is intact")
    audit.add_argument("model", metavar="PRODUCT[@ALIAS|/VERSION]", help=reference)
    audit.add_argument("--json", action="store_true", help="print one JSON object")
    rebuild = command("rebuild", _rebuild, "make a registered model again from its commit, data and parameters, and compare")
    rebuild.add_argument("model", metavar="PRODUCT/VERSION", help=reference)
    rebuild.add_argument("--keep", action="store_true", help="leave the folder in which it was made again")
    rebuild.add_argument("--json", action="store_true", help="print one JSON object")
    diff = command("diff", _diff, "what changed between two registered models, and which verdicts flip")
    diff.add_argument("before", metavar="A", help=reference)
    diff.add_argument("after", metavar="B", help=reference)
    diff.add_argument("--json", action="store_true", help="print one JSON object")


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
    size = "of the image that is inspected: a square's side, or both sides (default: the profile's)"
    add.add_argument("--size", type=_size, metavar="PIXELS|WIDTHxHEIGHT", help=size)
    add.add_argument("--profile", default="quick", help="quick or paper (default: quick)")
    add.add_argument("--split", choices=("paper", "official"))
    add.add_argument("--detectors", default="vqgan,patchknn", metavar="NAME,NAME", help="see zeromiss detectors (default: vqgan,patchknn)")
    add.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. selection.draws=20")
    add.set_defaults(command=_product_add)


def _size(text: str) -> "ImageSize":
    """Return the size that `256` or `384x128` stands for."""
    from zeromiss.image_size import ImageSize

    try:
        sides = [int(side) for side in text.lower().split("x")]
        return ImageSize.of(sides[0] if len(sides) == 1 else sides)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write 256 for a square, or WIDTHxHEIGHT such as 384x128") from None


def _run(options: argparse.Namespace) -> int:
    follow_params(enter_workspace(options))
    from flows import train

    return train.run(options.product, Path.cwd(), cluster=options.cluster, workers=options.workers, debug=options.debug)


def _ingest(options: argparse.Namespace) -> int:
    given = options.folder
    folder = given if given is None or "://" in given else str(Path(given).resolve())
    enter_workspace(options)
    from flows import ingest

    return ingest.run(options.product, folder, Path.cwd(), push=options.push, debug=options.debug)


def _inspect(options: argparse.Namespace) -> int:
    paths = [path.resolve() for path in options.paths]
    named = {"reference": options.reference, "references": options.references}
    beside = {key: path and path.resolve() for key, path in named.items()} | {"design": options.design}
    enter_workspace(options)
    from flows import inspect
    from zeromiss.cluster import choose_address

    cluster = choose_address(options.cluster, None) if options.cluster else None  # only if asked for: params.yaml speaks of stages
    return inspect.run(options.product, paths, Path.cwd(), as_json=options.json, cluster=cluster, beside=beside, debug=options.debug)


def _plan(options: argparse.Namespace) -> int:
    from zeromiss.planning.command import run
    from zeromiss.workspace import Workspace

    return run(options.product, Workspace.find(), device=options.device, as_json=options.json)


def _audit(options: argparse.Namespace) -> int:
    from zeromiss.registry.audit_command import run
    from zeromiss.workspace import Workspace

    return run(options.model, Workspace.find(), as_json=options.json)


def _rebuild(options: argparse.Namespace) -> int:
    enter_workspace(options)
    from flows import rebuild

    return rebuild.run(options.model, Path.cwd(), as_json=options.json, keep=options.keep, debug=options.debug)


def _diff(options: argparse.Namespace) -> int:
    from zeromiss.reports.diff_command import run
    from zeromiss.workspace import Workspace

    return run(options.before, options.after, Workspace.find(), as_json=options.json)


def _ablate(options: argparse.Namespace) -> int:
    from zeromiss.ablation.command import run
    from zeromiss.workspace import Workspace

    return run(options.product, Workspace.find(), only=options.only, as_json=options.json, hours=options.hours)


def _compare(options: argparse.Namespace) -> int:
    follow_params(enter_workspace(options))
    from flows import compare

    return compare.run(options.product, Path.cwd(), as_json=options.json, layout=options.layout, debug=options.debug)


def _stage(options: argparse.Namespace) -> int:
    workspace = enter_workspace(options)
    from zeromiss.cluster import at_cluster, choose_address
    from zeromiss.fits import refuse_other_lists
    from zeromiss.params import read_cluster
    from zeromiss.registry.stage_runner import run_stage

    refuse_other_lists(workspace)
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
        detectors=options.detectors.split(","),
        settings=options.set,
    )
    print(f"{product.name} added to {workspace.params_file}: zeromiss run {product.name}")
    return 0


def _detectors(options: argparse.Namespace) -> int:
    from zeromiss.detectors.listing import list_detectors
    from zeromiss.errors import ZeromissError
    from zeromiss.products import use_detectors
    from zeromiss.workspace import Workspace

    if options.use is not None and options.product is None:
        raise ZeromissError("--use needs a product: zeromiss detectors PRODUCT --use NAME,NAME")
    if options.use is not None:
        use_detectors(Workspace.find(), options.product, options.use.split(","))
    print(list_detectors(Workspace.find() if options.product else None, options.product, as_json=options.json))
    return 0


def follow_params(workspace: "Workspace") -> None:
    """Have DVC's loops follow the products' lists of detectors."""
    from zeromiss.fits import follow_params

    follow_params(workspace)


def enter_workspace(options: argparse.Namespace) -> "Workspace":
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
