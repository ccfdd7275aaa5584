"""Learn GanoDIP for a product."""

from functools import partial
from typing import Any

from zeromiss.detectors.ganodip.store import load_ganodip, save_ganodip
from zeromiss.detectors.ganodip.train import train
from zeromiss.params import Product
from zeromiss.stages.base import RunLog
from zeromiss.stages.fitting import fit_detector
from zeromiss.workspace import Workspace


def run(product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any]:
    """Train on the split `train` and write the detector's folder; raises ZeromissError as `fit_detector` does."""
    return fit_detector(
        "ganodip",
        product.ganodip,
        partial(train, product.ganodip, size=product.size),
        save_ganodip,
        load_ganodip,
        product=product.name,
        size=product.size,
        seed=product.seed,
        workspace=workspace,
        log=log,
    )
