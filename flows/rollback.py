"""Rollback: an earlier champion takes over. A server that is named sees it as a flow's run; without one nothing is started for it."""

import os
from pathlib import Path
from typing import Any


def run(product: str, root: Path, *, to: str | None, by: str, why: str) -> int:
    """Roll back for the command line.

    Raises ZeromissError where there is nothing to go back to, or the earlier version is not as it was promoted.
    """
    if os.environ.get("PREFECT_API_URL"):
        from flows.rolling_back import rollback  # Prefect takes seconds to start

        done: dict[str, Any] = rollback(product, str(root), to, by, why)
    else:
        from zeromiss.registry import rollback as registry
        from zeromiss.workspace import Workspace

        done = registry.rollback(product, Workspace(root=root), to=to, by=by, why=why)
    print(f"version {done['version']} of {product} is champion again, in place of version {done['before']} ({done['seconds']:.1f} s)")
    return 0
