"""Every kind of defect is visible, lies in the picture, and its mask is where pixels truly differ."""

from dataclasses import replace

import numpy as np
import pytest

from zeromiss.images.pcba.board import TOLERANCE, difference_mask, draw_board, render
from zeromiss.images.pcba.camera import develop, noise
from zeromiss.images.pcba.defects import DEFECTS, SMALLEST, floor_units, spoil
from zeromiss.images.pcba.scene import MAX_SHIFT, MAX_TURN, good_scene, joint_table


def _extent(mask: np.ndarray) -> int:
    rows, columns = np.nonzero(mask)
    return int(max(np.ptp(rows), np.ptp(columns))) + 1


def test_the_kinds_are_those_of_the_papers() -> None:
    assert DEFECTS == ("missing", "shifted", "tombstoned", "solder_bridge", "missing_solder", "scratch", "wrong_part")


@pytest.mark.parametrize("side", [64, 384])
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_has_a_mask_of_20_pixels_and_6_px_or_more(defect: str, side: int) -> None:
    for seed in range(2):
        mask = draw_board(seed=seed, side=side, defect=defect).mask_HW
        assert mask.sum() >= 20
        assert _extent(mask) >= 6
        assert mask.mean() < 0.2


@pytest.mark.parametrize("defect", DEFECTS)
def test_outside_its_mask_a_defective_board_is_the_good_one(defect: str) -> None:
    good = draw_board(seed=11, side=256, defect=None).image_HWC.astype(int)
    board = draw_board(seed=11, side=256, defect=defect)
    difference = np.abs(board.image_HWC.astype(int) - good).max(axis=-1)
    # The noise of both is the same up to its growth with light: one grey level, and one of rounding.
    assert difference[~board.mask_HW].max() <= TOLERANCE + 2
    assert np.median(difference[board.mask_HW]) > TOLERANCE
    assert difference[board.mask_HW].max() > 26


def test_the_mask_is_the_thresholded_difference_before_noise() -> None:
    scene = good_scene(3)
    rng = np.random.default_rng(np.random.SeedSequence([407, 3, 3, DEFECTS.index("missing"), 0]))
    spoiled = spoil(scene, "missing", rng, side=384)
    difference = np.abs(render(spoiled, 384) - render(scene, 384)).max(axis=-1)
    mask = draw_board(seed=3, side=384, defect="missing").mask_HW
    assert np.array_equal(mask, difference_mask(difference))
    assert difference[~mask].max() <= TOLERANCE


def test_difference_mask_by_hand() -> None:
    difference = np.zeros((7, 7))
    difference[2:5, 2:5] = TOLERANCE + 1
    difference[3, 3] = 0.0  # a hole is closed
    difference[0, 0] = TOLERANCE  # not beyond it
    expected = np.zeros((7, 7), dtype=bool)
    expected[2:5, 2:5] = True
    assert np.array_equal(difference_mask(difference), expected)


def test_a_defect_reaches_down_to_a_small_size_and_up_to_a_large_one() -> None:
    extents = [_extent(draw_board(seed=seed, side=384, defect="scratch").mask_HW) for seed in range(10)]
    assert min(extents) <= 14
    assert max(extents) >= 40


def test_the_smallest_defect_is_6_px_at_384_and_at_every_smaller_side() -> None:
    assert SMALLEST * 384 / 1000 == pytest.approx(6.0, abs=0.2)
    for side in (64, 100, 256):
        assert floor_units(side) * side / 1000 == pytest.approx(6.0)
    assert floor_units(1000) == SMALLEST


def test_a_shifted_part_is_clearly_beyond_good_jitter() -> None:
    scene = good_scene(0)
    for draw in range(60):
        spoiled = spoil(scene, "shifted", np.random.default_rng(draw), side=384)
        moved = [(a.pose, b.pose) for a, b in zip(scene.placed, spoiled.placed, strict=True) if a != b]
        assert len(moved) == 1
        before, after = moved[0]
        far = np.hypot(after.x - before.x, after.y - before.y) >= 10.0 - 1e-9
        turned = abs(after.angle - before.angle) >= 9.0
        assert far or turned
    assert 10.0 > 2 * np.hypot(MAX_SHIFT, MAX_SHIFT)
    assert 9.0 > 2 * MAX_TURN


def test_missing_solder_bares_at_least_one_pad_and_leaves_the_rest() -> None:
    scene = good_scene(0)
    assert scene.amount_J.shape == joint_table(0)[0].shape
    assert scene.amount_J.min() >= 0.78
    for draw in range(20):
        amount = spoil(scene, "missing_solder", np.random.default_rng(draw), side=384).amount_J
        assert 1 <= (amount == 0).sum() <= 8
        assert np.array_equal(amount[amount > 0], scene.amount_J[amount > 0])


def test_a_missing_part_is_absent_and_a_tombstone_stands_on_one_end() -> None:
    scene = good_scene(4)
    missing = spoil(scene, "missing", np.random.default_rng(0), side=384)
    assert [p.present for p in missing.placed].count(False) == 1
    upright = [p.look.upright for p in spoil(scene, "tombstoned", np.random.default_rng(0), side=384).placed if p.look.upright]
    assert len(upright) == 1
    assert abs(upright[0]) == 1.0


def test_a_bridge_touches_two_pads() -> None:
    _, pad = joint_table(0)
    scene = good_scene(0)
    for draw in range(30):
        (outline,) = spoil(scene, "solder_bridge", np.random.default_rng(draw), side=384).bridges
        ends = outline[[0, 11]] / 2 + outline[[23, 12]] / 2  # the middles of its two ends
        for end in ends:
            nearest = np.abs(pad[:, :2] - end) - pad[:, 4:6].max(axis=1, keepdims=True) / 2
            assert (nearest.max(axis=1) <= 6.0).any()


def test_a_changed_scene_leaves_the_good_one_as_it_was() -> None:
    scene = good_scene(9)
    before = (scene.amount_J.copy(), scene.placed)
    for defect in DEFECTS:
        spoil(scene, defect, np.random.default_rng(1), side=384)
    assert np.array_equal(scene.amount_J, before[0])
    assert scene.placed == before[1]


def test_noise_is_what_separates_two_exposures_of_one_board() -> None:
    picture = render(good_scene(2), 128)
    first = develop(picture, noise(np.random.default_rng(1), 128)).astype(float)
    second = develop(picture, noise(np.random.default_rng(2), 128)).astype(float)
    # Read noise 1.1 and shot noise 0.11 * sqrt(level), and rounding: variances add, twice for a difference.
    level = picture[(picture > 20) & (picture < 235)].mean()
    expected = np.sqrt(2 * (1.1**2 + 0.11**2 * level + 1 / 12))
    inside = (picture > 20) & (picture < 235)
    assert (first - second)[inside].std() == pytest.approx(expected, rel=0.05)


def test_turning_off_the_jitter_of_one_part_changes_only_its_surroundings() -> None:
    scene = good_scene(7)
    placed = replace(scene.placed[0], pose=scene.placed[0].part.pose)
    other = replace(scene, placed=(placed, *scene.placed[1:]))
    rows, columns = np.nonzero(np.abs(render(scene, 384) - render(other, 384)).max(axis=-1) > TOLERANCE)
    assert len(rows) > 0
    assert 120 < columns.min() and columns.max() < 265 and 105 < rows.min() and rows.max() < 245
