"""Boards that were moved a known way: how well the way back is found, and what is refused."""

import re
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from tests.data.align_parts import FIDUCIAL, MARKS, corner_error, motion_of, photo, true_motion
from zeromiss.errors import ZeromissError
from zeromiss.images.align import Aligner, Motion, move_image, move_mask
from zeromiss.images.pcba.board import draw_board
from zeromiss.stage_params import AlignParams

SIDE = 192
REFERENCE = photo(1, SIDE, grain=9)


def aligner(**params):
    """An aligner over the board 1."""
    return Aligner(AlignParams.model_validate(params), REFERENCE)


# (x, y) shares of the side, degrees
WAYS = [(0.0, 0.0, 0.0), (0.07, -0.05, 4.5), (-0.063, 0.071, -4.2), (0.0113, 0.0234, 0.7), (0.0, 0.0, -4.9)]
NEAR = [(0.0, 0.0, 0.0), (0.021, -0.013, 1.5), (-0.0163, 0.0071, -1.2)]  # so that no mark leaves the picture


@pytest.mark.parametrize("way", WAYS)
def test_the_same_board_is_found_to_a_twentieth_of_a_pixel(way):
    """The picture as a whole, at the corners; 0.03 pixels at most were measured."""
    motion = motion_of(SIDE, *way)
    found = aligner(mode="reference").find(photo(1, SIDE, motion, grain=3))
    assert corner_error(found.matrix, motion, SIDE) < 0.05
    assert found.degrees == pytest.approx(way[2], abs=0.02)
    assert found.shift == pytest.approx(np.hypot(*way[:2]), abs=0.0005)
    assert found.correlation > 0.98


@pytest.mark.parametrize("number", range(4))
def test_another_board_is_found_to_half_a_pixel(number):
    """Its parts stand up to 3.5 thousandths elsewhere, its lamp too: what the two pictures share is found."""
    motion = motion_of(SIDE, *WAYS[number + 1])
    found = aligner(mode="reference").find(photo(20 + number, SIDE, motion, grain=number))
    assert corner_error(found.matrix, true_motion(20 + number, SIDE, motion), SIDE) < 0.5


def test_a_glaring_defect_drags_nothing_along():
    """A white bar over a twentieth of the picture: the board is found as if it weren't there."""
    motion = motion_of(SIDE, *WAYS[1])
    image = photo(21, SIDE, motion, grain=3)
    bar = np.zeros((SIDE, SIDE), dtype=np.float32)
    bar[70:100, 60:122] = 1.0
    image[:, cv2.warpAffine(bar, motion, (SIDE, SIDE)) > 0.5] = 1.0
    found = aligner(mode="reference").find(image)
    assert corner_error(found.matrix, true_motion(21, SIDE, motion), SIDE) < 0.3 and found.correlation > 0.75


@pytest.mark.parametrize("seed", [1, 21, 22])
@pytest.mark.parametrize("way", NEAR)
def test_boards_are_found_by_their_fiducials_to_a_fifth_of_a_pixel(way, seed):
    motion = motion_of(SIDE, *way)
    found = aligner(**FIDUCIAL).find(photo(seed, SIDE, motion, grain=4))
    assert corner_error(found.matrix, true_motion(seed, SIDE, motion), SIDE) < 0.2
    assert found.correlation > 0.85


@pytest.mark.parametrize("mode", [{"mode": "reference"}, FIDUCIAL])
def test_a_shift_alone_is_found(mode):
    motion = motion_of(SIDE, 0.021, -0.017, 0.0)
    found = aligner(**mode, motion="translation").find(photo(1, SIDE, motion, grain=4))
    assert corner_error(found.matrix, motion, SIDE) < 0.1
    assert np.array_equal(found.matrix[:, :2], np.eye(2)) and found.degrees == 0.0


@pytest.mark.parametrize("kind", ["solder_bridge", "missing"])
def test_a_defect_moves_with_its_mask(kind):
    """A defective board, moved by whole pixels: board and mask come back to the pixel, but for the edge that was lost."""
    board = draw_board(seed=31, side=SIDE, defect=kind)
    image_CHW = np.ascontiguousarray(board.image_HWC.transpose(2, 0, 1)).astype(np.float32) / 255
    mine = Aligner(AlignParams(mode="reference"), image_CHW)
    moved = np.roll(image_CHW, (7, -5), axis=(1, 2))
    motion = mine.find(moved)
    assert motion.matrix == pytest.approx(np.array([[1, 0, -5], [0, 1, 7]]), abs=0.02)
    back = move_image(moved, motion)
    inner = (slice(None), slice(9, -9), slice(9, -9))
    assert np.abs(back - image_CHW)[inner].max() < 0.05
    mask = move_mask(np.roll(board.mask_HW, (7, -5), axis=(0, 1)), motion)
    exact = Motion(matrix=np.array([[1.0, 0, -5], [0, 1, 7]]), correlation=1.0, shift=0.0, degrees=0.0)
    assert np.array_equal(move_mask(np.roll(board.mask_HW, (7, -5), axis=(0, 1)), exact)[9:-9, 9:-9], board.mask_HW[9:-9, 9:-9])
    assert (mask ^ board.mask_HW)[9:-9, 9:-9].sum() <= 2


@pytest.mark.parametrize("offset", [(0.5, 0.5), (0.25, 0.5), (0.37, 0.81)])
def test_a_single_marked_pixel_never_vanishes(offset):
    mask = np.zeros((40, 40), dtype=bool)
    mask[20, 13] = True
    for degrees in (0.0, 3.0, -20.0):
        matrix = motion_of(40, offset[0] / 40, offset[1] / 40, degrees)
        assert 1 <= move_mask(mask, Motion(matrix=matrix, correlation=1.0, shift=0.0, degrees=degrees)).sum() <= 6


def test_what_came_from_beyond_the_edge_continues_the_edge():
    ramp = np.tile(np.linspace(0, 1, 40, dtype=np.float32), (3, 40, 1))
    matrix = np.array([[1.0, 0, -6], [0, 1, 0]])  # the reference's column 6 is the image's column 0
    moved = move_image(ramp, Motion(matrix=matrix, correlation=1.0, shift=0.0, degrees=0.0))
    assert np.abs(moved[:, :, :6]).max() < 1e-6 and moved[0, 5, 6:] == pytest.approx(ramp[0, 5, :-6], abs=1e-6)
    assert moved.dtype == np.float32 and moved.min() >= 0.0 and moved.max() <= 1.0


def test_the_same_bits_alone_and_from_many_threads():
    mine = aligner(mode="reference")
    images = [photo(20 + n, SIDE, motion_of(SIDE, 0.02 * n, -0.01, n), grain=n) for n in range(3)]
    alone = [mine.align(image) for image in images]
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        with ThreadPoolExecutor(3) as pool:
            together = list(pool.map(mine.align, images))
    finally:
        cv2.setNumThreads(threads)
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_pictures_of_unequal_sides_turn_as_the_part_does():
    """A part photographed 3 x 2 and turned: squeezed to a square, the turn is none, unsqueezed it is."""
    wide = cv2.resize(photo(1, 288).transpose(1, 2, 0), (288, 192), interpolation=cv2.INTER_AREA)
    turn = cv2.getRotationMatrix2D((143.5, 95.5), -3.0, 1.0)
    turned = cv2.warpAffine(wide, turn, (288, 192), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    square, moved = (np.ascontiguousarray(cv2.resize(one, (192, 192), interpolation=cv2.INTER_AREA).transpose(2, 0, 1)) for one in (wide, turned))
    mine = Aligner(AlignParams(mode="reference"), square, aspect=1.5)
    found = mine.find(moved)
    assert found.degrees == pytest.approx(3.0, abs=0.05) and found.correlation > 0.98
    inner = (slice(None), slice(30, -30), slice(30, -30))
    assert np.abs(move_image(moved, found) - square)[inner].mean() < 0.02 < np.abs(moved - square)[inner].mean()


@pytest.mark.parametrize(
    ("way", "sentence"),
    [
        ((0.13, 0.0, 0.0), "it lies 13.0% of its side off the reference and align.max_shift allows 10.0%: place the part as usual"),
        ((0.0, 0.0, 6.0), "it is turned by 6.0 degrees against the reference and align.max_rotation allows 5: place the part as usual"),
    ],
)
def test_what_lies_beyond_a_limit_is_refused(way, sentence):
    with pytest.raises(ZeromissError, match=re.escape(sentence)):
        aligner(mode="reference").align(photo(1, SIDE, motion_of(SIDE, *way)), "it")


@pytest.mark.parametrize(
    "other",
    [np.rot90(REFERENCE, 2, axes=(1, 2)), np.random.default_rng(0).random((3, SIDE, SIDE), dtype=np.float32), REFERENCE[:, ::-1]],
    ids=["upside down", "noise", "mirrored"],
)
def test_what_is_not_the_part_is_refused(other):
    with pytest.raises(ZeromissError, match=r"a\.png (agrees with|could not be laid over) the reference.*: check that it shows this part, placed as usual, lit and in focus"):
        aligner(mode="reference").align(np.ascontiguousarray(other), "a.png")


@pytest.mark.parametrize("mode", [{"mode": "reference"}, FIDUCIAL])
@pytest.mark.parametrize("grey", [0.0, 0.4, 1.0])
def test_a_blank_picture_is_refused(grey, mode):
    with pytest.raises(ZeromissError, match=r"(a\.png (could not be laid over|agrees with) the reference|was not found in a\.png)"):
        aligner(**mode).align(np.full((3, SIDE, SIDE), grey, dtype=np.float32), "a.png")


def test_a_covered_mark_is_refused():
    image = photo(1, SIDE)
    x, y = (round(share * SIDE) for share in MARKS[1])
    image[:, y - 14 : y + 15, max(0, x - 14) : x + 15] = 0.3
    with pytest.raises(ZeromissError, match=r"mark 2 of align\.marks, at \(0\.938, 0\.16\), was not found in a\.png \(likeness -?0\.\d\d, align\.min_correlation asks for 0\.6\): check that"):
        aligner(**FIDUCIAL).align(image, "a.png")


def test_a_mark_that_left_the_picture_is_refused():
    with pytest.raises(ZeromissError, match=r"mark \d of align\.marks, at .*(was not found in|is cut off by the edge of) a\.png"):
        aligner(**FIDUCIAL).align(photo(1, SIDE, motion_of(SIDE, -0.07, 0.0, 0.0)), "a.png")


def test_a_mark_in_another_place_is_refused():
    """A turn where only a shift is allowed: the marks contradict each other."""
    with pytest.raises(ZeromissError, match=r"lies \d\.\d pixels off where the other marks of a\.png put it: .*align\.motion translation is how it moves"):
        aligner(**FIDUCIAL, motion="translation").align(photo(1, SIDE, motion_of(SIDE, 0.0, 0.0, 1.8)), "a.png")


def test_of_lookalikes_those_are_taken_that_fit_one_motion():
    """Three equal crosses, and near one of them a fourth that is clearer than it."""

    def crosses(*places):
        """Draw crosses, each with its strength."""
        image = np.full((SIDE, SIDE), 0.5, dtype=np.float32)
        for x, y, strength in places:
            image[y - 1 : y + 2, x - 6 : x + 7] += strength
            image[y - 6 : y - 1, x - 1 : x + 2] += strength
            image[y + 2 : y + 7, x - 1 : x + 2] += strength
        return np.repeat(image[None], 3, axis=0)

    marks = [(40, 40), (150, 40), (40, 150)]
    params = {"mode": "fiducial", "reference": "a", "marks": [((x + 0.5) / SIDE, (y + 0.5) / SIDE) for x, y in marks], "mark_side": 0.1}
    mine = Aligner(AlignParams.model_validate(params), crosses(*((x, y, 0.3) for x, y in marks)))
    image = crosses(*((x + 4, y + 3, 0.3) for x, y in marks), (150 - 13, 40 + 6, 0.3))
    image[:, 40 + 3, 150 + 4] += 0.1  # the right one is a little worn
    assert mine.find(image).matrix == pytest.approx(np.array([[1, 0, 4], [0, 1, 3]]), abs=0.02)


def test_marks_that_show_nothing_or_are_cut_off_are_refused_at_once():
    blank = np.full((3, SIDE, SIDE), 0.5, dtype=np.float32)
    params = AlignParams(mode="fiducial", reference="a", marks=((0.2, 0.2), (0.8, 0.8)))
    with pytest.raises(ZeromissError, match=r"mark 1 of align\.marks, at \(0\.2, 0\.2\), shows nothing in the reference: give the place of"):
        Aligner(params, blank)
    params = AlignParams(mode="fiducial", reference="a", marks=((0.5, 0.5), (0.01, 0.5)))
    with pytest.raises(ZeromissError, match=r"mark 2 of align\.marks, at \(0\.01, 0\.5\), is cut off by the reference's edge: move it, or lower"):
        Aligner(params, REFERENCE)
