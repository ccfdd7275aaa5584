"""Monitor: recent inspections against what the model in charge was chosen on; above a limit an event calls for training.

A schedule runs the flow. The command line calls the same function without Prefect's bookkeeping where no server of
one's own runs: a temporary one takes longer to start than the check, and nobody listens to it.
"""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.settings import PREFECT_API_URL

from tasks.at_work import at_work
from tasks.monitor import check_and_tell, check_inspections


@flow(name="monitor", persist_result=False)
@at_work()
def monitor(product: str, root: str) -> dict[str, Any]:
    """Check, write the page, tell of what calls for retraining; return the `page`, `sentences` and `reasons`."""
    return check_inspections(product, root)


def run(product: str, root: Path) -> int:
    """Check for the command line and return the exit code, 0 whatever was found.

    Raises ZeromissError where there is no model or no verdict.
    """
    done = monitor(product, str(root)) if PREFECT_API_URL.value() else check_and_tell(product, root)
    print(*done["sentences"], done["page"], sep="\n")
    return 0
