"""Boxes of zoom-out-and-shift, worked out by hand."""

import numpy as np
import torch

from zeromiss.metrics.localise import (
    candidate_boxes,
    clip_boxes,
    keep_largest,
    top_pixels,
    unique_boxes,
    zoom_out_and_shift,
)


def with_peaks(side: int, *peaks: tuple[int, int]) -> torch.Tensor:
    """Draw a black difference with falling peaks at the given rows and columns."""
    difference_HW = torch.zeros(side, side)
    for rank, (row, column) in enumerate(peaks):
        difference_HW[row, column] = 1.0 - 0.1 * rank
    return difference_HW


def test_top_pixels_come_largest_first() -> None:
    difference_HW = torch.tensor([[0.1, 0.9], [0.5, 0.2]])
    assert top_pixels(difference_HW, 3).tolist() == [[0, 1], [1, 0], [1, 1]]


def test_equal_pixels_come_in_reading_order() -> None:
    difference_HW = torch.tensor([[0.5, 0.5, 0.7], [0.5, 0.7, 0.5]])
    assert top_pixels(difference_HW, 4).tolist() == [[0, 2], [1, 1], [0, 0], [0, 1]]


def test_a_constant_difference_gives_the_first_pixels() -> None:
    assert top_pixels(torch.zeros(300, 300), 3).tolist() == [[0, 0], [0, 1], [0, 2]]


def test_an_image_smaller_than_p_gives_all_its_pixels() -> None:
    assert len(top_pixels(torch.rand(3, 4), 100)) == 12


def test_top_pixels_agree_with_a_full_stable_sort() -> None:
    values = torch.from_numpy(np.random.default_rng(0).integers(0, 50, (64, 64)).astype(np.float32))
    expected = np.argsort(-values.numpy().ravel(), kind="stable")[:100]
    found = top_pixels(values, 100)
    assert (found[:, 0] * 64 + found[:, 1]).tolist() == expected.tolist()


def test_boxes_of_a_centre_pixel() -> None:
    boxes = candidate_boxes(with_peaks(8, (4, 4)), pixels=1, scales=1, alpha=2)
    assert boxes.tolist() == [
        [3, 3, 5, 5],
        [1, 1, 3, 3], [3, 1, 5, 3], [5, 1, 7, 3],
        [1, 3, 3, 5], [5, 3, 7, 5],
        [1, 5, 3, 7], [3, 5, 5, 7], [5, 5, 7, 7],
    ]  # fmt: skip


def test_boxes_of_a_corner_pixel_are_clipped_and_empty_ones_dropped() -> None:
    boxes = candidate_boxes(with_peaks(8, (0, 0)), pixels=1, scales=1, alpha=2)
    assert boxes.tolist() == [[0, 0, 1, 1], [1, 0, 3, 1], [0, 1, 1, 3], [1, 1, 3, 3]]


def test_boxes_of_the_opposite_corner() -> None:
    boxes = candidate_boxes(with_peaks(8, (7, 7)), pixels=1, scales=1, alpha=4)
    assert boxes.tolist() == [[5, 5, 8, 8], [1, 1, 5, 5], [5, 1, 8, 5], [1, 5, 5, 8]]


def test_an_odd_side_is_centred_on_its_pixel() -> None:
    boxes = zoom_out_and_shift(torch.tensor([[10, 20]]), scales=1, alpha=3)
    assert boxes[0].tolist() == [19, 9, 22, 12]


def test_sides_grow_by_alpha_and_shift_by_themselves() -> None:
    boxes = zoom_out_and_shift(torch.tensor([[50, 50]]), scales=4, alpha=4)
    assert boxes.shape == (36, 4)
    assert (boxes[:, 2] - boxes[:, 0]).tolist() == [4] * 9 + [8] * 9 + [12] * 9 + [16] * 9
    assert boxes[27].tolist() == [42, 42, 58, 58]
    assert boxes[28].tolist() == [26, 26, 42, 42]
    assert boxes[35].tolist() == [58, 58, 74, 74]


def test_neighbours_tile_the_square_around_a_box() -> None:
    covered = torch.zeros(40, 40)
    for x0, y0, x1, y1 in zoom_out_and_shift(torch.tensor([[20, 20]]), scales=1, alpha=6).tolist():
        covered[y0:y1, x0:x1] += 1
    assert covered.max() == 1 and covered.sum() == 18 * 18


def test_boxes_shared_by_two_pixels_are_kept_once() -> None:
    boxes = candidate_boxes(with_peaks(8, (4, 4), (4, 6)), pixels=2, scales=1, alpha=2)
    assert len(boxes) == 12
    assert boxes[9:].tolist() == [[7, 1, 8, 3], [7, 3, 8, 5], [7, 5, 8, 7]]


def test_unique_boxes_keep_the_order_of_first_occurrence() -> None:
    boxes = torch.tensor([[5, 5, 9, 9], [0, 0, 4, 4], [5, 5, 9, 9], [0, 0, 4, 5], [0, 0, 4, 4]])
    assert unique_boxes(boxes).tolist() == [[5, 5, 9, 9], [0, 0, 4, 4], [0, 0, 4, 5]]


def test_unique_boxes_of_none() -> None:
    assert unique_boxes(torch.zeros(0, 4, dtype=torch.int64)).shape == (0, 4)


def test_unique_boxes_agree_with_a_set() -> None:
    boxes = torch.from_numpy(np.random.default_rng(1).integers(0, 4, (500, 4)))
    assert [tuple(box) for box in unique_boxes(boxes).tolist()] == list(dict.fromkeys(map(tuple, boxes.tolist())))


def test_a_box_that_touches_the_border_from_outside_is_dropped() -> None:
    boxes = torch.tensor([[-4, 0, 0, 4], [8, 0, 12, 4], [-4, -4, 1, 1], [6, 7, 12, 12]])
    assert clip_boxes(boxes, height=10, width=8).tolist() == [[0, 0, 1, 1], [6, 7, 8, 10]]


def test_the_largest_distances_are_kept_in_order() -> None:
    boxes = torch.arange(16).reshape(4, 4)
    kept, distances = keep_largest(boxes, torch.tensor([0.1, 0.4, 0.2, 0.4]), 3)
    assert distances.tolist() == torch.tensor([0.4, 0.4, 0.2]).tolist()
    assert kept[:, 0].tolist() == [4, 12, 8]


def test_fewer_boxes_than_q_are_all_kept() -> None:
    kept, distances = keep_largest(torch.arange(8).reshape(2, 4), torch.tensor([1.0, 2.0]), 250)
    assert kept[:, 0].tolist() == [4, 0] and distances.tolist() == [2.0, 1.0]
