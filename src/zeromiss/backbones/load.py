"""Load a backbone by name: where its weights come from is the business of its own file."""

import importlib
from types import ModuleType

from torch import Tensor

from zeromiss.backbones.base import Backbone
from zeromiss.errors import ZeromissError

_CLASSES = {  # each in the module of its name, beside the `load` that knows where its weights lie
    "efficientnet_lite0": "EfficientNetLite0",
    "vgg16": "Vgg16",
    "vgg16_torchvision": "Vgg16Torchvision",
    "inception_v3": "InceptionV3",
    "xception": "Xception",
}
NAMES = tuple(_CLASSES)


def load_backbone(name: str, path: str | None = None) -> Backbone:
    """Return the frozen backbone `name`, its weights read from `path` or from where they usually lie.

    Raises ZeromissError for an unknown name and for weights that are missing, partial or unreadable.
    """
    return _module(name).load(path).freeze()


def build_backbone(name: str) -> Backbone:
    """Return the frozen backbone `name` without its weights: for what depends on shapes alone.

    Raises ZeromissError for an unknown name.
    """
    return getattr(_module(name), _CLASSES[name])().freeze()


def _module(name: str) -> ModuleType:
    if name not in _CLASSES:
        raise ZeromissError(f"unknown backbone {name!r}: choose one of {', '.join(NAMES)}")
    return importlib.import_module(f"zeromiss.backbones.{name}")


def perceptual_mse(backbone: Backbone, x_BCHW: Tensor, x_hat_BCHW: Tensor) -> Tensor:
    """Return the mean squared difference of the last feature maps, (B,), >= 0 (higher = less alike).

    Paper 1, section 3.1.1: the perceptual loss takes the features of the last layer.
    """
    difference_BCHW = backbone(x_BCHW)[-1] - backbone(x_hat_BCHW)[-1]
    return difference_BCHW.float().square().mean(dim=(1, 2, 3))
