"""Xception: ImageNet weights from a path or timm's own download (paper 4, section 3.2).

The network's first two convolutions do not pad, so its maps are a few cells smaller than the image
divided by the stride. timm calls it `legacy_xception`; the published file is older than the counters
that batch norms keep while they learn, so these may be missing from it: no frozen network reads them.
"""

import timm
from timm.models import get_pretrained_cfg
from torch import Tensor, hub, nn

from zeromiss.backbones.base import Backbone, load_strictly
from zeromiss.backbones.download import weights_from

_MODEL = "legacy_xception"
_CLASSES = 1000
_COUNTER = "num_batches_tracked"
_HALF = (0.5, 0.5, 0.5)


class TimmWeights:
    """The file that timm names, as `weights_from` asks for it."""

    url: str = get_pretrained_cfg(_MODEL).url

    @classmethod
    def get_state_dict(cls, *, progress: bool, check_hash: bool, weights_only: bool) -> dict[str, Tensor]:
        """Download the tensors or find them in torch's cache."""
        return hub.load_state_dict_from_url(cls.url, map_location="cpu", progress=progress, check_hash=check_hash, weights_only=weights_only)


class Xception(Backbone):
    """Five maps at strides 2 to 32, the last as global pooling would take it; (x - 0.5) / 0.5 inside."""

    def __init__(self) -> None:
        """Build the network without weights and without its classifier."""
        super().__init__(strides=(2, 4, 8, 16, 32), channels=(64, 128, 256, 728, 2048), mean=_HALF, std=_HALF)
        self.network = timm.create_model(_MODEL, pretrained=False, num_classes=0)

    def maps(self, normalised_BCHW: Tensor) -> list[Tensor]:
        """Return the last activation of each resolution."""
        return self.network.forward_intermediates(normalised_BCHW, intermediates_only=True)


def load(path: str | None = None) -> Xception:
    """Return the backbone with the weights at `path`, or with those that timm publishes.

    The file must hold the whole classifier. Raises ZeromissError when it is missing, partial, or not to be had.
    """
    weights, origin = weights_from(path, TimmWeights, backbone="xception")
    backbone = Xception()
    backbone.network.reset_classifier(_CLASSES)
    load_strictly(backbone.network, _with_counters(weights, backbone.network), origin=origin)
    backbone.network.reset_classifier(0)
    return backbone


def _with_counters(weights: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Return the weights with the counters of `network` where they have none."""
    counters = {key: value for key, value in network.state_dict().items() if key.endswith(_COUNTER)}
    return counters | weights
