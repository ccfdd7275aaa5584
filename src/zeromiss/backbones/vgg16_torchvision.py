"""VGG-16 as torchvision publishes it: ImageNet weights from a path or torchvision's own download."""

from torch import Tensor, nn
from torchvision.models import VGG16_Weights, vgg16

from zeromiss.backbones.base import Backbone, load_strictly
from zeromiss.backbones.download import weights_from

_LAST_OF_BLOCK = (3, 8, 15, 22, 29)  # the activation before each pooling


class Vgg16Torchvision(Backbone):
    """Five maps at strides 1 to 16, each after the last convolution of its block."""

    def __init__(self) -> None:
        """Build the convolutions without weights."""
        super().__init__(
            strides=(1, 2, 4, 8, 16),
            channels=(64, 128, 256, 512, 512),
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
        )
        layers = vgg16(weights=None, init_weights=False).features
        for layer in layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # a map must not change after it was handed out
        self.features = layers[:30]

    def maps(self, normalised_BCHW: Tensor) -> list[Tensor]:
        """Return the last activation of each block."""
        found, map_BCHW = [], normalised_BCHW
        for index, layer in enumerate(self.features):
            map_BCHW = layer(map_BCHW)
            if index in _LAST_OF_BLOCK:
                found.append(map_BCHW)
        return found


def load(path: str | None = None) -> Vgg16Torchvision:
    """Return the backbone with the weights at `path`, or with torchvision's ImageNet weights."""
    weights, origin = weights_from(path, VGG16_Weights.IMAGENET1K_V1, backbone="vgg16_torchvision")
    backbone = Vgg16Torchvision()
    convolutions = {key: value for key, value in weights.items() if key.startswith("features.")}
    load_strictly(backbone.features, {key.removeprefix("features."): value for key, value in convolutions.items()}, origin=origin)
    return backbone
