"""Stage `ganomaly`: learn to redraw normal parts so that their codes stay, through anomalib (paper 3's table)."""

from typing import Any

from zeromiss.detectors.ganomaly.store import load_ganomaly, save_ganomaly
from zeromiss.detectors.ganomaly.train import train
from zeromiss.params import Product
from zeromiss.stages.base import RunLog
from zeromiss.stages.fitting import Fit, fit_detector
from zeromiss.workspace import Workspace


def run(product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any]:
    """Fit on the split `train` and write the detector's folder; raises ZeromissError as `fit_detector` and `train` do."""
    fit = Fit(name="ganomaly", params=product.ganomaly, train=train, save=save_ganomaly, load=load_ganomaly)
    return fit_detector(fit, product, workspace, log)
