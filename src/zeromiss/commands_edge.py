"""The command that takes a model to where it runs by itself."""

import argparse
from collections.abc import Callable
from pathlib import Path


def add(command: Callable[[str, object, str], argparse.ArgumentParser]) -> None:
    """Add the command."""
    export = command("export", _export, "write a registered model to a folder that inspects without torch")
    export.add_argument("model", metavar="PRODUCT[@ALIAS|/VERSION]", help="PRODUCT alone: the model that judges")
    export.add_argument("--format", required=True, choices=("onnx",), help="what the networks are written as")
    export.add_argument("--to", type=Path, metavar="FOLDER", help="written whole and verified, or not at all (default: data/19_edge/PRODUCT)")
    export.add_argument("--engine", default="onnxruntime", choices=("onnxruntime", "openvino"), help="what runs them there (default: onnxruntime)")


def _export(options: argparse.Namespace) -> int:
    from zeromiss.edge.export import export
    from zeromiss.workspace import Workspace

    target, found = export(options.model, Workspace.find(), options.to and options.to.resolve(), engine=options.engine)
    seconds = found["seconds_per_image"]
    print(
        f"{options.model} exported to {target}: {found['n']} images of the {found['images']} judged by both, no verdict flipped, scores at most "
        f"{found['largest_difference']:.2g} apart; {seconds['torch'] * 1000:.0f} ms an image with torch, {seconds['export'] * 1000:.0f} ms with "
        f"{found['engine']}.\nThere: pip install -r requirements.txt && python inspect_images.py IMAGE..."
    )
    return 0
