"""Stage `simplenet`: learn to tell the features of normal parts from the same with noise (paper 5, section 3.1)."""

from typing import Any

from zeromiss.detectors.simplenet.store import load_simplenet, save_simplenet
from zeromiss.detectors.simplenet.train import train
from zeromiss.params import Product
from zeromiss.stages.base import RunLog
from zeromiss.stages.fitting import Fit, fit_detector
from zeromiss.workspace import Workspace


def run(product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any]:
    """Fit on the split `train` and write the detector's folder; raises ZeromissError as `fit_detector` and `train` do."""
    fit = Fit(name="simplenet", params=product.simplenet, train=train, save=save_simplenet, load=load_simplenet)
    return fit_detector(fit, product, workspace, log)
