"""Stage `reference`: learn how normal parts differ from their references."""

from functools import partial
from typing import Any

from zeromiss.backbones.load import build_backbone
from zeromiss.detectors.reference.store import load_reference, save_reference
from zeromiss.detectors.reference.train import train
from zeromiss.images.defect_size import product_strides
from zeromiss.params import Product
from zeromiss.stages.base import RunLog
from zeromiss.stages.fitting import Fit, fit_detector
from zeromiss.workspace import Workspace


def run(product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any]:
    """Fit on the split `train` and write the detector's folder; raises ZeromissError as `fit_detector` and `train` do."""
    strides = product.reference.strides or product_strides(product, workspace, build_backbone(product.reference.backbone).strides)
    params = product.reference.model_copy(update={"strides": strides})
    fitted = partial(train, fixed=product.metrics.fixed_position)
    fit = Fit(name="reference", params=params, train=fitted, save=save_reference, load=load_reference, needs_context=True)
    return fit_detector(fit, product, workspace, log)
