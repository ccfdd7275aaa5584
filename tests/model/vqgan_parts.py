"""A backbone that the tests' own processes can import too."""

import torch
from torch import Tensor, nn

from zeromiss.backbones.base import Backbone


class TinyBackbone(Backbone):
    """Two maps at strides 2 and 4 from fixed random weights: fast, and openly no pretrained network."""

    def __init__(self) -> None:
        """Draw the weights from a fixed seed."""
        super().__init__(strides=(2, 4), channels=(4, 8), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            self.first = nn.Conv2d(3, 4, 3, stride=2, padding=1)
            self.second = nn.Conv2d(4, 8, 3, stride=2, padding=1)

    def maps(self, normalised_BCHW: Tensor) -> list[Tensor]:
        """Return both maps."""
        fine_BCHW = self.first(normalised_BCHW).relu()
        return [fine_BCHW, self.second(fine_BCHW)]


def load_tiny() -> Backbone:
    """Return it frozen."""
    return TinyBackbone().freeze()
