"""Stage `simplenet`: learn to tell the features of normal parts from the same with noise (paper 5, section 3.1)."""

from functools import partial
from typing import Any

from zeromiss.detectors.simplenet.store import load_simplenet, save_simplenet
from zeromiss.detectors.simplenet.train import train
from zeromiss.params import Product
from zeromiss.stages.base import RunLog
from zeromiss.stages.fitting import fit_detector
from zeromiss.workspace import Workspace


def run(product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any]:
    """Fit on the split `train` and write the detector's folder; raises ZeromissError as `fit_detector` and `train` do."""
    return fit_detector(
        "simplenet",
        product.simplenet,
        partial(train, product.simplenet, size=product.size),
        save_simplenet,
        load_simplenet,
        product=product.name,
        size=product.size,
        seed=product.seed,
        workspace=workspace,
        log=log,
    )
