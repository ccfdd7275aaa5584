"""Reading the mask of a defect: which pixels of its image the defect covers, or why the file cannot say so.

A pixel is marked where its colour is not black and it is not fully transparent. A palette's numbers mean nothing by themselves, so that
palette images are read by their colours. Lossy files are refused whatever their name says: around an edge their values are not exact.
"""

import struct
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from zeromiss.errors import ZeromissError
from zeromiss.image_size import ImageSize, Size
from zeromiss.images.load import MODES, UnreadableImage, open_image

NEARLY_ALL = 0.8  # share of the image from which a mask is probably inverted
NEARLY_NOTHING = 4  # pixels below which a mask is probably a slip of the hand
_MASK_MODES = MODES | {"I;16", "I"}
_ORIENTATION = 0x0112  # the tag of EXIF
_ON_ITS_SIDE = 5  # the orientations from which on width and height change places


class Examination(NamedTuple):
    """What reading a mask tells: `problem` says why it cannot be used, `doubt` what a person should look at ('' for none), both after its name."""

    problem: str = ""
    doubt: str = ""


def read_mask(path: Path) -> np.ndarray:
    """Return a mask file as bool (H, W) in its own size, upright.

    Raises ZeromissError for a file that cannot be decoded whole, has a mode that a mask cannot have, or is lossy.
    """
    image, mode = open_image(path)
    if mode not in _MASK_MODES:
        raise ZeromissError(f"{path} has the mode {mode}, which a mask cannot have: save it as an 8-bit grey PNG")
    if lossy := _lossy(path.read_bytes()):
        raise ZeromissError(f"{path} is {lossy}, whose values around an edge are not exact: save the mask as PNG")
    if image.mode in {"I", "I;16", "1"}:
        return np.asarray(image) != 0
    colour_HWC = np.asarray(image.convert("RGBA"))  # of a palette too, whose numbers may stand for any colour
    return colour_HWC[..., :3].any(axis=2) & (colour_HWC[..., 3] > 0)


def load_mask(path: Path, size: Size) -> np.ndarray:
    """Return a defect mask as bool, (H, W), at another size; raises as `read_mask`.

    When shrinking, a pixel is True if any part of it is marked, so that no defect vanishes; when enlarging,
    the nearest pixel counts.
    """
    marked_HW = read_mask(path).astype(np.float32)
    height, width = marked_HW.shape
    size = ImageSize.of(size)
    shrunk = cv2.resize(marked_HW, (min(width, size.width), min(height, size.height)), interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (size.width, size.height), interpolation=cv2.INTER_NEAREST) > 0.0


def examine(mask: Path, *, image: Path, shape: tuple[int, int] | None = None) -> Examination:
    """Read a mask beside its image: `shape` is the upright image's (height, width), read from it where it is not given.

    A mask is no use when it is unreadable, lossy, of another size, marks nothing, or belongs to an image that is turned by its EXIF tag
    and nothing tells whether the mask was drawn before or after the turn. An image that cannot be decoded is left to the manifest's checks.
    """
    try:
        marked_HW = read_mask(mask)
    except UnreadableImage as error:
        return Examination(problem=f"cannot be read: it {str(error).removeprefix(f'{mask} ')}")
    except ZeromissError as error:
        return Examination(problem=f"cannot be used: it {str(error).removeprefix(f'{mask} ')}")
    if shape is None:
        try:
            shape = open_image(image)[0].size[::-1]
        except UnreadableImage:
            return Examination()
    found, needed = (f"{width} x {height}" for height, width in (marked_HW.shape, shape))
    if marked_HW.shape != shape:
        return Examination(problem=f"is {found} pixels and its image {needed}: a mask needs its image's size, as a viewer shows it")
    turn, own = _orientation(image), _orientation(mask)
    if own not in (1, turn) or (own == 1 != turn and (turn < _ON_ITS_SIDE or shape[0] == shape[1])):
        return Examination(
            problem=f"has the EXIF orientation {own} and its image {turn}, so that nothing tells which way round the mask is: save both upright, without the tag"
        )
    return _plausible(marked_HW)


def _plausible(marked_HW: np.ndarray) -> Examination:
    """Say what is odd about the pixels that a mask marks."""
    marked = int(marked_HW.sum())
    if not marked:
        return Examination(problem="marks no pixel: mark the defect or remove the mask")
    if marked >= NEARLY_ALL * marked_HW.size:
        return Examination(doubt=f"marks {marked / marked_HW.size:.1%} of the image: is it inverted?")
    return Examination(doubt=f"marks {marked} of {marked_HW.size} pixels: is it a slip of the hand?" if marked < NEARLY_NOTHING else "")


def _orientation(path: Path) -> int:
    """Return how a file's EXIF tag turns its picture, 1 to 8; 1 where it does not."""
    with Image.open(path) as image:
        turn = image.getexif().get(_ORIENTATION, 1)
    return turn if turn in range(1, 9) else 1


def _lossy(data: bytes) -> str:
    """Return which lossy kind of file it is, by its content; '' for none. No TIFF that can be read at all is lossy."""
    if data[:2] == b"\xff\xd8":
        return "a JPEG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "a lossy WebP" if b"VP8 " in _webp_chunks(data) else ""
    return ""


def _webp_chunks(data: bytes) -> set[bytes]:
    """Return the names of a WebP file's chunks, those of its frames included."""
    names, place = set(), 12
    while place + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, place)
        names.add(name)
        place += 8 + length + length % 2
    return names
