"""Checks that every pixel of a picture comes from its file, and that the file holds nothing that is not looked at.

Decoders fill what a file lacks with grey or black, and drop what they cannot show. So each format has its allow-list here,
by content and never by suffix, and a count of what its pixels need. What a format gives no means to check stays open: a JPEG or
WebP has no checksum, so a few changed bytes that still decode cannot be noticed.
"""

import struct
import zlib
from itertools import pairwise

import numpy as np
import simplejpeg
from PIL import Image

_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # first column and row, steps
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")  # of a further picture behind the first
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1, 0xC9), (0xC2, 0xCA)  # JPEG frames with a picture of their own
_ZEROS = 64  # bytes in a row that no compressed picture holds, unless zeros mean flat blocks
_INFLATED = 1 << 20  # bytes at a time
_TIFF_COMPRESSIONS = (1, 5, 8, 32773, 32946)  # none, LZW, deflate, PackBits, deflate: those that notice missing rows
_TIFF_PHOTOMETRICS = (0, 1, 2, 3)  # grey with white or black as zero, RGB, palette
_PIXELS = "save it as 8-bit grey or RGB, PNG or uncompressed TIFF"


class NotTaken(ValueError):
    """A sound file of a kind that is not read; the text goes on after the file's name."""


def check_content(data: bytes, image: Image.Image) -> None:
    """Check the content of an image file, of which `image` is opened and not decoded.

    Raises NotTaken for a kind of picture outside the allow-list, and OSError for one whose pixels are not all there.
    """
    {"PNG": _check_png, "JPEG": _check_jpeg, "MPO": _check_jpeg, "TIFF": _check_tiff, "BMP": _check_bmp, "WEBP": _check_webp}[image.format](data, image)


def _check_png(data: bytes, image: Image.Image) -> None:
    """Check that the pixels inflate to exactly the bytes that the size asks for. Checksums are the decoder's."""
    width, height, depth, colour, _, _, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    place, packed = 8, []
    while True:
        length, kind = struct.unpack_from(">I4s", data, place)
        if kind == b"acTL":
            raise NotTaken("is animated: save each picture as its own file")
        if kind == b"IDAT":
            packed.append(memoryview(data)[place + 8 : place + 8 + length])
        place += 12 + length
        if kind == b"IEND":
            break
        if place + 12 > len(data):
            raise OSError("its end marker is missing")
    _refuse_further_picture(data, place)
    bits = depth * _PNG_CHANNELS[colour]
    passes = _ADAM7 if interlace else ((0, 0, 1, 1),)
    sizes = [(-(-(width - x) // step_x), -(-(height - y) // step_y)) for x, y, step_x, step_y in passes]
    needed = sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0 and rows > 0)
    inflate, found = zlib.decompressobj(), 0
    for part in packed:
        rest = part
        while len(rest) and not inflate.eof and found <= needed:
            found += len(inflate.decompress(rest, _INFLATED))
            rest = inflate.unconsumed_tail
    if not inflate.eof or found != needed:
        raise OSError(f"its pixels are {found} bytes instead of {needed}")


def _check_jpeg(data: bytes, image: Image.Image) -> None:
    """Check the scans: all decode without a warning, and together give every coefficient its last bit."""
    _refuse_several_pictures(image)
    progressive, left, first_symbols, place = False, {}, {}, 2
    while True:
        if data[place : place + 1] != b"\xff":
            raise OSError("a marker is missing")
        marker = data[place + 1]
        if marker == 0xFF:  # filling
            place += 1
            continue
        if marker == 0xD9:
            break
        (length,) = struct.unpack_from(">H", data, place + 2)
        segment, place = data[place + 4 : place + 2 + length], place + 2 + length
        if marker in _SEQUENTIAL or marker in _PROGRESSIVE:
            progressive = marker in _PROGRESSIVE
            if segment[0] != 8:
                raise NotTaken(f"has {segment[0]} bits a value: {_PIXELS}")
            left = {segment[6 + 3 * index]: [None] * 64 for index in range(segment[5])}
        elif marker == 0xC4:
            first_symbols |= _first_symbols(segment)
        elif marker == 0xDA:
            start, place = place, _scan_end(data, place)
            _note_scan(segment, left, progressive=progressive)
            if not progressive and not _zeros_are_flat(segment, first_symbols) and data.find(bytes(_ZEROS), start, place) >= 0:
                raise OSError(f"{_ZEROS} bytes of its compressed pixels or more are zero")
    _refuse_further_picture(data, place + 2)
    if not left or any(bit != 0 for bits in left.values() for bit in bits):
        raise OSError("scans are missing: the picture ends early")
    if len(left) in (1, 3):  # others are refused by their mode
        simplejpeg.decode_jpeg(data, "GRAY", min_height=1, min_width=1, min_factor=8)  # strict: a warning is an error; all scans, at an eighth


def _first_symbols(segment: bytes) -> dict[int, int]:
    """Return of each Huffman table of a DHT segment, by class and number, the symbol whose code is all zeros."""
    found, place = {}, 0
    while place + 17 <= len(segment):
        number = sum(segment[place + 1 : place + 17])
        found[segment[place]] = segment[place + 17]
        place += 17 + number
    return found


def _zeros_are_flat(scan: bytes, first_symbols: dict[int, int]) -> bool:
    """Return whether zeros in a sequential scan stand for blocks like the one before, in all of its components."""
    tables = [scan[2 + 2 * index] for index in range(scan[0])]
    return all(first_symbols.get(table >> 4) == 0 and first_symbols.get(0x10 | table & 0xF) == 0 for table in tables)


def _scan_end(data: bytes, place: int) -> int:
    """Return where the compressed pixels of a scan end: at the next marker that is no restart marker."""
    while True:
        place = data.find(b"\xff", place)
        if place < 0 or place + 1 >= len(data):
            raise OSError("its end marker is missing")
        if data[place + 1] != 0 and not 0xD0 <= data[place + 1] <= 0xD7:
            return place
        place += 2


def _note_scan(scan: bytes, left: dict[int, list[int | None]], *, progressive: bool) -> None:
    """Note which coefficients a scan gives, and how many of their bits are left to later ones."""
    number = scan[0]
    first, last, shift = scan[1 + 2 * number], scan[2 + 2 * number], scan[3 + 2 * number] & 0xF
    for index in range(number):
        bits = left[scan[1 + 2 * index]]
        for coefficient in range(first, last + 1) if progressive else range(64):
            bits[coefficient] = shift if progressive else 0


def _check_tiff(data: bytes, image: Image.Image) -> None:
    """Check kinds of samples by the allow-list, and that strips or tiles are as many and as long as the size asks for."""
    tags = image.tag_v2
    _refuse_several_pictures(image)
    if 330 in tags:
        raise NotTaken("holds further pictures in sub-directories: save each as its own file")
    if tags.get(254, 0) & 1 or 50706 in tags:
        raise NotTaken(f"is a raw file or holds a preview alone: {_PIXELS}")
    width, height, samples = tags[256], tags[257], tags.get(277, 1)
    bits, sample_format, extra = _numbers(tags.get(258, 1)), _numbers(tags.get(339, 1)), _numbers(tags.get(338, ()))
    compression, photometric = tags.get(259, 1), tags.get(262)
    if set(sample_format) != {1}:
        raise NotTaken(f"has signed or floating-point samples (SampleFormat {sample_format[0]}): {_PIXELS}")
    if photometric not in _TIFF_PHOTOMETRICS and photometric != 5:  # CMYK is refused by its mode
        raise NotTaken(f"has the photometric interpretation {photometric}: {_PIXELS}")
    colours = {2: 3, 5: 4}.get(photometric, 1)
    if samples != colours and not (samples == colours + 1 and extra in ((1,), (2,))):
        raise NotTaken(f"has {samples} samples a pixel, of which {colours} are looked at: {_PIXELS}")
    if len(set(bits)) != 1 or bits[0] not in (1, 4, 8, 16):
        raise NotTaken(f"has {'/'.join(map(str, bits))} bits a sample: {_PIXELS}")
    if samples > 1 and tags.get(284, 1) != 1:
        raise NotTaken(f"has its channels apart (PlanarConfiguration {tags[284]}): {_PIXELS}")
    if compression not in _TIFF_COMPRESSIONS:
        raise NotTaken(f"has the compression {compression}, which does not prove that all rows are there: {_PIXELS}")
    tiled = 322 in tags
    across, down = (tags[322], tags[323]) if tiled else (width, min(tags.get(278, height), height))
    pieces = -(-width // across) * -(-height // down)
    offsets, lengths = tags.get(324 if tiled else 273, ()), tags.get(325 if tiled else 279, ())
    name = "tiles" if tiled else "strips"
    if len(offsets) != pieces or len(lengths) != pieces:
        raise OSError(f"it lists {len(offsets)} of {pieces} {name}")
    row = -(-across * bits[0] * samples // 8)
    for index, (offset, length) in enumerate(zip(offsets, lengths, strict=True)):
        rows = down if tiled else min(down, height - index * down)
        if not length or offset + length > len(data) or (compression == 1 and length < row * rows):
            raise OSError(f"one of its {name} is cut")
    spans = sorted(zip(offsets, lengths, strict=True))
    if any(first[0] + first[1] > second[0] for first, second in pairwise(spans)):
        raise OSError(f"two of its {name} lie in the same place")


def _numbers(value: int | tuple[int, ...]) -> tuple[int, ...]:
    """Return a tag's value as a tuple: Pillow gives a single number without one."""
    return value if isinstance(value, tuple) else (value,)


def _check_bmp(data: bytes, image: Image.Image) -> None:
    """Check that all rows are there, none of them packed, and that no fourth channel is dropped."""
    (start,), (header,) = struct.unpack_from("<I", data, 10), struct.unpack_from("<I", data, 14)
    if header == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    if compression not in (0, 3, 6):
        raise NotTaken(f"has the compression {compression}, which leaves out pixels: {_PIXELS}")
    size = (width * bits + 31) // 32 * 4 * abs(height)
    if start + size > len(data):
        raise OSError(f"its pixels are {max(0, len(data) - start)} bytes instead of {size}")
    layout = image.tile[0][3][0]
    if bits == 32 and "X" in layout:
        dropped = np.frombuffer(data, np.uint8, size, start)[layout.index("X") :: 4]
        if dropped.min() != dropped.max():
            raise NotTaken(f"has a fourth channel, which would be dropped: {_PIXELS}")


def _check_webp(data: bytes, image: Image.Image) -> None:
    """Check that there is one picture, as long as the file says."""
    _refuse_several_pictures(image)
    if struct.unpack_from("<I", data, 4)[0] + 8 > len(data):
        raise OSError("it is shorter than it says")


def _refuse_several_pictures(image: Image.Image) -> None:
    """Raise NotTaken where the decoder counts more than one picture."""
    if (number := getattr(image, "n_frames", 1)) > 1:
        raise NotTaken(f"holds {number} pictures: save each as its own file")


def _refuse_further_picture(data: bytes, end: int) -> None:
    """Raise NotTaken where another picture begins behind the end of the first."""
    if any(data.find(signature, end) >= 0 for signature in _SIGNATURES):
        raise NotTaken("holds a further picture behind the first: save each as its own file")
