"""Learn f-AnoGAN for a product."""

from typing import Any

from zeromiss.detectors.f_anogan.store import load_f_anogan, save_f_anogan
from zeromiss.detectors.f_anogan.train import train
from zeromiss.params import Product
from zeromiss.stages.base import RunLog
from zeromiss.stages.fitting import Fit, fit_detector
from zeromiss.workspace import Workspace


def run(product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any]:
    """Train on the split `train` and write the detector's folder; raises ZeromissError as `fit_detector` does."""
    fit = Fit(name="f_anogan", params=product.f_anogan, train=train, save=save_f_anogan, load=load_f_anogan)
    return fit_detector(fit, product, workspace, log)
