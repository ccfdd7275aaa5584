"""The metric table's normal images, kept with the run that registers a bundle: the workspace's table becomes another one."""

import tempfile
from pathlib import Path

from zeromiss import schemas
from zeromiss.metrics.table import FILE as TABLE
from zeromiss.registry.tracking import MlflowLog
from zeromiss.tables import read_table, write_table
from zeromiss.workspace import Workspace

FOLDER, FILE = "monitor", "normals.parquet"
SCHEMA_VERSION = 1


def log_normals(log: MlflowLog, product: str, workspace: Workspace) -> None:
    """Log the metric table's normal images with the run that registers a bundle; nothing where there is no table."""
    path = workspace.metrics(product) / TABLE
    if not path.is_file():
        return
    table = read_table(path, schema_version=schemas.METRIC_TABLE)
    with tempfile.TemporaryDirectory() as draft:
        folder = Path(draft) / FOLDER
        write_table(folder / FILE, table[table["label"] == "normal"].reset_index(drop=True), schema_version=SCHEMA_VERSION)
        log.artifact(folder)
