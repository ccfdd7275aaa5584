"""Encoder E and decoder G: residual blocks, group norm, swish, attention at the lowest resolution.

Two stems. `conv` is the paper's plan: work at full resolution, halved before each further width,
so f = 2 ** (len(channels) - 1). `unshuffle` folds 4 x 4 pixels into channels first, so that the
costly layers work at a quarter of the resolution: f = 4 * 2 ** (len(channels) - 1).
Axes: B images, C channels, H and W pixels, h and w cells of the latent, D code dimension.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

_FOLD = 4  # pixels a side that the unshuffle stem folds into channels
_IMAGE_CHANNELS = 3
_SMALL = 1024  # pixels of a map below which PyTorch normalises channels last in its slow way
_FUSED_FROM = 2  # pixels of an entering map a channel from which doubling and convolving in one pays (measured on a CPU)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What encoder and decoder agree on."""

    stem: str  # "conv" or "unshuffle"
    channels: tuple[int, ...]  # width of each resolution, from the finest
    blocks: int  # residual blocks a resolution; the decoder has one more
    attention: bool  # at the lowest resolution
    code_dim: int  # D
    template: bool = False  # the network knows the mean good part
    recompute: bool = False  # gradients compute the maps inside a layer anew instead of keeping them


def reduction(stem: str, channels: tuple[int, ...]) -> int:
    """Return f, the pixels a side of one latent cell."""
    return (_FOLD if stem == "unshuffle" else 1) * 2 ** (len(channels) - 1)


class Norm(nn.GroupNorm):
    """A group norm whose training takes small maps on a CPU channels first, where PyTorch is twice as fast.

    Values are the same up to rounding; judging keeps the layout and so the bits it always had.
    """

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """Return the same shape."""
        rows, columns = map_BCHW.shape[2:]
        if self.training and map_BCHW.device.type == "cpu" and rows * columns < _SMALL:
            return super().forward(map_BCHW.contiguous()).contiguous(memory_format=torch.channels_last)
        return super().forward(map_BCHW)


def _norm(width: int) -> Norm:
    """Return a group norm whose groups hold about 16 channels, never more than 32 groups.

    The brightness of an even image is a pattern over channels; small groups would divide it away.
    """
    groups = math.gcd(min(32, 2 ** max(0, round(math.log2(width / 16)))), width)
    return Norm(groups, width, eps=1e-6)


def _conv(before: int, after: int, *, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel_size=3, stride=stride, padding=1)


class ResidualBlock(nn.Module):
    """x + conv(swish(norm(conv(swish(norm(x)))))), with a 1 x 1 convolution where widths differ."""

    def __init__(self, before: int, after: int) -> None:
        """Map `before` channels to `after`."""
        super().__init__()
        self.norm1, self.conv1 = _norm(before), _conv(before, after)
        self.norm2, self.conv2 = _norm(after), _conv(after, after)
        self.skip = nn.Conv2d(before, after, kernel_size=1) if before != after else nn.Identity()
        nn.init.zeros_(self.conv2.weight)  # each block begins as its skip: learning starts at once

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """Return (B, after, H, W)."""
        inner_BCHW = self.conv1(functional.silu(self.norm1(map_BCHW)))
        return self.skip(map_BCHW) + self.conv2(functional.silu(self.norm2(inner_BCHW)))


class Attention(nn.Module):
    """Every cell looks at every other cell, one head, added to what was there."""

    def __init__(self, width: int) -> None:
        """Keep `width` channels."""
        super().__init__()
        self.norm = _norm(width)
        self.query_key_value = nn.Conv2d(width, 3 * width, kernel_size=1)
        self.project = nn.Conv2d(width, width, kernel_size=1)

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """Return the same shape."""
        rows, columns = map_BCHW.shape[-2:]
        cells_B1ND = self.query_key_value(self.norm(map_BCHW)).flatten(2).mT.unsqueeze(1)
        query, key, value = cells_B1ND.chunk(3, dim=-1)
        mixed_BDN = functional.scaled_dot_product_attention(query, key, value).squeeze(1).mT
        return map_BCHW + self.project(mixed_BDN.unflatten(2, (rows, columns)))


class Layers(nn.Sequential):
    """Layers in turn; with `recompute`, training keeps only the maps between them and needs less memory, more time."""

    def __init__(self, *layers: nn.Module, recompute: bool) -> None:
        """Take the layers in their order."""
        super().__init__(*layers)
        self._recompute = recompute

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """Return what the last layer returns; the same values and gradients with and without `recompute`."""
        if not (self._recompute and self.training and torch.is_grad_enabled()):
            return super().forward(map_BCHW)
        for layer in self:
            map_BCHW = checkpoint(layer, map_BCHW, use_reentrant=False, preserve_rng_state=False)  # no layer draws
        return map_BCHW


class Upsample(nn.Module):
    """Twice the resolution by repetition, then a convolution.

    Training does both in one transposed convolution with less than half the operations: the same sums, so equal up
    to rounding. Judging keeps the order of sums it always had, so that verdicts keep their bits.
    """

    def __init__(self, width: int) -> None:
        """Keep `width` channels."""
        super().__init__()
        self.conv = _conv(width, width)

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """Return (B, C, 2 H, 2 W)."""
        width, rows, columns = map_BCHW.shape[1:]
        if self.training and rows * columns >= _FUSED_FROM * width:
            return functional.conv_transpose2d(map_BCHW, doubling_kernel(self.conv.weight), self.conv.bias, stride=2, padding=1)
        return self.conv(functional.interpolate(map_BCHW, scale_factor=2.0, mode="nearest"))


def doubling_kernel(kernel_OI33: Tensor) -> Tensor:
    """Return the (I, O, 4, 4) transposed kernel of stride 2 that repeats pixels and convolves with `kernel_OI33`.

    Repeating is a transposed convolution with a 2 x 2 kernel of ones; two in turn are one with their product, here a
    sum of four shifted copies.
    """
    turned_IO33 = kernel_OI33.flip(2, 3).transpose(0, 1)
    places = [(left, 1 - left, top, 1 - top) for top in (0, 1) for left in (0, 1)]
    shifted = torch.stack([functional.pad(turned_IO33, place) for place in places])
    return shifted.sum(0).contiguous(memory_format=torch.channels_last)


def _middle(width: int, *, attention: bool) -> list[nn.Module]:
    looking = [Attention(width)] if attention else []
    return [ResidualBlock(width, width), *looking, ResidualBlock(width, width)]


class Encoder(nn.Module):
    """E: image to latent."""

    def __init__(self, plan: Plan) -> None:
        """Build the residual blocks; with a template, six channels enter instead of three."""
        super().__init__()
        unshuffle = plan.stem == "unshuffle"
        entering = _IMAGE_CHANNELS * (2 if plan.template else 1) * (_FOLD**2 if unshuffle else 1)
        self.fold = nn.PixelUnshuffle(_FOLD) if unshuffle else nn.Identity()
        layers: list[nn.Module] = [_conv(entering, plan.channels[0])]
        width = plan.channels[0]
        for level, after in enumerate(plan.channels):
            if level:
                layers.append(_conv(width, width, stride=2))
            for _ in range(plan.blocks):
                layers.append(ResidualBlock(width, after))
                width = after
        self.layers = Layers(*layers, *_middle(width, attention=plan.attention), recompute=plan.recompute)
        self.norm = _norm(width)
        self.out = _conv(width, plan.code_dim)

    def forward(self, signed_BCHW: Tensor) -> Tensor:
        """Return the latent (B, D, H / f, W / f) of images in [-1, 1]."""
        return self.out(functional.silu(self.norm(self.layers(self.fold(signed_BCHW)))))


class Decoder(nn.Module):
    """G: quantised latent to image; `out` is the last layer L of the adaptive weight."""

    def __init__(self, plan: Plan) -> None:
        """Mirror the encoder, with one residual block more a resolution.

        With a template, every latent cell is told its f x f pixels of the template, so that a code can
        say how a part deviates ("a third of a pixel to the left") instead of what it looks like.
        """
        super().__init__()
        width, f = plan.channels[-1], reduction(plan.stem, plan.channels)
        self.enter = _conv(plan.code_dim, width)
        self.known = nn.Sequential(nn.PixelUnshuffle(f), _conv(_IMAGE_CHANNELS * f**2, width)) if plan.template else None
        layers: list[nn.Module] = _middle(width, attention=plan.attention)
        for level, after in reversed(list(enumerate(plan.channels))):
            for _ in range(plan.blocks + 1):
                layers.append(ResidualBlock(width, after))
                width = after
            if level:
                layers.append(Upsample(width))
        self.layers = Layers(*layers, recompute=plan.recompute)
        self.norm = _norm(width)
        unshuffle = plan.stem == "unshuffle"
        self.out = _conv(width, _IMAGE_CHANNELS * (_FOLD**2 if unshuffle else 1))
        self.unfold = nn.PixelShuffle(_FOLD) if unshuffle else nn.Identity()

    def forward(self, latent_BDhw: Tensor, template_BCHW: Tensor | None = None) -> Tensor:
        """Return the image (B, C, f h, f w), about in [-1, 1], not clipped."""
        map_BCHW = self.enter(latent_BDhw)
        if self.known is not None:
            map_BCHW = map_BCHW + self.known(template_BCHW)
        return self.unfold(self.out(functional.silu(self.norm(self.layers(map_BCHW)))))
