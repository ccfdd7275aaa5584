"""Inspect: the model in charge judges images.

A schedule or a server runs the flow. The command line calls the same function without Prefect: a few files
should not wait for a temporary server to start, and DVC, MLflow and the verdicts know no difference.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import flow

from tasks.failure import REFUSED
from tasks.inspect import inspect_images, judge_to_folder, judge_to_json


@flow(name="inspect", persist_result=False)
def inspect(product: str, root: str, paths: list[str]) -> dict[str, Any]:
    """Judge files and folders, write verdicts and overlays, and return counts, model and folder."""
    return inspect_images(product, root, paths)


def run(product: str, paths: Sequence[Path], root: Path, *, as_json: bool = False, debug: bool = False) -> int:
    """Judge for the command line and return the exit code: 2 when a file could not be judged.

    Such a file is named with its reason and never called normal. Raises ZeromissError when nothing can be
    judged at all: no model, no such path.
    """
    if as_json:
        lines, failures = judge_to_json(product, root, paths)
    else:
        done = judge_to_folder(product, root, paths)
        lines, failures = words(done), done["failures"]
    for line in lines:
        print(line)
    for failure in failures:
        print(f"zeromiss: {failure}", file=sys.stderr)
    return REFUSED if failures else 0


def words(done: dict[str, Any]) -> list[str]:
    """Return an inspection's outcome as lines."""
    counts = f"{done['abnormal']} abnormal, {done['normal']} normal, {done['errors']} that could not be judged"
    return [f"{done['model']} judged {done['images']} images: {counts}", done["folder"]]
