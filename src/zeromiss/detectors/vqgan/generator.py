"""E, Z and G as one module: what several processes must call as a whole for their gradients to be averaged.

Axes: B images, C channels, H and W pixels, D code dimension, h and w latent cells.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from zeromiss.detectors.vqgan.vqgan import Vqgan


class Redrawn(NamedTuple):
    """What the generator made of a batch."""

    image_hat_BCHW: Tensor  # about in [0, 1], not clipped
    latent_BDhw: Tensor  # E(x)
    codes_Bhw: Tensor | None  # indices; None while nothing is quantised
    loss: Tensor | None  # the codebook's


class Generator(nn.Module):
    """The parts of a Vqgan that its first optimiser trains; the Vqgan keeps them, this only calls them."""

    def __init__(self, vqgan: Vqgan) -> None:
        """Share the networks of `vqgan`."""
        super().__init__()
        self.encoder, self.codebook, self.decoder = vqgan.encoder, vqgan.codebook, vqgan.decoder
        self._whole = (vqgan,)  # in a tuple, so that the discriminator does not become a part

    def forward(self, image_BCHW: Tensor, template_BCHW: Tensor | None, generator: torch.Generator | None) -> Redrawn:
        """Redraw images in [0, 1]; without a `generator`, which places the codes at first, nothing is quantised."""
        (vqgan,) = self._whole
        latent_BDhw = vqgan.encode(image_BCHW, template_BCHW)
        if generator is None:
            return Redrawn(vqgan.decode(latent_BDhw, template_BCHW), latent_BDhw, None, None)
        vqgan.codebook.start(latent_BDhw.detach(), generator)
        quantised = vqgan.quantise(latent_BDhw)
        image_hat_BCHW = vqgan.decode(quantised.latent_BDhw, template_BCHW)
        return Redrawn(image_hat_BCHW, latent_BDhw, quantised.codes_Bhw, quantised.loss)
