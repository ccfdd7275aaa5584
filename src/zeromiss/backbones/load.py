"""Load a backbone by name: where its weights come from is the business of its own file."""

import importlib
from types import ModuleType

from torch import Tensor

from zeromiss.backbones.base import Backbone
from zeromiss.errors import ZeromissError

_CLASSES = {  # beside the `load` that knows where its weights lie
    "efficientnet_lite0": "EfficientNetLite0",
    "vgg16": "Vgg16",
    "vgg16_torchvision": "Vgg16Torchvision",
    "inception_v3": "InceptionV3",
    "xception": "Xception",
    "resnet18": "Resnet",
    "resnet50": "Resnet",
    "resnet101": "Resnet",
    "wide_resnet50": "Resnet",
}
_FAMILIES = {"Resnet": "resnet"}  # classes of several backbones, which are told the name: their module; others lie in the module of their name
NAMES = tuple(_CLASSES)


def load_backbone(name: str, path: str | None = None) -> Backbone:
    """Return the frozen backbone `name`, its weights read from `path` or from where they usually lie.

    Raises ZeromissError for an unknown name and for weights that are missing, partial or unreadable.
    """
    module, given = _module(name)
    return module.load(*given, path).freeze()


def build_backbone(name: str) -> Backbone:
    """Return the frozen backbone `name` without its weights: for what depends on shapes alone.

    Raises ZeromissError for an unknown name.
    """
    module, given = _module(name)
    return getattr(module, _CLASSES[name])(*given).freeze()


def _module(name: str) -> tuple[ModuleType, tuple[str, ...]]:
    """Return the module of a backbone, and what its functions must be given first."""
    if name not in _CLASSES:
        raise ZeromissError(f"unknown backbone {name!r}: choose one of {', '.join(NAMES)}")
    family = _FAMILIES.get(_CLASSES[name])
    return importlib.import_module(f"zeromiss.backbones.{family or name}"), (name,) if family else ()


def perceptual_mse(backbone: Backbone, x_BCHW: Tensor, x_hat_BCHW: Tensor) -> Tensor:
    """Return the mean squared difference of the last feature maps, (B,), >= 0 (higher = less alike).

    Paper 1, section 3.1.1: the perceptual loss takes the features of the last layer.
    """
    difference_BCHW = backbone(x_BCHW)[-1] - backbone(x_hat_BCHW)[-1]
    return difference_BCHW.float().square().mean(dim=(1, 2, 3))
