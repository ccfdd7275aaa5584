"""The short proof that a PNG is whole says yes only where Pillow decodes it to the same facts."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from zeromiss.images.png import plain_png


def png(image: Image.Image, **options: object) -> bytes:
    """Return an image's PNG file."""
    handle = io.BytesIO()
    image.save(handle, format="PNG", **options)
    return handle.getvalue()


def noise(mode: str, width: int = 40, height: int = 33) -> Image.Image:
    """Draw noise."""
    channels = {"L": (), "RGB": (3,), "RGBA": (4,), "LA": (2,)}[mode]
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, *channels), dtype=np.uint8)
    return Image.fromarray(pixels)


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def grey(*, rows: bytes, width: int = 32, height: int = 32, depth: int = 8, colour: int = 0, tail: bytes = b"") -> bytes:
    """Return a PNG made by hand of unpacked rows."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows) + tail), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("options", [{}, {"compress_level": 0}, {"dpi": (300, 300)}, {"optimize": True}])
def test_a_plain_png_is_told_from_its_bytes(mode: str, options: dict[str, object]) -> None:
    assert plain_png(png(noise(mode), **options)) == (40, 33, mode)


def test_pixels_in_many_chunks_are_joined() -> None:
    data = png(noise("RGB", 300, 300))
    assert data.count(b"IDAT") > 1 and plain_png(data) == (300, 300, "RGB")


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_see_through_images_are_left_to_the_decoder(mode: str) -> None:
    assert plain_png(png(noise(mode))) is None


def test_what_could_change_the_picture_is_left_to_the_decoder() -> None:
    exif, text = Image.Exif(), PngImagePlugin.PngInfo()
    exif[0x0112] = 6
    text.add_text("a", "b")
    image = noise("L")
    for data in (
        png(image, exif=exif), png(image, pnginfo=text), png(image, transparency=3), png(image.convert("1")), png(image.convert("P")),
        png(Image.fromarray(np.zeros((40, 40), dtype=np.uint16))), png(noise("RGB"), icc_profile=b"x" * 20), b"", b"GIF89a" + bytes(60),
    ):  # fmt: skip
        assert plain_png(data) is None


def test_no_damaged_byte_is_passed() -> None:
    """Each byte changed in turn, and the file cut after each: what is passed is what Pillow reads, to the pixel."""
    image = noise("L", 32, 32)
    data = png(image)
    for place in range(len(data)):
        assert plain_png(data[:place]) is None
        damaged = bytearray(data)
        damaged[place] ^= 0x20
        assert plain_png(bytes(damaged)) is None
    assert plain_png(data + b"\0") is None


def test_rows_that_are_missing_or_too_many_are_not_passed() -> None:
    rows = bytes(33 * 32)
    assert plain_png(grey(rows=rows)) == (32, 32, "L")
    assert plain_png(grey(rows=rows[:-1])) is None
    assert plain_png(grey(rows=rows + b"\0")) is None
    assert plain_png(grey(rows=rows, tail=b"more")) is None
    assert plain_png(grey(rows=rows, width=0)) is None
    assert plain_png(grey(rows=rows, depth=4)) is None
    assert plain_png(grey(rows=rows, colour=3)) is None
    assert plain_png(grey(rows=b"\x05" + rows[1:])) is None  # no such filter
