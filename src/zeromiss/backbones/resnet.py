"""Residual networks as torchvision publishes them: ImageNet weights from a path or torchvision's own download.

Those of the backbone table of paper 5 (section 4, table 1). The weights are those of the first training that torchvision
published, the ones that the table's authors had.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models import (
    ResNet,
    ResNet18_Weights,
    ResNet50_Weights,
    ResNet101_Weights,
    Wide_ResNet50_2_Weights,
    resnet18,
    resnet50,
    resnet101,
    wide_resnet50_2,
)

from zeromiss.backbones.base import Backbone, load_strictly
from zeromiss.backbones.download import Published, weights_from

_STAGES = ("layer1", "layer2", "layer3", "layer4")


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """One of torchvision's networks: how it is built, and the weights published for it."""

    build: Callable[..., ResNet]
    published: Published
    channels: tuple[int, int, int, int]  # of the maps after each stage


_KINDS = {
    "resnet18": _Kind(build=resnet18, published=ResNet18_Weights.IMAGENET1K_V1, channels=(64, 128, 256, 512)),
    "resnet50": _Kind(build=resnet50, published=ResNet50_Weights.IMAGENET1K_V1, channels=(256, 512, 1024, 2048)),
    "resnet101": _Kind(build=resnet101, published=ResNet101_Weights.IMAGENET1K_V1, channels=(256, 512, 1024, 2048)),
    "wide_resnet50": _Kind(build=wide_resnet50_2, published=Wide_ResNet50_2_Weights.IMAGENET1K_V1, channels=(256, 512, 1024, 2048)),
}


class Resnet(Backbone):
    """Four maps at strides 4 to 32, each after the last block of its stage; the classifier's last layer is left out."""

    def __init__(self, name: str) -> None:
        """Build the network `name` without weights."""
        super().__init__(strides=(4, 8, 16, 32), channels=_KINDS[name].channels, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
        with torch.random.fork_rng(devices=[]):  # torchvision draws weights; nobody else's draws may depend on it
            self.network = _KINDS[name].build(weights=None)
        self.network.fc = nn.Identity()

    def maps(self, normalised_BCHW: Tensor) -> list[Tensor]:
        """Return the last map of each stage."""
        network = self.network
        map_BCHW = network.maxpool(network.relu(network.bn1(network.conv1(normalised_BCHW))))
        found = []
        for stage in _STAGES:
            map_BCHW = getattr(network, stage)(map_BCHW)
            found.append(map_BCHW)
        return found


def load(name: str, path: str | None = None) -> Resnet:
    """Return the network `name` with the weights at `path`, or with torchvision's ImageNet weights."""
    weights, origin = weights_from(path, _KINDS[name].published, backbone=name)
    backbone = Resnet(name)
    load_strictly(backbone.network, {key: value for key, value in weights.items() if not key.startswith("fc.")}, origin=origin)
    return backbone


def total_parameters(name: str) -> int:
    """Return how many weights the whole classifier has, its last layer too, as the table of paper 5 counts them."""
    with torch.device("meta"):
        return sum(weight.numel() for weight in _KINDS[name].build(weights=None).parameters())
