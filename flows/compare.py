"""Compare: every detector of a product on the same images, alone and stacked."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from prefect import flow

from flows.train import bring_raw, run_stages
from tasks.compare import compared, layout_text, read_comparison
from tasks.failure import StageFailed, ended
from tasks.pipeline import stage_order

NAME = "compare"  # as `meta.flow` in dvc.yaml has it


@flow(name=NAME, persist_result=False)
def compare(product: str, root: str) -> str:
    """Run the stages that the comparison needs, and the comparison; return the path of its page.

    Raises StageFailed when a stage fails, and ZeromissError for what any other step refuses.
    """
    order = stage_order(product, root, NAME)
    bring_raw(product, root)
    run_stages(order, root, parent="")
    return compared(product, root)


def run(product: str, root: Path, *, as_json: bool = False, layout: str | None = None, debug: bool = False) -> int:
    """Run the flow for the command line and return its exit code.

    Prints the comparison as a table, as JSON and nothing else, or in the `layout` of a paper's table with those of all
    other products that have been compared. A stage that failed has printed its sentence; all else that is refused is
    raised as ZeromissError.
    """
    try:
        with _told_on_stderr() if as_json else nullcontext():
            page = compare(product, str(root))
    except StageFailed as failure:
        return ended(failure, debug=debug)
    content, text = read_comparison(product, str(root))
    if as_json:
        print(json.dumps(content, indent=2, allow_nan=False))
        return 0
    print(layout_text(layout, str(root)) if layout else text, end="")
    print(f"\nPage:  {page}")
    return 0


@contextmanager
def _told_on_stderr() -> Iterator[None]:
    """Send to standard error whatever this process and those it starts print meanwhile."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
