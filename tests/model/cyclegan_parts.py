"""Drawn parts, with and without a defect, and a CycleGAN-AD that learns them in seconds."""

import torch
from torch import Tensor

from zeromiss.detector_params import CycleganParams

SIDE = 32


def tiny(**values: object) -> CycleganParams:
    """Return parameters that cost milliseconds a step."""
    drawn = {"side": SIDE, "channels": 8, "blocks": 1, "critic_channels": 8, "critic_layers": 1, "batch": 2, "steps": 8, "checkpoint_every": 3}
    return CycleganParams(**{**drawn, **values})


def parts(count: int, *, seed: int, defects: bool) -> Tensor:
    """Draw grey slopes under light that varies a little, with a dark bar where it belongs; a defect is a bright spot somewhere."""
    draws = torch.Generator().manual_seed(seed)
    row_HW, column_HW = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    images = []
    for _ in range(count):
        light, top, left = (int(torch.randint(high, (), generator=draws)) for high in (20, SIDE - 8, SIDE - 8))
        image_HW = 80 + light + row_HW + column_HW
        image_HW[:, 14:18] = 40 + light
        if defects:
            image_HW[top : top + 8, left : left + 8] = 240
        images.append(image_HW.to(torch.uint8).expand(3, -1, -1))
    return torch.stack(images)
