"""Stage `patchknn`: keep the whitened features of normal parts, and one Gaussian a place."""

from typing import Any

from zeromiss.backbones.load import build_backbone
from zeromiss.detectors.patchknn.store import load_patchknn, save_patchknn
from zeromiss.detectors.patchknn.train import train
from zeromiss.images.defect_size import product_strides
from zeromiss.params import Product
from zeromiss.stages.base import RunLog
from zeromiss.stages.fitting import Fit, fit_detector
from zeromiss.workspace import Workspace


def run(product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any]:
    """Fit on the split `train` and write the detector's folder; raises ZeromissError as `fit_detector` and `train` do."""
    strides = product.patchknn.strides or product_strides(product, workspace, build_backbone(product.patchknn.backbone).strides)
    radius = product.patchknn.radius if product.metrics.fixed_position else None
    params = product.patchknn.model_copy(update={"strides": strides, "radius": radius})
    fit = Fit(name="patchknn", params=params, train=train, save=save_patchknn, load=load_patchknn, needs_context=True)
    return fit_detector(fit, product, workspace, log)
