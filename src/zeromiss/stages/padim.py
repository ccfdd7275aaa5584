"""Stage `padim`: measure the normal features at every position, through anomalib (Defard et al.)."""

from typing import Any

from zeromiss.detectors.padim.store import load_padim, save_padim
from zeromiss.detectors.padim.train import train
from zeromiss.params import Product
from zeromiss.stages.base import RunLog
from zeromiss.stages.fitting import Fit, fit_detector
from zeromiss.workspace import Workspace


def run(product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any]:
    """Fit on the split `train` and write the detector's folder; raises ZeromissError as `fit_detector` and `train` do."""
    fit = Fit(name="padim", params=product.padim, train=train, save=save_padim, load=load_padim)
    return fit_detector(fit, product, workspace, log)
