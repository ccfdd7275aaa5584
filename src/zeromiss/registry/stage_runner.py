"""One stage, tracked: what `zeromiss stage NAME --product P`, and so every line of dvc.yaml, runs.

The stages themselves know nothing of MLflow; they are imported by name here, one at a time.
"""

import importlib

from zeromiss.errors import ZeromissError
from zeromiss.params import load_product
from zeromiss.registry.tracking import stage_run
from zeromiss.stages.base import STAGES
from zeromiss.workspace import Workspace


def run_stage(name: str, product: str, workspace: Workspace) -> None:
    """Run stage `name` for one product and write its run file.

    Raises ZeromissError for an unknown stage or product, and whatever the stage refuses.
    """
    if name not in STAGES:
        raise ZeromissError(f"unknown stage {name!r}: the stages are {', '.join(STAGES)}")
    parameters = load_product(workspace.params_file, product)
    stage = importlib.import_module(f"zeromiss.stages.{name}")
    with stage_run(name, parameters, workspace) as log:
        stage.run(parameters, workspace, log)
