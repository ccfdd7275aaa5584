"""From normality of cells to the score of an image and the map of its pixels (paper 5, sections 3.1.4 and 3.4.2).

Axes: B images, H, W pixels, h, w cells.
"""

import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional


def image_score(abnormality_Bhw: Tensor) -> Tensor:
    """Return the score of the most abnormal cell, (B,), without bounds (higher = more abnormal)."""
    return abnormality_Bhw.amax(dim=(1, 2))


def pixel_map(abnormality_Bhw: Tensor, size: tuple[int, int], smoothing: float) -> Tensor:
    """Return the map of all pixels, (B, H, W), > 0 (higher = more abnormal).

    Cells are enlarged bilinearly to `size`, smoothed by a Gaussian of `smoothing` pixels that sees the image mirrored at its
    edges, as the method's authors do, and then made positive, which changes no order of pixels, within an image or between.
    """
    large_BHW = functional.interpolate(abnormality_Bhw[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
    smooth_BHW = gaussian_filter(large_BHW.numpy(), sigma=(0, smoothing, smoothing)) if smoothing else large_BHW.numpy()
    return positive(torch.from_numpy(smooth_BHW))


def positive(value: Tensor) -> Tensor:
    """Return 1 + v where v >= 0, 1 / (1 - v) below: > 0, strictly rising, smooth at 0, and never 0 where v is finite."""
    return torch.where(value >= 0, 1 + value, 1 / (1 - value.clamp(max=0)))
