"""Perceptual patch distance and anomaly map on toy feature maps."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from zeromiss.backbones.base import Backbone
from zeromiss.errors import ZeromissError
from zeromiss.metrics.features import (
    anomaly_map,
    crop_distances,
    dense_distances,
    context_levels,
    dense_levels,
    level_difference,
    resized_crops,
)


class Toy(Backbone):
    """Maps at strides 2 and 4: averages, and their squares."""

    def __init__(self, strides: tuple[int, ...] = (2, 4)) -> None:
        super().__init__(strides=strides, channels=(3, 3), mean=(0.0,) * 3, std=(1.0,) * 3)

    def maps(self, normalised_BCHW: torch.Tensor) -> list[torch.Tensor]:
        return [functional.avg_pool2d(normalised_BCHW, 2), functional.avg_pool2d(normalised_BCHW, 4) ** 2]


def sampled_mean(map_Chw: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
    """Average bilinear samples, ceil(side) of them an axis, over a box in cells (brute force)."""
    x0, y0, x1, y1 = box
    rows, columns = int(np.ceil(y1 - y0)), int(np.ceil(x1 - x0))
    height, width = map_Chw.shape[1:]
    total = np.zeros(len(map_Chw))
    for i in range(rows):
        for j in range(columns):
            y = np.clip(y0 + (i + 0.5) * (y1 - y0) / rows - 0.5, 0, height - 1)
            x = np.clip(x0 + (j + 0.5) * (x1 - x0) / columns - 0.5, 0, width - 1)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            v, u = y - top, x - left
            upper = (1 - u) * map_Chw[:, top, left] + u * map_Chw[:, top, right]
            lower = (1 - u) * map_Chw[:, bottom, left] + u * map_Chw[:, bottom, right]
            total += (1 - v) * upper + v * lower
    return total / (rows * columns)


def test_a_box_of_whole_cells_is_their_plain_average() -> None:
    difference = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 5, 16, 16)).astype(np.float32))
    boxes = torch.tensor([[0, 0, 8, 8], [4, 6, 8, 10], [16, 16, 32, 32], [28, 0, 32, 2]])
    expected = []
    for x0, y0, x1, y1 in (boxes // 2).tolist():
        expected.append(difference[0, :, y0:y1, x0:x1].mean(dim=(1, 2)).square().sum().item())
    found = dense_distances([difference], boxes, height=32, width=32)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_boxes_between_cells_and_clipped_ones_agree_with_brute_force() -> None:
    rng = np.random.default_rng(1)
    fine, coarse = (rng.normal(size=(1, c, s, s)).astype(np.float32) for c, s in ((3, 32), (4, 8)))
    boxes = torch.tensor([[0, 0, 3, 5], [5, 7, 9, 11], [61, 60, 64, 64], [10, 3, 26, 19], [0, 63, 1, 64]])
    expected = [
        sum((sampled_mean(level[0], tuple(value * level.shape[-1] / 64 for value in box)) ** 2).sum() for level in (fine, coarse))
        for box in boxes.tolist()
    ]
    found = dense_distances([torch.from_numpy(fine), torch.from_numpy(coarse)], boxes, height=64, width=64)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)


def test_averaging_the_difference_equals_the_difference_of_averages() -> None:
    rng = np.random.default_rng(2)
    a, b = (torch.from_numpy(rng.normal(size=(1, 4, 16, 16)).astype(np.float32)) for _ in range(2))
    boxes = torch.tensor([[3, 4, 11, 12], [0, 0, 2, 7]])
    expected = []
    for box in boxes.tolist():
        cells = tuple(value / 2 for value in box)
        expected.append(((sampled_mean(a[0].numpy(), cells) - sampled_mean(b[0].numpy(), cells)) ** 2).sum())
    np.testing.assert_allclose(dense_distances([a - b], boxes, height=32, width=32).numpy(), expected, rtol=1e-4)


def test_no_boxes_give_no_distances() -> None:
    empty = torch.zeros(0, 4, dtype=torch.int64)
    assert dense_distances([torch.zeros(1, 2, 4, 4)], empty, height=8, width=8).shape == (0,)


def test_positions_are_compared_by_direction_alone() -> None:
    hat = torch.tensor([[[[3.0, 0.0]], [[4.0, 5.0]]]])  # vectors (3, 4) and (0, 5)
    x = torch.tensor([[[[4.0, 0.0]], [[3.0, 9.0]]]])  # vectors (4, 3) and (0, 9)
    found = level_difference(x, hat)
    assert found.flatten().tolist() == pytest.approx([0.2, 0.0, -0.2, 0.0])
    assert level_difference(7 * x, 0.5 * hat).flatten().tolist() == pytest.approx([0.2, 0.0, -0.2, 0.0])


def test_opposite_directions_are_two_apart() -> None:
    difference = level_difference(torch.ones(1, 4, 2, 2), -torch.ones(1, 4, 2, 2))
    assert anomaly_map([difference], height=2, width=2).tolist() == [[4.0, 4.0], [4.0, 4.0]]


def test_a_position_without_any_feature_stays_finite() -> None:
    found = level_difference(torch.ones(1, 4, 2, 2), torch.zeros(1, 4, 2, 2))
    assert found.unique().tolist() == [0.5]


def test_map_of_the_finest_level_is_the_squared_length() -> None:
    difference = torch.tensor([[[[3.0, 0.0], [1.0, 0.0]], [[4.0, 0.0], [2.0, 0.0]]]])
    assert anomaly_map([difference], height=2, width=2).tolist() == [[25.0, 0.0], [5.0, 0.0]]


def test_map_is_enlarged_bilinearly_and_summed_over_levels() -> None:
    fine, coarse = torch.ones(1, 1, 1, 4), torch.tensor([[[[0.0, 2.0]]]])
    # coarse squared: 0 and 4; at 4 pixels: 0, 1, 3, 4
    assert anomaly_map([fine, coarse], height=1, width=4).tolist() == [[1.0, 2.0, 4.0, 5.0]]


def test_dense_mode_reads_the_levels_of_stride_2_to_8() -> None:
    assert dense_levels(Toy((1, 2))) == (1,)
    assert dense_levels(Toy((4, 16))) == (0,)


def test_context_levels_are_the_coarser_ones_or_the_last() -> None:
    assert context_levels(Toy((2, 4, 8, 16, 32))) == (3, 4)
    assert context_levels(Toy((2, 4))) == (1,)


def test_a_backbone_without_a_suitable_level_is_refused() -> None:
    with pytest.raises(ZeromissError, match=r"strides \(16, 32\).*metrics.mode to crops"):
        dense_levels(Toy((16, 32)))


@pytest.mark.parametrize("box", [(3, 5, 7, 9), (0, 0, 16, 16), (29, 0, 32, 1), (10, 20, 11, 32)])
def test_crops_are_resized_as_if_cut_first(box: tuple[int, int, int, int]) -> None:
    image = torch.from_numpy(np.random.default_rng(3).random((3, 32, 32), dtype=np.float32))
    x0, y0, x1, y1 = box
    cut = image[None, :, y0:y1, x0:x1]
    expected = functional.interpolate(cut, size=(24, 24), mode="bilinear", align_corners=False)[0]
    found = resized_crops(image, torch.tensor([box]), 24)[0]
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=2e-5)


def test_crop_distance_is_the_squared_gap_of_pooled_features() -> None:
    x, x_hat = torch.full((3, 16, 16), 0.5), torch.full((3, 16, 16), 0.3)
    boxes = torch.tensor([[0, 0, 4, 4]] * 40)  # more than one batch
    found = crop_distances(Toy(), x, x_hat, boxes, side=8)
    assert found.tolist() == pytest.approx([3 * (0.25 - 0.09) ** 2] * 40, rel=1e-5)


def test_dense_and_crops_agree_on_which_box_differs() -> None:
    x = torch.from_numpy(np.random.default_rng(4).random((3, 32, 32), dtype=np.float32))
    x_hat = x.clone()
    x_hat[:, 8:16, 8:16] = x[:, 8:16, 8:16].flip(0) ** 2
    boxes = torch.tensor([[8, 8, 16, 16], [20, 20, 28, 28], [4, 8, 12, 16]])
    maps = zip(Toy()(x[None]), Toy()(x_hat[None]), strict=True)
    dense = dense_distances([level_difference(a, b) for a, b in maps], boxes, height=32, width=32)
    crops = crop_distances(Toy(), x, x_hat, boxes, side=16)
    assert dense.argsort().tolist() == crops.argsort().tolist() == [1, 2, 0]
