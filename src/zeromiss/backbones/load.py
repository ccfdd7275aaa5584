"""Load a backbone by name: where its weights come from is the business of its own file."""

import importlib

from torch import Tensor

from zeromiss.backbones.base import Backbone
from zeromiss.errors import ZeromissError

_MODULES = {
    "efficientnet_lite0": "zeromiss.backbones.efficientnet_lite0",
    "vgg16": "zeromiss.backbones.vgg16",
    "vgg16_torchvision": "zeromiss.backbones.vgg16_torchvision",
    "inception_v3": "zeromiss.backbones.inception_v3",
}
NAMES = tuple(_MODULES)


def load_backbone(name: str, path: str | None = None) -> Backbone:
    """Return the frozen backbone `name`, its weights read from `path` or from where they usually lie.

    Raises ZeromissError for an unknown name and for weights that are missing, partial or unreadable.
    """
    if name not in _MODULES:
        raise ZeromissError(f"unknown backbone {name!r}: choose one of {', '.join(NAMES)}")
    return importlib.import_module(_MODULES[name]).load(path).freeze()


def perceptual_mse(backbone: Backbone, x_BCHW: Tensor, x_hat_BCHW: Tensor) -> Tensor:
    """Return the mean squared difference of the last feature maps, (B,), >= 0 (higher = less alike).

    Paper 1, section 3.1.1: the perceptual loss takes the features of the last layer.
    """
    difference_BCHW = backbone(x_BCHW)[-1] - backbone(x_hat_BCHW)[-1]
    return difference_BCHW.float().square().mean(dim=(1, 2, 3))
