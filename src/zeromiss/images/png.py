"""Proof that a plain PNG is whole, without making a picture of it."""

import struct
import zlib

_HEAD = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_CHANNELS = {0: ("L", 1), 2: ("RGB", 3)}  # colour type: Pillow's mode, bytes a pixel
_SAID = {b"sRGB": 1, b"gAMA": 4, b"pHYs": 9}  # chunks that leave the pixels alone, and their lengths
_MOST = 64 << 20  # bytes of pixels: a larger image is decoded in the ordinary way


def plain_png(data: bytes) -> tuple[int, int, str] | None:
    """Return (width, height, mode) of a whole PNG of 8-bit grey or RGB without transparency; None for all else.

    None says nothing against a file: it may be of another kind, or use what is not looked into here. Otherwise every
    chunk has the checksum that it should have, and the pixels inflate to exactly the bytes that the size asks for,
    each row with a filter that exists: a decoder could not find anything missing.
    """
    if len(data) < 57 or data[:16] != _HEAD:
        return None
    width, height, depth, colour, compression, filtering, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    if depth != 8 or colour not in _CHANNELS or compression or filtering or interlace:
        return None
    mode, channels = _CHANNELS[colour]
    packed = _pixels(data)
    row = 1 + width * channels
    if packed is None or not width or not height or row * height > _MOST:
        return None
    inflate = zlib.decompressobj()
    try:
        rows = inflate.decompress(packed, row * height + 1)
    except zlib.error:
        return None
    if len(rows) != row * height or not inflate.eof or inflate.unused_data or max(rows[::row]) > 4:
        return None
    return width, height, mode


def _pixels(data: bytes) -> bytes | None:
    """Return the joined pixel data of a PNG whose chunks are whole, known and in order, up to the file's last byte."""
    view, place, parts = memoryview(data), 8, []
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if end > len(data) or zlib.crc32(view[place + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            return None
        if kind == b"IEND":
            return b"".join(parts) if parts and length == 0 and end == len(data) else None
        if kind == b"IDAT":
            parts.append(view[place + 8 : end - 4])
        elif not (kind == b"IHDR" and place == 8) and (parts or _SAID.get(kind) != length):
            return None
        place = end
    return None
