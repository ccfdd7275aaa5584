"""Generators and discriminators of CycleGAN (Zhu et al. 2017, section 4 and appendix 7.2), of any width and depth.

Instance norm knows no other image of a batch, so that each is redrawn for itself.
Axes: B images, C channels, H and W pixels, h and w cells of the discriminator.
"""

import torch
from torch import Tensor, nn

from zeromiss.detector_params import CycleganParams
from zeromiss.detectors.batches import generator_at

_SPREAD = 0.02  # of the weights at the start
_HALVINGS = 2  # of the generator's resolution, and so the side is a multiple of four


class Residual(nn.Module):
    """Two convolutions whose result is added to what they were given."""

    def __init__(self, width: int) -> None:
        """Keep width and resolution."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect"), nn.InstanceNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect"), nn.InstanceNorm2d(width),
        )  # fmt: skip

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """Return a map of the same shape."""
        return map_BCHW + self.layers(map_BCHW)


class Generator(nn.Module):
    """Redraw images of one domain as images of the other."""

    def __init__(self, *, channels: int, blocks: int, correction: bool) -> None:
        """Begin with `channels`, twice halve the resolution and double the width, pass `blocks`, and return.

        With `correction`, what the layers give is added to the image; without it is the image (the paper).
        """
        super().__init__()
        self.correction = correction
        widths = [channels << level for level in range(_HALVINGS + 1)]
        stack: list[nn.Module] = [nn.Conv2d(3, channels, 7, padding=3, padding_mode="reflect"), nn.InstanceNorm2d(channels), nn.ReLU()]
        for before, after in zip(widths, widths[1:]):
            stack += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.InstanceNorm2d(after), nn.ReLU()]
        stack += [Residual(widths[-1]) for _ in range(blocks)]
        for before, after in zip(widths[::-1], widths[-2::-1]):
            stack += [nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1), nn.InstanceNorm2d(after), nn.ReLU()]
        self.layers = nn.Sequential(*stack, nn.Conv2d(channels, 3, 7, padding=3, padding_mode="reflect"))

    def forward(self, signed_BCHW: Tensor) -> Tensor:
        """Return images of the other domain from images in [-1, 1] whose sides are multiples of four.

        They lie in [-1, 1] themselves; corrected ones may pass it a little.
        """
        drawn_BCHW = torch.tanh(self.layers(signed_BCHW))
        return signed_BCHW + drawn_BCHW if self.correction else drawn_BCHW


class Critic(nn.Module):
    """A patch discriminator: a map of figures, near 1 where the image looks like one of its domain, near 0 where drawn."""

    def __init__(self, *, channels: int, layers: int) -> None:
        """Halve the resolution `layers` times, doubling `channels` up to eight times its start; 3 layers see 70 pixels."""
        super().__init__()
        widths = [channels * min(2**level, 8) for level in range(layers + 1)]
        stack: list[nn.Module] = [nn.Conv2d(3, channels, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for level, (before, after) in enumerate(zip(widths, widths[1:]), start=1):
            stride = 2 if level < layers else 1
            stack += [nn.Conv2d(before, after, 4, stride=stride, padding=1), nn.InstanceNorm2d(after), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*stack, nn.Conv2d(widths[-1], 1, 4, padding=1))

    def forward(self, signed_BCHW: Tensor) -> Tensor:
        """Return figures (B, 1, h, w) of images in [-1, 1]; higher = more real."""
        return self.layers(signed_BCHW)


class Direction(nn.Module):
    """One half of the cycle: the generator into a domain, and the discriminator that knows that domain."""

    def __init__(self, params: CycleganParams, *, seed: int, purpose: int) -> None:
        """Draw all weights from `seed` and `purpose`, N(0, 0.02) with biases at zero; the global generator is left alone."""
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            self.generator = Generator(channels=params.channels, blocks=params.blocks, correction=params.correction)
            self.critic = Critic(channels=params.critic_channels, layers=params.critic_layers)
        draws = generator_at(seed, 0, purpose)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, std=_SPREAD, generator=draws)
                nn.init.zeros_(module.bias)
        self.to(memory_format=torch.channels_last)
