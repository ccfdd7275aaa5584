"""Overlapping patches of an image, in a fixed order, and the image put together from them (paper 4, section 3.1).

Patches are numbered from 1, row by row. The condition of a patch is its number divided by their count.
Axes: B images, N patches, C channels, H and W pixels, P pixels of a patch's side.
"""

import torch
from torch import Tensor


def starts(side: int, patch: int, step: int) -> list[int]:
    """Return where patches begin along a side: every `step` pixels, and one flush with the end, so that all is covered.

    `patch` <= `side`.
    """
    last = side - patch
    return [*range(0, last, step), last]


def places(height: int, width: int, patch: int, step: int) -> list[tuple[int, int]]:
    """Return the upper left corner (row, column) of every patch, row by row."""
    return [(top, left) for top in starts(height, patch, step) for left in starts(width, patch, step)]


def conditions(count: int) -> Tensor:
    """Return the condition of each patch, (N,), in (0, 1]: its number, from 1, divided by `count`."""
    return torch.arange(1, count + 1, dtype=torch.float32) / count


def extract(image_CHW: Tensor, patch: int, step: int) -> Tensor:
    """Return all patches of an image, (N, C, P, P)."""
    corners = places(*image_CHW.shape[-2:], patch, step)
    return torch.stack([image_CHW[:, top : top + patch, left : left + patch] for top, left in corners])


def reproject(patch_NCPP: Tensor, height: int, width: int, step: int) -> Tensor:
    """Return the image (C, H, W) of these patches, laid where `extract` cut them; where they overlap, their mean."""
    channels, patch = patch_NCPP.shape[1], patch_NCPP.shape[-1]
    total_CHW = patch_NCPP.new_zeros(channels, height, width)
    count_HW = patch_NCPP.new_zeros(height, width)
    for patch_CPP, (top, left) in zip(patch_NCPP, places(height, width, patch, step), strict=True):
        total_CHW[:, top : top + patch, left : left + patch] += patch_CPP
        count_HW[top : top + patch, left : left + patch] += 1
    return total_CHW / count_HW
