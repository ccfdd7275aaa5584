"""What every reconstructing detector gives: a picture of the part as it should be.

Axes: B images, C channels, H rows, W columns.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """What a detector made of a batch of images."""

    image_hat_BCHW: Tensor  # RGB in [0, 1], the size of the input
    quantisation_B: Tensor  # mean squared distance of E(x) from its codes, >= 0 (higher = stranger)
    critic_B: Tensor  # mean discriminator output on x (higher = more real)
    critic_hat_B: Tensor  # the same on the reconstruction


class ReconstructingDetector(Protocol):
    """A trained detector that repaints an image as a normal one."""

    name: str

    def reconstruct(self, image_BCHW: Tensor, precision: Precision = "fp32") -> Reconstruction:
        """Reconstruct RGB images in [0, 1]: no gradient, evaluation mode, repeatable bit for bit."""
