"""Defaults of the embedded services, set before Prefect is imported: it reads its settings then.

A server named by PREFECT_API_URL is used as it is, and whatever the user has set already stays.
"""

import os
from pathlib import Path

QUIET = {
    "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "true",
    "GX_ANALYTICS_ENABLED": "false",
}
_EMBEDDED = {
    # the temporary server migrates its database on first use: slow on a busy machine
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
    "PREFECT_CLI_COLORS": "false",
}


def set_defaults(root: Path, *, debug: bool = False) -> None:
    """Set the services' environment for a workspace; to be called before anything imports Prefect.

    Failures reach the user as one sentence, so that Prefect's own log of them is shown with `debug` only.
    """
    os.environ.update(QUIET)
    defaults = dict(_EMBEDDED)
    if not os.environ.get("PREFECT_API_URL"):
        defaults["PREFECT_HOME"] = str(root / ".prefect")
    defaults["PREFECT_LOGGING_LEVEL"] = "INFO" if debug else "CRITICAL"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
