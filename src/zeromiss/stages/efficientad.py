"""Stage `efficientad`: teach a student to imitate a teacher on normal parts alone, through anomalib (paper 5)."""

from typing import Any

from zeromiss.detectors.efficientad.store import load_efficientad, save_efficientad
from zeromiss.detectors.efficientad.train import train
from zeromiss.params import Product
from zeromiss.stages.base import RunLog
from zeromiss.stages.fitting import Fit, fit_detector
from zeromiss.workspace import Workspace


def run(product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any]:
    """Fit on the split `train` and write the detector's folder; raises ZeromissError as `fit_detector` and `train` do."""
    fit = Fit(name="efficientad", params=product.efficientad, train=train, save=save_efficientad, load=load_efficientad)
    return fit_detector(fit, product, workspace, log)
