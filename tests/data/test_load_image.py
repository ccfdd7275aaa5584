"""What is read from an image file, pixel by pixel, and what is refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from zeromiss.errors import ZeromissError
from zeromiss.images.load import REDUCED_MEAN, REDUCED_MOVES, load_image, load_mask, open_image, read_mask


def test_an_image_of_the_right_size_keeps_its_exact_values(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    loaded = load_image(tmp_path / "a.png", 64)
    assert loaded.dtype == np.float32 and loaded.shape == (3, 64, 64)
    assert np.array_equal(loaded, pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(255))


def test_channels_come_in_the_order_red_green_blue(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), (255, 102, 0)).save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png", 40)[:, 0, 0].tolist() == pytest.approx([1.0, 0.4, 0.0])


def test_shrinking_averages_areas(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64), dtype=np.uint8)
    pixels[0, 0], pixels[0, 1], pixels[1, 0] = 255, 51, 102  # one block of 2 x 2: (255 + 51 + 102 + 0) / 4 / 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    loaded = load_image(tmp_path / "a.png", 32)
    assert loaded[0, 0, 0] == pytest.approx(0.4, abs=1e-6)
    assert loaded[0].sum() == pytest.approx(0.4, abs=1e-6)


def test_shrinking_agrees_with_a_box_filter_of_another_library(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (96, 128), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    reference = Image.fromarray(pixels.astype(np.float32)).resize((32, 32), Image.Resampling.BOX)
    assert np.abs(load_image(tmp_path / "a.png", 32)[0] - np.asarray(reference) / 255).max() < 1e-5


def test_enlarging_overshoots_nowhere(tmp_path: Path) -> None:
    pixels = np.zeros((32, 32), dtype=np.uint8)
    pixels[:, 16:] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    loaded = load_image(tmp_path / "a.png", 128)
    assert loaded.min() == 0.0 and loaded.max() == 1.0
    assert loaded[0, 60, 10] == 0.0 and loaded[0, 60, 120] == 1.0


def test_a_wide_image_is_shrunk_on_one_axis_and_enlarged_on_the_other(tmp_path: Path) -> None:
    pixels = np.tile(np.array([0, 100], dtype=np.uint8), (32, 64))  # 128 wide: pairs average to 50
    Image.fromarray(pixels).save(tmp_path / "a.png")
    loaded = load_image(tmp_path / "a.png", 64)
    assert loaded.shape == (3, 64, 64)
    assert np.allclose(loaded, 50 / 255, atol=1e-5)


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (50, 50), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    loaded = load_image(tmp_path / "a.png", 37)
    assert np.array_equal(loaded[0], loaded[1]) and np.array_equal(loaded[0], loaded[2])


def test_the_exif_orientation_is_applied(tmp_path: Path) -> None:
    pixels = np.zeros((40, 80, 3), dtype=np.uint8)
    pixels[:, :8] = 255  # white at the left; orientation 6 shows it on top
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    image, mode = open_image(tmp_path / "a.png")
    assert (image.size, mode) == ((40, 80), "RGB")
    loaded = load_image(tmp_path / "a.png", 40)
    assert loaded[:, :3].min() == 1.0 and loaded[:, 6:].max() == 0.0


def test_an_opaque_alpha_channel_is_dropped(tmp_path: Path) -> None:
    Image.new("RGBA", (40, 40), (51, 102, 153, 255)).save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png", 40)[:, 5, 5].tolist() == pytest.approx([0.2, 0.4, 0.6])


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "tif", "webp"])
@pytest.mark.parametrize("kept", [0.3, 0.9, -4])
def test_a_truncated_file_is_refused(tmp_path: Path, ending: str, kept: float) -> None:
    path = tmp_path / f"a.{ending}"
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)] if kept > 0 else data[: int(kept)])
    with pytest.raises(ZeromissError, match="damaged or truncated|is not an image that can be read"):
        load_image(path, 32)


def test_a_jpeg_whose_end_became_zeros_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(np.random.default_rng(4).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    with pytest.raises(ZeromissError) as caught:
        load_image(path, 32)
    assert str(caught.value) == (
        f"{path} is damaged or truncated (its end marker is missing): replace or remove it"
    )


def test_one_flipped_bit_in_a_png_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(5).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ZeromissError, match="is damaged or truncated"):
        load_image(path, 32)


@pytest.mark.parametrize(
    ("channels", "ending", "mode"),
    [
        (1, "png", "I;16"),
        (3, "png", "RGB 16-bit"),
        (4, "png", "RGBA 16-bit"),
        (1, "tif", "I;16"),
        (3, "tif", "RGB 16-bit"),
    ],
)
def test_sixteen_bits_are_refused(tmp_path: Path, channels: int, ending: str, mode: str) -> None:
    path = tmp_path / f"a.{ending}"
    pixels = np.full((40, 40, channels), 40_000, dtype=np.uint16)
    assert cv2.imwrite(str(path), pixels.squeeze())
    with pytest.raises(ZeromissError) as caught:
        load_image(path, 40)
    assert str(caught.value) == f"{path} has the mode {mode}: save it as 8-bit grey or RGB"


def test_cmyk_is_refused(tmp_path: Path) -> None:
    Image.new("CMYK", (40, 40)).save(tmp_path / "a.jpg")
    with pytest.raises(ZeromissError) as caught:
        load_image(tmp_path / "a.jpg", 40)
    assert str(caught.value) == f"{tmp_path / 'a.jpg'} has the mode CMYK: save it as 8-bit grey or RGB"


def test_a_see_through_pixel_is_refused(tmp_path: Path) -> None:
    image = Image.new("RGBA", (40, 40), (1, 2, 3, 255))
    image.putpixel((3, 3), (1, 2, 3, 254))
    image.save(tmp_path / "a.png")
    with pytest.raises(ZeromissError, match="is see-through in places: save it without an alpha channel"):
        load_image(tmp_path / "a.png", 40)


def test_a_side_below_32_pixels_is_refused(tmp_path: Path) -> None:
    Image.new("L", (31, 50)).save(tmp_path / "a.png")
    Image.new("L", (32, 50)).save(tmp_path / "b.png")
    with pytest.raises(ZeromissError, match=r"a\.png is 31 x 50 pixels: the smallest side that can be judged is 32"):
        load_image(tmp_path / "a.png", 40)
    assert load_image(tmp_path / "b.png", 40).shape == (3, 40, 40)


def test_several_pictures_in_one_file_are_refused(tmp_path: Path) -> None:
    page = Image.new("L", (40, 40))
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page, page])
    with pytest.raises(ZeromissError, match="holds 3 pictures: save each as its own file"):
        load_image(tmp_path / "a.tif", 40)


def test_missing_text_and_empty_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(ZeromissError, match="missing.png is missing: put the file back"):
        load_image(tmp_path / "missing.png", 40)
    for name in ("text.png", "empty.png"):
        with pytest.raises(ZeromissError, match=f"{name} is not an image that can be read"):
            load_image(tmp_path / name, 40)


def test_a_mask_is_true_wherever_it_is_not_zero(tmp_path: Path) -> None:
    pixels = np.zeros((40, 40), dtype=np.uint8)
    pixels[3, 4], pixels[5, 6] = 1, 255
    Image.fromarray(pixels).save(tmp_path / "m.png")
    assert np.argwhere(load_mask(tmp_path / "m.png", 40)).tolist() == [[3, 4], [5, 6]]


def test_a_marked_pixel_survives_shrinking(tmp_path: Path) -> None:
    pixels = np.zeros((400, 400), dtype=np.uint8)
    pixels[105, 211] = 255  # cells of 10 x 10: row 10, column 21
    Image.fromarray(pixels).save(tmp_path / "m.png")
    assert np.argwhere(load_mask(tmp_path / "m.png", 40)).tolist() == [[10, 21]]


def test_a_mask_is_enlarged_by_repeating_pixels(tmp_path: Path) -> None:
    pixels = np.zeros((20, 20), dtype=np.uint8)
    pixels[2, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "m.png")
    assert np.argwhere(load_mask(tmp_path / "m.png", 40)).tolist() == [[4, 6], [4, 7], [5, 6], [5, 7]]


def test_a_jpeg_mask_is_refused(tmp_path: Path) -> None:
    Image.new("L", (40, 40)).save(tmp_path / "m.jpg")
    with pytest.raises(ZeromissError, match="is a JPEG, whose values around an edge are not exact"):
        read_mask(tmp_path / "m.jpg")


def edges(height: int, width: int) -> np.ndarray:
    """Draw what is hard for a decoder that shrinks: grain, hard edges, fine lines, uint8."""
    rng = np.random.default_rng(0)
    row, column = np.mgrid[:height, :width].astype(np.float32)
    pixels = 120 + 40 * np.sin(column / 90) * np.cos(row / 70) + rng.normal(0, 20, (height, width)).astype(np.float32)
    pixels[height // 4 : height // 4 + 40] = 30
    cv2.circle(pixels, (width // 2, height // 2), 25, 250, -1)
    cv2.line(pixels, (10, 10), (width - 10, height - 90), 0, 3)
    return np.clip(pixels, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("size", "factor"), [(64, 8), (128, 4), (256, 2)])
def test_a_reduced_jpeg_moves_no_value_by_more_than_is_stated(tmp_path: Path, size: int, factor: int) -> None:
    Image.fromarray(edges(1085, 1125)).save(tmp_path / "a.jpg", quality=90)
    assert open_image(tmp_path / "a.jpg", least=2 * size)[0].size == (-(-1125 // factor), -(-1085 // factor))
    whole, reduced = (load_image(tmp_path / "a.jpg", size, reduced=reduced) for reduced in (False, True))
    moved = np.abs(reduced - whole)
    assert 0 < moved.max() <= REDUCED_MOVES and moved.mean() <= REDUCED_MEAN
    assert abs((reduced - whole).mean()) < REDUCED_MEAN / 10


@pytest.mark.parametrize(("ending", "size"), [("jpg", 300), ("png", 64), ("bmp", 64)])
def test_what_is_not_four_times_too_large_or_no_jpeg_is_read_whole(tmp_path: Path, ending: str, size: int) -> None:
    Image.fromarray(edges(1085, 1125)).save(tmp_path / f"a.{ending}")
    assert np.array_equal(load_image(tmp_path / f"a.{ending}", size, reduced=True), load_image(tmp_path / f"a.{ending}", size))


def test_a_reduced_jpeg_is_upright_and_refused_when_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[274] = 6  # to be turned clockwise
    Image.fromarray(edges(800, 1200)).save(path, exif=exif)
    assert open_image(path, least=100)[0].size == (100, 150)
    assert np.abs(load_image(path, 50, reduced=True) - load_image(path, 50)).mean() < REDUCED_MEAN
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(ZeromissError, match="is damaged or truncated"):
        load_image(path, 50, reduced=True)


def test_a_narrow_jpeg_keeps_its_smallest_side(tmp_path: Path) -> None:
    Image.new("L", (3000, 40), 100).save(tmp_path / "a.jpg")
    Image.new("L", (3000, 31), 100).save(tmp_path / "b.jpg")
    assert load_image(tmp_path / "a.jpg", 64, reduced=True).mean() == pytest.approx(100 / 255, abs=1e-3)
    with pytest.raises(ZeromissError, match="3000 x 31 pixels"):
        load_image(tmp_path / "b.jpg", 64, reduced=True)
