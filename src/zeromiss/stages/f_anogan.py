"""Learn f-AnoGAN for a product."""

from functools import partial
from typing import Any

from zeromiss.detectors.f_anogan.store import load_f_anogan, save_f_anogan
from zeromiss.detectors.f_anogan.train import train
from zeromiss.params import Product
from zeromiss.stages.base import RunLog
from zeromiss.stages.fitting import fit_detector
from zeromiss.workspace import Workspace


def run(product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any]:
    """Train on the split `train` and write the detector's folder; raises ZeromissError as `fit_detector` does."""
    return fit_detector(
        "f_anogan",
        product.f_anogan,
        partial(train, product.f_anogan, size=product.size),
        save_f_anogan,
        load_f_anogan,
        product=product.name,
        size=product.size,
        seed=product.seed,
        workspace=workspace,
        log=log,
    )
