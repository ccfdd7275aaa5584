"""Stage `cpcae`: teach the patch autoencoder normal images, and remember their error maps."""

from typing import Any

from zeromiss.detectors.cpcae.store import load_cpcae, save_cpcae
from zeromiss.detectors.cpcae.train import train
from zeromiss.params import Product
from zeromiss.stages.base import RunLog
from zeromiss.stages.fitting import Fit, fit_detector
from zeromiss.workspace import Workspace


def run(product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any]:
    """Fit on the split `train` and write the detector with its curves and samples.

    Raises ZeromissError as `fit_detector` and the training do.
    """
    fit = Fit(name="cpcae", params=product.cpcae, train=train, save=save_cpcae, load=load_cpcae)
    return fit_detector(fit, product, workspace, log)
