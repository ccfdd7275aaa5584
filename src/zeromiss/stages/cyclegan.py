"""Stage `cyclegan`: learn CycleGAN-AD from the normal images of the split `train` and the defects of the split `abnormal`."""

from functools import partial
from typing import Any

from zeromiss.detectors.cyclegan.store import load_cyclegan, save_cyclegan
from zeromiss.detectors.cyclegan.train import train
from zeromiss.params import Product
from zeromiss.stages.base import RunLog
from zeromiss.stages.fitting import fit_detector
from zeromiss.workspace import Workspace


def run(product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any]:
    """Train and write the detector's folder; raises ZeromissError as `fit_detector` does, without abnormal images too."""
    return fit_detector(
        "cyclegan",
        product.cyclegan,
        partial(train, product.cyclegan, size=product.size),
        save_cyclegan,
        load_cyclegan,
        product=product.name,
        size=product.size,
        seed=product.seed,
        workspace=workspace,
        log=log,
        needs_abnormal=True,
    )
