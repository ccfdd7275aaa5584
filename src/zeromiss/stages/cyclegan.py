"""Stage `cyclegan`: learn CycleGAN-AD from the normal images of the split `train` and the defects of the split `abnormal`."""

from typing import Any

from zeromiss.detectors.cyclegan.store import load_cyclegan, save_cyclegan
from zeromiss.detectors.cyclegan.train import train
from zeromiss.params import Product
from zeromiss.stages.base import RunLog
from zeromiss.stages.fitting import Fit, fit_detector
from zeromiss.workspace import Workspace


def run(product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any]:
    """Train and write the detector's folder; raises ZeromissError as `fit_detector` does, without abnormal images too."""
    fit = Fit(name="cyclegan", params=product.cyclegan, train=train, save=save_cyclegan, load=load_cyclegan, needs_abnormal=True)
    return fit_detector(fit, product, workspace, log)
