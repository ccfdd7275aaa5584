"""Averages over boxes have the bits of torchvision's roi_align."""

import numpy as np
import pytest
import torch
from torchvision.ops import roi_align

from zeromiss.metrics.localise import candidate_boxes
from zeromiss.metrics.pooling import box_means


def drawn_map(channels: int, side: int, seed: int = 0) -> torch.Tensor:
    """Draw a feature map (1, C, side, side) in the layout of a backbone's."""
    values = np.random.default_rng(seed).normal(size=(1, channels, side, side)).astype(np.float32)
    return torch.from_numpy(values).contiguous(memory_format=torch.channels_last)


def drawn_boxes(side: int, pixels: int = 60) -> torch.Tensor:
    """Draw the candidate boxes around `pixels` places of an image, clipped at its edges."""
    difference_HW = torch.from_numpy(np.random.default_rng(1).random((side, side), dtype=np.float32))
    difference_HW[0, 0] = difference_HW[-1, -1] = 2.0
    return torch.from_numpy(candidate_boxes(difference_HW, pixels=pixels, scales=4, alpha=4))


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("channels", [3, 16, 24])
def test_means_have_the_bits_of_roi_align(channels: int, stride: int) -> None:
    map_BChw, boxes_N4 = drawn_map(channels, 64 // stride), drawn_boxes(64)
    rois = torch.cat((torch.zeros(len(boxes_N4), 1), boxes_N4.float()), dim=1)
    expected = roi_align(map_BChw, rois, output_size=1, spatial_scale=1 / stride, sampling_ratio=-1, aligned=True)
    assert torch.equal(box_means(map_BChw, boxes_N4, height=64, width=64), expected.flatten(1))


def test_means_of_an_image_that_is_no_square() -> None:
    map_BChw, boxes_N4 = drawn_map(5, 48)[:, :, :32], drawn_boxes(64)
    rois = torch.cat((torch.zeros(len(boxes_N4), 1), boxes_N4.float()), dim=1)
    expected = roi_align(map_BChw, rois, output_size=1, spatial_scale=0.5, sampling_ratio=-1, aligned=True)
    assert torch.equal(box_means(map_BChw, boxes_N4, height=64, width=96), expected.flatten(1))


def test_squares_between_cells_by_hand() -> None:
    map_BChw = torch.arange(16.0).reshape(1, 1, 4, 4)
    boxes_N4 = torch.tensor([[0, 0, 4, 4], [1, 0, 3, 2], [0, 1, 2, 3], [1, 1, 5, 5], [6, 6, 8, 8]] * 20)
    # cells (0,0) (0,1) (1,0) (1,1); half between (0,0) and (0,1); and so on
    expected = [2.5, 0.5, 2.0, 5.0, 15.0] * 20
    assert box_means(map_BChw, boxes_N4, height=8, width=8).flatten().tolist() == expected


def test_no_boxes() -> None:
    assert box_means(drawn_map(3, 8), torch.zeros(0, 4, dtype=torch.int64), height=16, width=16).shape == (0, 3)
