"""The arithmetic under the boards: poses, shapes, strokes, light, against values worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest

from zeromiss.images.pcba.camera import _lobe, _normals, expose
from zeromiss.images.pcba.canvas import Canvas, Material, Pose, ellipse, rectangle, rounded
from zeromiss.images.pcba.font import text_strokes
from zeromiss.images.pcba.scene import Light

STILL = Light(azimuth=0.0, key=1.0, exposure=1.0, warmth=0.0, gradient=(0.0, 0.0), vignette=0.0, offset=(0.0, 0.0), grain=(0.0, 0.0), blur=0.5)


def test_a_pose_turns_clockwise_and_then_moves() -> None:
    placed = Pose(x=10.0, y=20.0, angle=90.0).place(np.array([[2.0, 0.0], [0.0, 3.0]]))
    assert placed == pytest.approx(np.array([[10.0, 22.0], [7.0, 20.0]]))


def test_a_filled_rectangle_covers_its_area_and_at_most_one_pixel_around_it() -> None:
    canvas = Canvas.blank(side=100, supersampling=2, margin=4)  # 0.2 pixels a unit
    canvas.fill([rectangle(500.0, 500.0, 200.0, 100.0)], Material(colour=(200, 0, 0), height=50))
    assert 40 * 20 <= canvas.albedo[..., 0].sum() / 200 <= 42 * 22
    rows, columns = np.nonzero(canvas.albedo[..., 0] > 100)
    assert (rows.min() + rows.max() + 1) / 2 == pytest.approx(104.0, abs=0.5)
    assert (columns.min() + columns.max() + 1) / 2 == pytest.approx(104.0, abs=0.5)
    assert canvas.relief[104, 104].tolist() == [50, 0, 0]
    assert canvas.albedo[:, :, 1:].max() == 0


def test_shapes_have_the_area_geometry_gives() -> None:
    def area(shape: np.ndarray) -> float:
        x, y = shape.T
        return abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2

    assert area(ellipse(1.0, 2.0, 3.0, 4.0, 360)) == pytest.approx(math.pi * 12.0, rel=1e-3)
    assert area(rounded(0.0, 0.0, 20.0, 10.0, 2.0)) == pytest.approx(200.0 - (4.0 - math.pi) * 4.0, rel=1e-2)


def test_text_has_the_height_asked_for_and_is_centred() -> None:
    points = np.concatenate(text_strokes("HH", height=12.0, at=(5.0, 1.0)))
    assert np.ptp(points[:, 1]) == pytest.approx(12.0)
    assert np.ptp(points[:, 0]) == pytest.approx(20.0)  # two glyphs of 8 and a gap of 4
    assert (points.max(axis=0) + points.min(axis=0)) / 2 == pytest.approx([5.0, 1.0])


def test_a_character_without_a_glyph_is_an_error() -> None:
    with pytest.raises(KeyError):
        text_strokes("a", height=1.0)


def test_normals_of_a_plane_and_of_a_ramp() -> None:
    flat = _normals(np.full((5, 5), 9.0, dtype=np.float32), np.float32(1.0))
    assert [float(n.max()) for n in flat] == [0.0, 0.0, 1.0]
    ramp = np.broadcast_to(np.arange(6, dtype=np.float32), (6, 6))  # rises by 1 a pixel: 45 degrees
    nx, ny, nz = _normals(ramp, np.float32(0.5))
    assert nx == pytest.approx(np.full((4, 4), -math.sqrt(0.5)), abs=1e-6)
    assert ny == pytest.approx(np.zeros((4, 4)))
    assert nz == pytest.approx(np.full((4, 4), math.sqrt(0.5)), abs=1e-6)


def test_a_lobe_is_a_clipped_cosine_to_a_power_of_two() -> None:
    normals = tuple(np.array([[v]], dtype=np.float32) for v in (0.6, 0.0, 0.8))
    assert float(_lobe(normals, (0.0, 0.0, 1.0), 2)[0, 0]) == pytest.approx(0.8**4)
    assert float(_lobe(normals, (-1.0, 0.0, 0.0), 0)[0, 0]) == 0.0


def test_exposure_warmth_gradient_and_vignette_on_an_even_grey() -> None:
    grey = np.full((136, 136, 3), 100, dtype=np.uint8)
    still = expose(grey, STILL, side=64, margin=4, supersampling=2)
    assert still == pytest.approx(np.full((64, 64, 3), still[0, 0, 0]))
    warm = expose(grey, replace(STILL, exposure=1.1, warmth=0.05), side=64, margin=4, supersampling=2)
    assert warm[32, 32] / still[32, 32] == pytest.approx([1.1 * 1.05, 1.1, 1.1 * 0.95], abs=2e-3)
    lit = expose(grey, replace(STILL, gradient=(0.1, 0.0), vignette=0.2), side=64, margin=4, supersampling=2)
    assert lit[32, 62, 1] / lit[32, 1, 1] == pytest.approx((1.1 - 0.1) / (0.9 - 0.1), abs=0.02)
    assert lit[32, 32, 1] / still[32, 32, 1] == pytest.approx(1.0, abs=0.01)


def test_a_sub_pixel_offset_moves_the_picture_by_that_much() -> None:
    ramp = np.zeros((136, 136, 3), dtype=np.uint8)
    ramp[:] = np.arange(136, dtype=np.uint8)[None, :, None]
    still = expose(ramp, STILL, side=64, margin=4, supersampling=2)
    moved = expose(ramp, replace(STILL, offset=(0.5, 0.0)), side=64, margin=4, supersampling=2)
    one_pixel = still[32, 33, 0] - still[32, 32, 0]
    assert moved[32, 32, 0] - still[32, 32, 0] == pytest.approx(0.5 * one_pixel, abs=0.02)
