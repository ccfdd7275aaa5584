"""The overlay's geometry: where panels and frames lie, to the pixel."""

import numpy as np
import pytest
from PIL import Image

from tests.inspection_parts import SIZE, grey_file, mean_inspector
from zeromiss.images.enlarge import enlarge
from zeromiss.inspection.overlay import (
    CAPTION,
    GAP,
    GREEN,
    HEADER,
    RED,
    apart,
    colour_difference,
    draw_overlay,
    draw_panels,
    draw_patches,
    panel_side,
    to_pixels,
    write_overlay,
)
from zeromiss.inspection.verdict import Patch

TOP = HEADER + CAPTION


@pytest.fixture
def examination(tmp_path):
    """A grey part of value 102 / 255 = 0.4, judged with the threshold 0.25."""
    return mean_inspector(threshold=0.25).examine(grey_file(tmp_path / "part.png", 102))


@pytest.mark.parametrize(("size", "side"), [(32, 480), (64, 512), (256, 512), (300, 600), (480, 480), (600, 600), (1024, 768)])
def test_the_side_of_a_panel(size, side):
    assert panel_side(size) == side


def test_four_panels_lie_side_by_side_under_the_header(examination):
    picture = draw_overlay(examination, boxes=2)
    assert picture.shape == (TOP + 480 + GAP, GAP + 4 * (480 + GAP), 3)
    middle = TOP + 400
    first, second, third = (GAP + index * (480 + GAP) + 400 for index in range(3))
    assert picture[middle, first].tolist() == [102, 102, 102]  # original
    assert picture[middle, second].tolist() == [0, 0, 0]  # reconstruction
    np.testing.assert_array_equal(picture[middle, third], colour_difference(np.full((1, 1), 0.4, dtype=np.float32))[0, 0])
    assert picture[middle, GAP + 480 + GAP // 2].tolist() == [255, 255, 255]  # between panels


@pytest.mark.parametrize(("value", "colour"), [(102, RED), (10, GREEN)])
def test_the_head_has_the_colour_of_the_verdict(tmp_path, value, colour):
    picture = draw_overlay(mean_inspector(0.25).examine(grey_file(tmp_path / "part.png", value)), boxes=2)
    assert tuple(picture[2, 1000]) == colour


def test_a_frame_lies_around_its_patch():
    ground = np.full((96, 96, 3), 50, dtype=np.uint8)
    drawn = draw_patches(ground, (Patch(x=8, y=4, size=6, distance=1.0),), scale=3.0)
    changed = np.argwhere((drawn != 50).any(axis=2))
    # the patch covers columns 24..41 and rows 12..29; the frame is 2 pixels and a dark rim of 1 outside it
    assert changed.min(axis=0).tolist() == [12 - 3, 24 - 3]
    assert changed.max(axis=0).tolist() == [29 + 3, 41 + 3]
    np.testing.assert_array_equal(drawn[12:30, 24:42], ground[12:30, 24:42])
    assert drawn[11, 30].tolist() == drawn[10, 30].tolist() == [255, 32, 32]
    assert drawn[9, 30].tolist() == [0, 0, 0]


def test_the_most_distant_patch_is_drawn_on_top():
    ground = np.zeros((64, 64, 3), dtype=np.uint8)
    both = tuple(Patch(x=20, y=20, size=8, distance=distance) for distance in (2.0, 1.0))
    assert draw_patches(ground, both, scale=1.0)[19, 22].tolist() == [255, 32, 32]


def test_patches_that_lie_on_a_more_distant_one_are_not_drawn():
    near, far, other = Patch(x=0, y=0, size=8, distance=1.0), Patch(x=1, y=1, size=8, distance=3.0), Patch(x=40, y=40, size=8, distance=2.0)
    touching = Patch(x=9, y=1, size=8, distance=0.5)
    assert apart((far, other, near, touching), 25) == (far, other, touching)
    assert apart((far, other, near, touching), 2) == (far, other) and apart((), 3) == ()


def test_only_so_many_boxes_are_drawn(examination):
    one, two = (draw_panels(examination, boxes=count)["patches"] for count in (1, 2))
    second = one[60:180, 0:130] != two[60:180, 0:130]  # patch (0, 4, 8) times 15
    assert second.any()
    assert (draw_panels(examination, boxes=1)["patches"][0:50, 0:100] == 102).all()


def test_the_difference_is_dark_where_equal_and_bright_at_its_peak():
    coloured = colour_difference(np.array([[0.0, 0.5]], dtype=np.float32))
    assert coloured[0, 0].max() <= 4
    assert coloured[0, 1].min() >= 150
    small = colour_difference(np.array([[0.0, 0.01]], dtype=np.float32))  # a tenth of the smallest full scale
    assert small[0, 1].max() < 60


def test_pixels_of_an_image_are_rounded():
    image = np.array([0.0, 0.5, 1.0], dtype=np.float32).reshape(3, 1, 1)
    np.testing.assert_array_equal(to_pixels(image), [[[0, 128, 255]]])


def test_enlarging_keeps_a_flat_picture():
    np.testing.assert_array_equal(enlarge(np.full((8, 8, 3), 7, dtype=np.uint8), 24), np.full((24, 24, 3), 7))
    assert enlarge(np.zeros((800, 800, 3), dtype=np.uint8), 768).shape == (768, 768, 3)


def test_the_file_is_a_png_of_the_same_pixels(examination, tmp_path):
    write_overlay(tmp_path / "deep" / "o.png", examination, boxes=2)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "deep" / "o.png")), draw_overlay(examination, boxes=2))
    assert examination.image_CHW.shape == (3, SIZE, SIZE)
