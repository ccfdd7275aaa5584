"""Images between the product's size and the networks' working side.

Axes: B images, C channels, H and W pixels.
"""

import torch
from torch import Tensor
from torch.nn import functional


def resized(image_BCHW: Tensor, side: int) -> Tensor:
    """Return images at `side` pixels a side: areas averaged where they shrink, bilinear where they grow."""
    if image_BCHW.shape[-1] == side:
        return image_BCHW
    if image_BCHW.shape[-1] > side:
        return functional.interpolate(image_BCHW, size=(side, side), mode="area")
    return functional.interpolate(image_BCHW, size=(side, side), mode="bilinear", align_corners=False)


def signed(image_BCHW: Tensor, side: int) -> Tensor:
    """Return images in [0, 1] as the networks see them: `side` pixels a side, in [-1, 1], channels last."""
    return (2 * resized(image_BCHW, side) - 1).contiguous(memory_format=torch.channels_last)
