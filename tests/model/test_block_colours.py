"""The colours of small blocks: means by hand, shifts, borders, and a part that lies a pixel aside."""

import numpy as np
import pytest
import torch

from zeromiss.backbones.block_colours import NUMBERS, block_colours, least_over_shifts, shifts


def picture(height, width, seed=0):
    """Return a picture of noise, float32 (3, height, width) in [0, 1]."""
    return torch.from_numpy(np.random.default_rng(seed).random((3, height, width), dtype=np.float32))


def test_each_quarter_of_a_cell_is_the_mean_of_its_pixels():
    image = picture(8, 12)
    found_hwN = block_colours(image, 4)
    assert found_hwN.shape == (2, 3, NUMBERS) and NUMBERS == 12
    for row, column in ((0, 0), (1, 2)):
        for colour in range(3):
            for quarter, (top, left) in enumerate(((0, 0), (0, 2), (2, 0), (2, 2))):
                y, x = 4 * row + top, 4 * column + left
                expected = float(image[colour, y : y + 2, x : x + 2].mean())
                assert found_hwN[row, column, 4 * colour + quarter] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("size", [(10, 13), (8, 12), (5, 4)])
def test_the_last_cell_repeats_the_border(size):
    image = picture(*size)
    wide = np.pad(image.numpy(), ((0, 0), (0, -size[0] % 4), (0, -size[1] % 4)), mode="edge")
    assert torch.equal(block_colours(image, 4), block_colours(torch.from_numpy(wide), 4))


@pytest.mark.parametrize("shift", [(1, 0), (-1, 0), (0, 1), (0, -1), (1, -1), (2, 2)])
def test_a_shift_moves_the_picture(shift):
    image, (down, right) = picture(16, 16), shift
    moved = torch.roll(image, shift, (1, 2))
    inside = slice(1, -1)  # what was rolled in is not repeated border
    assert torch.allclose(block_colours(image, 4, shift)[inside, inside], block_colours(moved, 4)[inside, inside])
    flat = torch.full((3, 16, 16), 0.25)
    assert torch.equal(block_colours(flat, 4, (down, right)), block_colours(flat, 4))


def test_half_a_block_each_way_is_tried_and_no_shift_first():
    assert list(shifts(4)) == [(down, right) for down in (0, -1, 1) for right in (0, -1, 1)]
    assert set(shifts(16)) == {(down, right) for down in (-4, 0, 4) for right in (-4, 0, 4)}
    assert set(shifts(2)) == set(shifts(4))


def test_a_part_that_lies_half_a_block_aside_is_no_defect_and_a_spot_is():
    normal = picture(32, 32)
    normal_hwN = block_colours(normal, 8)

    def judge(image):
        return least_over_shifts(image, 8, lambda colours_hwN: colours_hwN - normal_hwN, lambda away_hwN: away_hwN.norm(dim=-1))

    aside_hw, away_hwN = judge(torch.roll(normal, (2, -2), (1, 2)))
    assert float(aside_hw[1:-1, 1:-1].max()) < 1e-5 and float((aside_hw - away_hwN.norm(dim=-1)).abs().max()) == 0
    spotted = normal.clone()
    spotted[:, 9:13, 17:21] = 1.0
    map_hw, _ = judge(spotted)
    assert divmod(int(map_hw.argmax()), 4) == (1, 2) and float(map_hw.max()) > 0.2
