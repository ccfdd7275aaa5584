"""A tiny network, a tiny backbone and drawn images for the tests of this folder."""

import pytest
import torch
from torch import Tensor

from tests.model.vqgan_parts import load_tiny
from zeromiss.backbones.base import Backbone
from zeromiss.detector_params import VqganParams


@pytest.fixture
def tiny_backbone() -> Backbone:
    """A frozen backbone that costs nothing."""
    return load_tiny()


@pytest.fixture
def tiny_params() -> VqganParams:
    """A VQGAN that takes milliseconds a step, its discriminator at work from step 4."""
    return VqganParams(
        channels=(8, 16),
        blocks=1,
        codes=16,
        code_dim=4,
        dead_after=3,
        codebook_start=1,
        critic_channels=4,
        critic_start=2,
        critic_warmup=2,
        crop=32,
        batch=2,
        steps=8,
        checkpoint_every=3,
        perceptual=0.1,
    )


@pytest.fixture
def drawn_images() -> Tensor:
    """Four smooth images with a bar each, uint8 (4, 3, 48, 48)."""
    row_HW, column_HW = torch.meshgrid(torch.arange(48), torch.arange(48), indexing="ij")
    images = []
    for index in range(4):
        image_CHW = torch.stack([row_HW * 4, column_HW * 4, (row_HW + column_HW) * 2 + 10 * index])
        image_CHW[:, 8 * index : 8 * index + 6, 10:40] = 220
        images.append(image_CHW.clamp(0, 255).to(torch.uint8))
    return torch.stack(images)
