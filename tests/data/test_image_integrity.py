"""Pictures whose pixels are not all in the file, or whose file holds more than is looked at: each kind is refused by name, sound ones are read exactly."""

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from zeromiss.images.load import UnreadableImage, file_size, load_picture, open_image


def drawn(height: int = 64, width: int = 80, *, seed: int = 0) -> np.ndarray:
    """Return a picture of soft blobs and grain, uint8 RGB."""
    random = np.random.default_rng(seed)
    soft = cv2.GaussianBlur(random.normal(0, 1, (height, width, 3)), (0, 0), 4)
    return np.clip(120 + 50 * soft / soft.std() + random.normal(0, 3, soft.shape), 0, 255).astype(np.uint8)


def encoded(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    """Return a picture as a file's bytes."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def refusal(folder: Path, data: bytes, name: str = "part.png") -> str:
    """Return the sentence that a file is refused with, without its path."""
    path = folder / name
    path.write_bytes(data)
    with pytest.raises(UnreadableImage) as caught:
        open_image(path)
    return str(caught.value).removeprefix(f"{path} ")


def png(rows: bytes, width: int, height: int, *, depth: int = 8, colour: int = 2, interlace: int = 0, extra: bytes = b"", after: bytes = b"") -> bytes:
    """Return a PNG whose checksums are right, whatever its rows are."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"") + after


@pytest.mark.parametrize(("colour", "depth", "row"), [(0, 1, 8), (0, 8, 60), (2, 8, 180), (4, 8, 120), (6, 8, 240), (0, 16, 120), (2, 16, 360)])
def test_a_png_with_too_few_rows_is_refused_and_a_whole_one_read(tmp_path: Path, colour: int, depth: int, row: int) -> None:
    one = bytes(1) + bytes([200]) * row
    whole = png(one * 40, 60, 40, depth=depth, colour=colour)
    (tmp_path / "whole.png").write_bytes(whole)
    assert open_image(tmp_path / "whole.png")[0].size == (60, 40)
    needed = 40 * (row + 1)
    for rows in (one * 39, one * 39 + one[:-1], one * 41):
        expected = f"damaged or truncated (its pixels are {len(rows)} bytes instead of {needed})"
        assert expected in refusal(tmp_path, png(rows, 60, 40, depth=depth, colour=colour))


def adam7(pixels: np.ndarray) -> bytes:
    """Return the rows of an interlaced PNG."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    return b"".join(bytes(1) + row.tobytes() for x, y, across, down in passes for row in pixels[y::down, x::across] if row.size)


def test_an_interlaced_png_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    pixels = drawn(37, 45)
    (tmp_path / "whole.png").write_bytes(png(adam7(pixels), 45, 37, interlace=1))
    assert np.array_equal(load_picture(tmp_path / "whole.png"), pixels.astype(np.float32) / np.float32(255))
    assert "its pixels are" in refusal(tmp_path, png(adam7(pixels)[: -1 - 45 * 3], 45, 37, interlace=1))


def test_a_palette_that_lacks_a_colour_is_refused(tmp_path: Path) -> None:
    palette = b"PLTE" + bytes(range(9))
    chunk = struct.pack(">I", 9) + palette + struct.pack(">I", zlib.crc32(palette))
    rows = (bytes(1) + bytes([0, 1, 2] * 20)) * 40
    (tmp_path / "whole.png").write_bytes(png(rows, 60, 40, colour=3, extra=chunk))
    assert open_image(tmp_path / "whole.png")[1] == "P"
    assert "a colour is missing from its palette" in refusal(tmp_path, png(rows.replace(b"\x02", b"\x03"), 60, 40, colour=3, extra=chunk))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_jpeg_that_ends_early_is_refused_in_spite_of_an_end_marker(tmp_path: Path, progressive: bool, share: float) -> None:
    data = encoded(drawn(240, 320), "JPEG", progressive=progressive)
    assert "is damaged or truncated" in refusal(tmp_path, data[: int(share * len(data))] + b"\xff\xd9")


def test_a_progressive_jpeg_without_its_last_scans_is_refused(tmp_path: Path) -> None:
    """Each cut lies between two scans, so a decoder has nothing to warn of: it shows a coarser picture."""
    data = encoded(drawn(240, 320), "JPEG", progressive=True)
    starts = [place for place in range(len(data) - 1) if data[place : place + 2] == b"\xff\xda"]
    assert len(starts) > 5
    for start in starts[1:]:
        head = data.rfind(b"\xff\xc4", 0, start)  # each scan's tables come before it
        between = head if head > starts[starts.index(start) - 1] else start
        assert "scans are missing" in refusal(tmp_path, data[:between] + b"\xff\xd9")


@pytest.mark.parametrize("optimize", [False, True])
def test_zeroed_pixels_in_the_middle_of_a_jpeg_are_refused(tmp_path: Path, optimize: bool) -> None:
    data = encoded(drawn(240, 320), "JPEG", quality=90, optimize=optimize)
    random = np.random.default_rng(1)
    for length in (100, 300, 1000, 3000):
        for start in random.integers(700, len(data) - length - 2, 5):
            assert "is damaged or truncated" in refusal(tmp_path, data[:start] + bytes(length) + data[start + length :])


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}, {"subsampling": 0, "quality": 100}, {"restart_marker_blocks": 3}])
def test_flat_and_grained_jpegs_are_read_as_the_decoder_reads_them(tmp_path: Path, value: int, options: dict[str, object]) -> None:
    for pixels in (np.full((300, 400, 3), value, np.uint8), np.full((300, 400), value, np.uint8), drawn(100, 140, seed=value)):
        data = encoded(pixels, "JPEG", **options)
        (tmp_path / "part.jpg").write_bytes(data)
        with Image.open(io.BytesIO(data)) as expected:
            assert np.array_equal(np.asarray(open_image(tmp_path / "part.jpg")[0]), np.asarray(expected))


def test_pictures_behind_the_first_are_refused(tmp_path: Path) -> None:
    left, right = Image.fromarray(drawn(seed=1)), Image.fromarray(drawn(seed=2))
    stereo = io.BytesIO()
    left.save(stereo, "MPO", save_all=True, append_images=[right])
    assert refusal(tmp_path, stereo.getvalue(), "part.jpg") == "holds 2 pictures: save each as its own file"
    further = "holds a further picture behind the first: save each as its own file"
    for kind in ("JPEG", "PNG"):
        data = encoded(drawn(), kind)
        assert refusal(tmp_path, data + data) == further
        (tmp_path / "noted.png").write_bytes(data + b"a camera's own notes")
        assert open_image(tmp_path / "noted.png")[0].size == (80, 64)
    animated = io.BytesIO()
    left.save(animated, "PNG", save_all=True, append_images=[right])
    assert "save each picture as its own file" in refusal(tmp_path, animated.getvalue())
    animated = io.BytesIO()
    left.save(animated, "WEBP", save_all=True, append_images=[right])
    assert "holds 2 pictures" in refusal(tmp_path, animated.getvalue())


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    """Return a TIFF."""
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, metadata=None, **{"photometric": "rgb" if pixels.ndim == 3 else "minisblack"} | options)
    return file.getvalue()


def with_tag(data: bytes, tag: int, value: int) -> bytes:
    """Return a TIFF whose first directory says another number for a tag that it has."""
    (place,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, place)
    for entry in range(place + 2, place + 2 + 12 * count, 12):
        found, kind, _, _ = struct.unpack_from("<HHII", data, entry)
        if found == tag:
            return data[: entry + 8] + struct.pack("<H2x" if kind == 3 else "<I", value) + data[entry + 12 :]
    raise AssertionError(f"the file has no tag {tag}")


@pytest.mark.parametrize("options", [{}, {"rowsperstrip": 7}, {"tile": (32, 48)}, {"compression": "lzw"}, {"compression": "zlib", "predictor": True}, {"compression": "packbits"}])
def test_tiffs_are_read_exactly(tmp_path: Path, options: dict[str, object]) -> None:
    for pixels in (drawn(), drawn()[..., 0]):
        (tmp_path / "part.tif").write_bytes(tiff(pixels, **options))
        assert np.array_equal(np.asarray(open_image(tmp_path / "part.tif")[0]), pixels)


def test_a_tiff_with_fewer_strips_or_tiles_than_rows_is_refused(tmp_path: Path) -> None:
    """The file is one of 40 rows whose directory is made to say 64."""
    assert "it lists 1 of 2 strips" in refusal(tmp_path, with_tag(tiff(drawn(40), rowsperstrip=40), 257, 64))
    assert "it lists 4 of 8 tiles" in refusal(tmp_path, with_tag(tiff(drawn(32, 64), tile=(16, 32)), 257, 64))
    assert "one of its strips is cut" in refusal(tmp_path, with_tag(with_tag(tiff(drawn(40)), 257, 64), 278, 64))


@pytest.mark.parametrize("compression", ["lzw", "zlib", "packbits"])
def test_a_packed_strip_that_ends_early_is_refused(tmp_path: Path, compression: str) -> None:
    data = tiff(drawn(40), compression=compression)
    assert "is damaged or truncated" in refusal(tmp_path, with_tag(with_tag(data, 257, 64), 278, 64))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        length = file.pages[0].databytecounts[0]
    assert "is damaged or truncated" in refusal(tmp_path, with_tag(data, 279, length // 2))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (lambda: tiff(drawn()[..., 0].astype(np.int8)), "has signed or floating-point samples (SampleFormat 2)"),
        (lambda: tiff(drawn()[..., 0].astype(np.float32)), "has signed or floating-point samples (SampleFormat 3)"),
        (lambda: tiff(np.dstack((drawn(), drawn()[..., :1])), extrasamples=["unspecified"]), "has 4 samples a pixel, of which 3 are looked at"),
        (lambda: tiff(drawn()[..., :2], photometric="minisblack", planarconfig="contig"), "has 2 samples a pixel, of which 1 are looked at"),
        (lambda: tiff(np.moveaxis(drawn().astype(np.uint16) * 257, 2, 0), planarconfig="separate"), "has its channels apart (PlanarConfiguration 2)"),
        (lambda: tiff(drawn()[..., 0].astype(np.uint32)), "has 32 bits a sample"),
        (lambda: tiff(drawn(), subfiletype=1), "is a raw file or holds a preview alone"),
        (lambda: tiff(drawn(), photometric="rgb", compression="jpeg"), "has the photometric interpretation 6|has the compression 7"),
    ],
)
def test_samples_that_are_no_plain_grey_or_rgb_are_refused(tmp_path: Path, data, sentence: str) -> None:  # noqa: ANN001
    found = refusal(tmp_path, data())
    assert any(found.startswith(one) for one in sentence.split("|")) and "save it as 8-bit grey or RGB" in found


def test_tiffs_with_further_directories_are_refused(tmp_path: Path) -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(drawn(), photometric="rgb", subifds=1, metadata=None)
        writer.write(drawn(32, 40), photometric="rgb", metadata=None)
    assert "holds further pictures in sub-directories" in refusal(tmp_path, file.getvalue())


def test_bitmaps_are_whole_unpacked_and_without_a_channel_that_is_dropped(tmp_path: Path) -> None:
    data = encoded(drawn(), "BMP")
    assert "is damaged or truncated" in refusal(tmp_path, data[:-1])
    wide = np.dstack((drawn()[..., ::-1], np.full((64, 80), 255, np.uint8)))
    assert cv2.imwrite(str(tmp_path / "wide.bmp"), wide)
    sound = (tmp_path / "wide.bmp").read_bytes()
    start, bits = struct.unpack_from("<I", sound, 10)[0], struct.unpack_from("<H", sound, 28)[0]
    assert bits == 32
    plain = sound[:14] + struct.pack("<IiiHHIIiiII", 40, 80, 64, 1, 32, 0, 0, 0, 0, 0, 0) + sound[start:]
    plain = plain[:10] + struct.pack("<I", 54) + plain[14:]
    (tmp_path / "plain.bmp").write_bytes(plain)
    assert np.array_equal(np.asarray(open_image(tmp_path / "plain.bmp")[0]), drawn())
    assert "has a fourth channel, which would be dropped" in refusal(tmp_path, plain[:57] + b"\x07" + plain[58:], "part.bmp")
    packed = plain[:30] + struct.pack("<I", 1) + plain[34:]
    assert "is damaged or truncated" in refusal(tmp_path, packed) or "has the compression 1" in refusal(tmp_path, packed)


@pytest.mark.parametrize("lossless", [False, True])
def test_a_webp_that_ends_early_is_refused_though_its_lengths_agree(tmp_path: Path, lossless: bool) -> None:
    data = encoded(drawn(120, 160), "WEBP", lossless=lossless)
    for share in (0.3, 0.6, 0.9):
        body = data[20 : 20 + 2 * int(share * (len(data) - 20) / 2)]
        cut = b"RIFF" + struct.pack("<I", len(body) + 12) + data[8:16] + struct.pack("<I", len(body)) + body
        assert "is damaged or truncated" in refusal(tmp_path, cut) or "not an image" in refusal(tmp_path, cut)
    assert "is damaged or truncated" in refusal(tmp_path, data[:-2]) or "not an image" in refusal(tmp_path, data[:-2])


def test_odd_tags_end_in_a_sentence_that_names_the_file(tmp_path: Path) -> None:
    """An orientation that is no number, and directories that end in the middle of an entry."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(drawn(), "JPEG", exif=exif)
    place = data.find(b"Exif\x00\x00") + 6
    texts = []
    for kind in range(1, 16):
        at = data.find(struct.pack(">H" if data[place : place + 2] == b"MM" else "<H", 0x0112), place)
        odd = data[: at + 2] + struct.pack(">H" if data[place : place + 2] == b"MM" else "<H", kind) + data[at + 4 :]
        path = tmp_path / f"kind{kind}.jpg"
        path.write_bytes(odd)
        for read in (open_image, file_size):
            try:
                read(path)
            except UnreadableImage as error:
                texts.append(str(error))
    assert all(str(tmp_path) in text for text in texts)
    base = tiff(drawn())
    (directory,) = struct.unpack_from("<I", base, 4)
    (count,) = struct.unpack_from("<H", base, directory)
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        for kind in (0, 2, 7, 12, 13):
            (tmp_path / "odd.tif").write_bytes(base[: entry + 2] + struct.pack("<H", kind) + base[entry + 4 :])
            for read in (open_image, file_size):
                try:
                    read(tmp_path / "odd.tif")
                except UnreadableImage as error:
                    assert str(error).startswith(str(tmp_path / "odd.tif"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP"])
def test_changed_bytes_give_the_same_pixels_or_a_sentence(tmp_path: Path, kind: str) -> None:
    """200 files with a changed, a lost and a doubled piece: none ends in another error, and a format with checksums is never misread."""
    pixels, random = drawn(48, 56), np.random.default_rng(3)
    sound, path = encoded(pixels, kind), tmp_path / "part"
    for _ in range(200):
        at, length = int(random.integers(0, len(sound))), int(random.integers(1, 40))
        piece = [random.bytes(length), b"", sound[at : at + length] * 2][int(random.integers(3))]
        path.write_bytes(sound[:at] + piece + sound[at + length :])
        try:
            found = np.asarray(open_image(path)[0])
        except UnreadableImage as error:
            assert str(error).startswith(str(path))
        else:
            assert kind != "PNG" or np.array_equal(found, pixels)


def test_more_megapixels_than_are_read_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert refusal(tmp_path, encoded(drawn(), "PNG")).startswith("has more than 0 megapixels, the most that are read: cut it")


def test_a_folder_and_a_file_without_rights_are_no_damaged_images(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UnreadableImage, match=r"folder\.png cannot be read \(Is a directory\): check the file"):
        open_image(tmp_path / "folder.png")
