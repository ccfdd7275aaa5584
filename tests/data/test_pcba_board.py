"""A board is a pure function of seed, side and defect, and no two boards look the same."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from ppf.datamatrix import DataMatrix

from zeromiss.errors import ZeromissError
from zeromiss.images.pcba import plate
from zeromiss.images.pcba.board import draw_board, render
from zeromiss.images.pcba.layout import PARTS, extent
from zeromiss.images.pcba.scene import MAX_SHIFT, MAX_TURN, _serial, good_scene
from zeromiss.images.pcba.solder import module_centres


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def test_the_same_arguments_give_the_same_bytes_even_with_cold_caches() -> None:
    first = draw_board(seed=5, side=128, defect="missing")
    plate.plate.cache_clear()
    plate.weave.cache_clear()
    draw_board(seed=6, side=96, defect=None)
    second = draw_board(seed=5, side=128, defect="missing")
    assert _digest(first.image_HWC) == _digest(second.image_HWC)
    assert _digest(first.mask_HW) == _digest(second.mask_HW)


@pytest.mark.parametrize("side", [64, 101, 384, 1000])
def test_any_side_gives_a_square_colour_picture(side: int) -> None:
    board = draw_board(seed=1, side=side, defect=None)
    assert board.image_HWC.shape == (side, side, 3)
    assert board.image_HWC.dtype == np.uint8
    assert board.mask_HW.shape == (side, side)
    assert board.mask_HW.dtype == bool
    assert not board.mask_HW.any()
    assert 40 < board.image_HWC.mean() < 160


def test_boards_of_different_seeds_share_a_layout_and_differ_in_detail() -> None:
    boards = [draw_board(seed=seed, side=192, defect=None).image_HWC.astype(float) for seed in range(4)]
    for other in boards[1:]:
        assert (np.abs(boards[0] - other).max(axis=-1) > 12).mean() > 0.05
        coarse = [board.reshape(24, 8, 24, 8, 3).mean(axis=(1, 3)).ravel() for board in (boards[0], other)]
        assert np.corrcoef(*coarse)[0, 1] > 0.9


def test_brightness_and_colour_vary_between_boards() -> None:
    means = np.array([draw_board(seed=seed, side=64, defect=None).image_HWC.mean(axis=(0, 1)) for seed in range(12)])
    assert means.mean(axis=1).std() / means.mean() > 0.03
    assert (means[:, 0] / means[:, 2]).std() > 0.01


def test_a_good_part_stays_within_the_stated_jitter_and_does_jitter() -> None:
    offsets, turns = [], []
    for seed in range(40):
        for part, placed in zip(PARTS, good_scene(seed).placed, strict=True):
            offsets.append((placed.pose.x - part.pose.x, placed.pose.y - part.pose.y))
            turns.append(placed.pose.angle - part.pose.angle)
    assert np.abs(offsets).max() <= MAX_SHIFT
    assert np.abs(turns).max() <= MAX_TURN + 1e-9
    assert 0.9 < np.std(offsets) < 1.6
    assert np.std(turns) > 0.3


def test_solder_reflections_vary_between_boards_under_the_same_light() -> None:
    a, b = good_scene(1), good_scene(2)
    same = replace(b, placed=a.placed, label=a.label, serial=a.serial, light=a.light)
    difference = np.abs(render(a, 384) - render(same, 384)).max(axis=-1)
    assert (difference > 20).sum() > 500


def test_serials_are_spread_over_their_range_and_never_repeat() -> None:
    assert good_scene(0).serial == "ZM407000000"
    assert int(good_scene(1).serial[5:], 36) == 1_234_567_891
    assert int(good_scene(2).serial[5:], 36) == 2 * 1_234_567_891 - 36**6
    assert len({_serial(seed) for seed in range(5000)}) == 5000


@pytest.mark.parametrize("seed", [0, 1, 123456])
def test_the_code_in_the_picture_reads_module_by_module_as_the_serial(seed: int) -> None:
    side = 768
    scene = good_scene(seed)
    expected = np.array(DataMatrix(scene.serial).matrix, dtype=bool)
    picture = draw_board(seed=seed, side=side, defect=None).image_HWC.mean(axis=-1)
    centres = module_centres(scene.label, len(expected)) * side / 1000.0 - np.array(scene.light.offset) - 0.5
    columns, rows = np.rint(centres).astype(int)[..., 0], np.rint(centres).astype(int)[..., 1]
    read = picture[rows, columns]
    assert np.array_equal(read < (read.min() + read.max()) / 2, expected)


def test_every_board_carries_another_code() -> None:
    codes = {np.array(DataMatrix(draw_board(seed=s, side=64, defect=None).serial).matrix).tobytes() for s in range(12)}
    assert len(codes) == 12


def test_parts_of_the_layout_lie_on_the_board_and_do_not_overlap() -> None:
    boxes = [(p.ref, p.pose.x, p.pose.y, p.length / 2, p.width / 2) for p in PARTS]
    boxes = [(r, x, y, b, a) if p.pose.angle == 90 else (r, x, y, a, b) for p, (r, x, y, a, b) in zip(PARTS, boxes, strict=True)]
    for i, (ref, x, y, a, b) in enumerate(boxes):
        assert 20 < x - a and x + a < 980 and 20 < y - b and y + b < 980, ref
        for other, u, v, c, d in boxes[i + 1 :]:
            assert abs(x - u) >= a + c or abs(y - v) >= b + d, (ref, other)


def test_the_box_around_a_part_and_its_pads_by_hand() -> None:
    chip = next(p for p in PARTS if p.ref == "C5")  # 46 x 25, pads centred at 24.4, 22.64 long, 30 wide
    assert extent(chip) == pytest.approx((24.4 + 11.32, 15.0))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"seed": -1, "side": 64, "defect": None}, "seed must be 0 or more, not -1"),
        ({"seed": 0, "side": 63, "defect": None}, "64 px or more, not 63"),
        ({"seed": 0, "side": 64, "defect": "rust"}, "unknown defect 'rust': choose one of missing, shifted"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(arguments: dict, words: str) -> None:
    with pytest.raises(ZeromissError, match=words):
        draw_board(**arguments)
