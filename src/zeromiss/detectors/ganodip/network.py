"""Generator G, critic D and encoder E (paper 2, section 5.1), which shape they have is ours: the paper does not say.

Every level halves or doubles the resolution by one strided convolution. The critic has no norm, as its gradient
penalty is each image's own; generator and encoder normalise each image by itself, so no image depends on its batch.
Axes: B images, C channels, H and W pixels (always the working side), Z latent numbers, F features.
"""

import torch
from torch import Tensor, nn

from zeromiss.detector_params import WganParams
from zeromiss.errors import ZeromissError

_SLOPE = 0.2  # of the leaky ReLU
_SMALL = 0.1  # share that the generator's last weights are drawn at
_IMAGE_CHANNELS = 3


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(1, width)


def _down(widths: tuple[int, ...], *, norm: bool) -> nn.Sequential:
    """Return strided convolutions that halve the side once a width."""
    layers: list[nn.Module] = []
    for before, after in zip((_IMAGE_CHANNELS, *widths[:-1]), widths, strict=True):
        layers.append(nn.Conv2d(before, after, kernel_size=4, stride=2, padding=1))
        layers += [_norm(after)] if norm else []
        layers.append(nn.LeakyReLU(_SLOPE))
    return nn.Sequential(*layers)


class Critic(nn.Module):
    """D: one number an image, higher = more like a training image; no probability (Wasserstein)."""

    def __init__(self, widths: tuple[int, ...], bottom: int) -> None:
        """Build for images of `bottom * 2 ** len(widths)` pixels a side."""
        super().__init__()
        self.layers = _down(widths, norm=False)
        self.out = nn.Linear(widths[-1] * bottom**2, 1)

    def features(self, signed_BCHW: Tensor) -> Tensor:
        """Return f (B, F) of images in [-1, 1]: what the last layer judges by."""
        return self.layers(signed_BCHW).flatten(1)

    def forward(self, signed_BCHW: Tensor) -> Tensor:
        """Return D (B,) of images in [-1, 1]."""
        return self.out(self.features(signed_BCHW)).squeeze(1)


class Encoder(nn.Module):
    """E: image to latent vector."""

    def __init__(self, widths: tuple[int, ...], bottom: int, latent: int) -> None:
        """Build for images of `bottom * 2 ** len(widths)` pixels a side."""
        super().__init__()
        self.layers = _down(widths, norm=True)
        self.out = nn.Linear(widths[-1] * bottom**2, latent)

    def forward(self, signed_BCHW: Tensor) -> Tensor:
        """Return the latent (B, Z) of images in [-1, 1]."""
        return self.out(self.layers(signed_BCHW).flatten(1))


class Generator(nn.Module):
    """G: latent vector to image."""

    def __init__(self, widths: tuple[int, ...], bottom: int, latent: int) -> None:
        """Build for images of `bottom * 2 ** len(widths)` pixels a side."""
        super().__init__()
        self._shape = (widths[-1], bottom, bottom)
        self.enter = nn.Linear(latent, widths[-1] * bottom**2)
        layers: list[nn.Module] = [_norm(widths[-1]), nn.ReLU()]
        for before, after in zip(widths[:0:-1], widths[-2::-1], strict=True):
            layers += [nn.ConvTranspose2d(before, after, kernel_size=4, stride=2, padding=1), _norm(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.out = nn.ConvTranspose2d(widths[0], _IMAGE_CHANNELS, kernel_size=4, stride=2, padding=1)
        with torch.no_grad():
            self.out.weight.mul_(_SMALL)  # it starts from its base, not from a texture drawn at random
            self.out.bias.zero_()
        side = bottom * 2 ** len(widths)
        self.base_CHW = nn.Parameter(torch.zeros(_IMAGE_CHANNELS, side, side))

    def forward(self, latent_BZ: Tensor) -> Tensor:
        """Return images (B, 3, H, W) in [-1, 1]."""
        map_BCHW = self.enter(latent_BZ).unflatten(1, self._shape)
        return torch.tanh(self.out(self.layers(map_BCHW)) + self.base_CHW)


class Networks(nn.Module):
    """G, D and E for images of one working side."""

    def __init__(self, params: WganParams, side: int, *, name: str, seed: int = 0) -> None:
        """Draw the weights from `seed`; the global generator is left alone. `name` is the detector's, for what is refused.

        Raises ZeromissError when `side` cannot be halved once a width.
        """
        super().__init__()
        self.side = side
        bottom, rest = divmod(side, 2 ** len(params.channels))
        if rest or not bottom:
            raise ZeromissError(
                f"{name} works on {side} pixels a side, which {len(params.channels)} entries of {name}.channels cannot halve evenly: "
                f"make it a multiple of {2 ** len(params.channels)}, or list fewer channels"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.generator = Generator(params.channels, bottom, params.latent)
            self.critic = Critic(params.channels, bottom)
            self.encoder = Encoder(params.channels, bottom, params.latent)
        self.to(memory_format=torch.channels_last)

    def redraw(self, signed_BCHW: Tensor) -> Tensor:
        """Return G(E(x)) in [-1, 1] of images in [-1, 1], both of the working side."""
        return self.generator(self.encoder(signed_BCHW))
