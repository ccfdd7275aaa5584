"""The patch discriminator D: one logit for each patch of an image, not one for the whole."""

import math

from torch import Tensor, nn

_KERNEL = 4


class Critic(nn.Module):
    """Strided convolutions, group norm (batches may hold one image), leaky ReLU, one logit map."""

    def __init__(self, *, channels: int, layers: int) -> None:
        """Halve the resolution `layers` times, doubling `channels` up to eight times its start."""
        super().__init__()
        width = channels
        stack: list[nn.Module] = [nn.Conv2d(3, width, _KERNEL, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for layer in range(1, layers + 1):
            after = channels * min(2**layer, 8)
            stride = 2 if layer < layers else 1
            stack.append(nn.Conv2d(width, after, _KERNEL, stride=stride, padding=1, bias=False))
            stack += [nn.GroupNorm(math.gcd(32, after), after), nn.LeakyReLU(0.2)]
            width = after
        self.layers = nn.Sequential(*stack, nn.Conv2d(width, 1, _KERNEL, stride=1, padding=1))

    def forward(self, signed_BCHW: Tensor) -> Tensor:
        """Return logits (B, 1, h, w) of images in [-1, 1]; higher = more real, D = sigmoid(logit)."""
        return self.layers(signed_BCHW)
