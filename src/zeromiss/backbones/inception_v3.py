"""Inception-v3: ImageNet weights from a path or torchvision's own download.

The network's first convolutions do not pad, so its maps are a few cells smaller than the image
divided by the stride; positions in them are exact to about one cell.
"""

from torch import Tensor
from torchvision.models import Inception_V3_Weights, inception_v3

from zeromiss.backbones.base import Backbone, load_strictly
from zeromiss.backbones.download import weights_from

_LAYERS = (  # name, whether a map is handed out after it
    ("Conv2d_1a_3x3", False),
    ("Conv2d_2a_3x3", False),
    ("Conv2d_2b_3x3", True),
    ("maxpool1", False),
    ("Conv2d_3b_1x1", True),
    ("Conv2d_4a_3x3", False),
    ("maxpool2", False),
    ("Mixed_5b", False),
    ("Mixed_5c", False),
    ("Mixed_5d", True),
    ("Mixed_6a", False),
    ("Mixed_6b", False),
    ("Mixed_6c", False),
    ("Mixed_6d", False),
    ("Mixed_6e", True),
    ("Mixed_7a", False),
    ("Mixed_7b", False),
    ("Mixed_7c", True),
)


class InceptionV3(Backbone):
    """Five maps at strides 2 to 32; (x - 0.5) / 0.5 inside. Images from 75 pixels a side."""

    def __init__(self) -> None:
        """Build the whole network without weights."""
        half = (0.5, 0.5, 0.5)
        super().__init__(strides=(2, 4, 8, 16, 32), channels=(64, 80, 288, 768, 2048), mean=half, std=half)
        self.network = inception_v3(weights=None, aux_logits=True, init_weights=False, transform_input=False)

    def maps(self, normalised_BCHW: Tensor) -> list[Tensor]:
        """Return the last map of each resolution."""
        found, map_BCHW = [], normalised_BCHW
        for name, handed_out in _LAYERS:
            map_BCHW = getattr(self.network, name)(map_BCHW)
            if handed_out:
                found.append(map_BCHW)
        return found


def load(path: str | None = None) -> InceptionV3:
    """Return the backbone with the weights at `path`, or with torchvision's ImageNet weights."""
    weights, origin = weights_from(path, Inception_V3_Weights.IMAGENET1K_V1, backbone="inception_v3")
    backbone = InceptionV3()
    load_strictly(backbone.network, weights, origin=origin)
    return backbone
