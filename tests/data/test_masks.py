"""Masks read by colour and alpha; lossy, turned, empty and doubtful ones."""

import numpy as np
import pytest
from PIL import Image

from zeromiss.errors import ZeromissError
from zeromiss.images.masks import examine, load_mask, read_mask

TRUE = np.zeros((48, 64), dtype=bool)
TRUE[20:30, 30:44] = True  # 140 pixels
GREY = np.where(TRUE, 255, 0).astype(np.uint8)


def palette(white: int) -> Image.Image:
    """Return the mask as a palette image in which the number `white` stands for white and the other for black."""
    image = Image.fromarray(np.where(TRUE, white, 1 - white).astype(np.uint8), mode="P")
    image.putpalette([255, 255, 255, 0, 0, 0] if white == 0 else [0, 0, 0, 255, 255, 255])
    return image


def layers(colour, alpha) -> Image.Image:
    """Return an RGBA image of one colour inside the mark, and one outside, each with its alpha."""
    pixels = np.zeros((*TRUE.shape, 4), dtype=np.uint8)
    for place, inside in ((TRUE, 0), (~TRUE, 1)):
        pixels[place] = (*colour[inside], alpha[inside])
    return Image.fromarray(pixels)


WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (200, 0, 0)
EXACT = {
    "grey.png": Image.fromarray(GREY),
    "label 1.png": Image.fromarray(TRUE.astype(np.uint8)),
    "bits.png": Image.fromarray(GREY).convert("1"),
    "deep.png": Image.fromarray(TRUE.astype(np.uint16) * 300),
    "white first.png": palette(0),
    "black first.png": palette(1),
    "quantized.png": Image.fromarray(GREY).convert("RGB").quantize(2),
    "red.png": layers((RED, BLACK), (255, 255)).convert("RGB"),
    "white, ground clear.png": layers((RED, WHITE), (255, 0)),
    "all white, alpha marks.png": layers((WHITE, WHITE), (255, 0)),
    "alpha all there.png": layers((WHITE, BLACK), (255, 255)),
    "grey and alpha.png": layers((WHITE, WHITE), (255, 0)).convert("LA"),
}


@pytest.mark.parametrize("name", EXACT)
def test_a_mask_is_read_by_colour_and_alpha(tmp_path, name):
    EXACT[name].save(tmp_path / name)
    assert np.array_equal(read_mask(tmp_path / name), TRUE)
    assert np.array_equal(load_mask(tmp_path / name, (64, 48)), TRUE)


@pytest.mark.parametrize(("options", "name"), [({"compression": "tiff_lzw"}, "m.tif"), ({"compression": "tiff_adobe_deflate"}, "m.tif"), ({"lossless": True}, "m.webp")])
def test_what_loses_nothing_is_taken(tmp_path, options, name):
    Image.fromarray(GREY).save(tmp_path / name, **options)
    assert np.array_equal(read_mask(tmp_path / name), TRUE)


@pytest.mark.parametrize(
    ("kind", "options", "told"),
    [("JPEG", {}, "is a JPEG"), ("WEBP", {"quality": 80}, "is a lossy WebP"), ("TIFF", {"compression": "jpeg"}, "has the compression 7")],
)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_lossy_content_is_refused_whatever_the_suffix(tmp_path, kind, options, told, suffix):
    path = tmp_path / f"m{suffix}"
    Image.fromarray(GREY).save(path, format=kind, **options)
    with pytest.raises(ZeromissError) as caught:
        read_mask(path)
    assert str(caught.value).startswith(f"{path} {told}, ") and "save" in str(caught.value) and "PNG" in str(caught.value)


def saved(path, pixels, turn=1):
    """Write pixels as a PNG with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(pixels).save(path, **({"exif": exif} if turn != 1 else {}))
    return path


@pytest.mark.parametrize(
    ("turn", "own", "shape", "usable"),
    [
        (1, 1, (48, 64), True),
        (3, 3, (48, 64), True),
        (6, 6, (48, 64), True),
        (6, 1, (64, 48), True),  # drawn as a viewer shows the image: only one way round fits
        (6, 1, (48, 64), False),
        (3, 1, (48, 64), False),
        (1, 3, (48, 64), False),
        (6, 8, (48, 64), False),
    ],
)
def test_a_mask_of_a_turned_image_is_used_where_one_way_round_fits(tmp_path, turn, own, shape, usable):
    image = saved(tmp_path / "i.png", np.zeros((48, 64), np.uint8), turn)
    pixels = np.zeros(shape, np.uint8)
    pixels[20:30, 30:44] = 255
    found = examine(saved(tmp_path / "m.png", pixels, own), image=image)
    assert (found.problem == "") == usable, found
    assert usable or "EXIF orientation" in found.problem or "a mask needs its image's size, as a viewer shows it" in found.problem


def test_on_a_square_nothing_tells_which_way_round_a_mask_is(tmp_path):
    image, mask = saved(tmp_path / "i.png", np.zeros((40, 40), np.uint8), 6), saved(tmp_path / "m.png", np.eye(40, dtype=np.uint8))
    assert examine(mask, image=image).problem == (
        "has the EXIF orientation 1 and its image 6, so that nothing tells which way round the mask is: save both upright, without the tag"
    )


@pytest.mark.parametrize(
    ("marked", "problem", "doubt"),
    [
        (0, "marks no pixel: mark the defect or remove the mask", ""),
        (3, "", "marks 3 of 400 pixels: is it a slip of the hand?"),
        (4, "", ""),
        (319, "", ""),
        (320, "", "marks 80.0% of the image: is it inverted?"),
        (400, "", "marks 100.0% of the image: is it inverted?"),
    ],
)
def test_a_mask_of_nearly_all_or_nothing_is_told(tmp_path, marked, problem, doubt):
    pixels = np.zeros(400, np.uint8)
    pixels[:marked] = 255
    mask = saved(tmp_path / "m.png", pixels.reshape(20, 20))
    assert examine(mask, image=mask, shape=(20, 20)) == (problem, doubt)


def test_when_shrinking_no_marked_pixel_vanishes(tmp_path):
    pixels = np.zeros((120, 120), dtype=np.uint8)
    pixels[31, 64] = 1
    Image.fromarray(pixels).save(tmp_path / "m.png")
    assert np.argwhere(load_mask(tmp_path / "m.png", 40)).tolist() == [[10, 21]]
