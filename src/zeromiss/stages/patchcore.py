"""Stage `patchcore`: choose the normal features to compare with, through anomalib (Roth et al.)."""

from typing import Any

from zeromiss.detectors.patchcore.store import load_patchcore, save_patchcore
from zeromiss.detectors.patchcore.train import train
from zeromiss.params import Product
from zeromiss.stages.base import RunLog
from zeromiss.stages.fitting import Fit, fit_detector
from zeromiss.workspace import Workspace


def run(product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any]:
    """Fit on the split `train` and write the detector's folder; raises ZeromissError as `fit_detector` and `train` do."""
    fit = Fit(name="patchcore", params=product.patchcore, train=train, save=save_patchcore, load=load_patchcore)
    return fit_detector(fit, product, workspace, log)
