"""Learn GanoDIP for a product."""

from typing import Any

from zeromiss.detectors.ganodip.store import load_ganodip, save_ganodip
from zeromiss.detectors.ganodip.train import train
from zeromiss.params import Product
from zeromiss.stages.base import RunLog
from zeromiss.stages.fitting import Fit, fit_detector
from zeromiss.workspace import Workspace


def run(product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any]:
    """Train on the split `train` and write the detector's folder; raises ZeromissError as `fit_detector` does."""
    fit = Fit(name="ganodip", params=product.ganodip, train=train, save=save_ganodip, load=load_ganodip)
    return fit_detector(fit, product, workspace, log)
