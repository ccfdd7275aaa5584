"""Images between the product's size and the networks' working side.

Axes: B images, C channels, H and W pixels.
"""

import torch
from torch import Tensor
from torch.nn import functional


def resized(image_BCHW: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return images at a shape (H, W): areas averaged where the number of pixels shrinks, bilinear where it grows."""
    before = tuple(image_BCHW.shape[-2:])
    if before == tuple(shape):
        return image_BCHW
    if before[0] * before[1] > shape[0] * shape[1]:
        return functional.interpolate(image_BCHW, size=tuple(shape), mode="area")
    return functional.interpolate(image_BCHW, size=tuple(shape), mode="bilinear", align_corners=False)


def signed(image_BCHW: Tensor, side: int) -> Tensor:
    """Return images in [0, 1] as the networks see them: `side` pixels a side, in [-1, 1], channels last."""
    return (2 * resized(image_BCHW, (side, side)) - 1).contiguous(memory_format=torch.channels_last)
