"""Traits of an image file that have nothing to do with what is wrong with the part: light, focus, file, record.

Axes: H, W rows and columns. Brightness and colours are in [0, 1].
"""

import io
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from zeromiss.images.load import open_image

FIELDS = 8  # a side: a picture's traits are the medians over 64 fields
_NAN = float("nan")
_EXIF = 0x8769  # the tag under which a camera's own tags lie
_TAKEN, _CHANGED = 0x9003, 0x0132  # DateTimeOriginal among them, DateTime beside them


class Traits(NamedTuple):
    """One image's traits; NaN for a trait that it doesn't have.

    The first five are medians over 8 x 8 fields of the picture, so that a defect, which lies in a few of them, moves
    them little and the lamp or the lens, which acts on all, moves them much. brightness, contrast: mean and standard
    deviation of a field's grey values. sharpness: mean size of their Laplacian. red, blue: mean red, and mean blue,
    above the mean green. pixels: width x height. bytes: of the file.
    step: mean step of a JPEG's luminance table (1 to 255; higher = more compressed), 1 for a file that loses nothing.
    taken: seconds since 1970 by the EXIF time stamp, read as if it were UTC.
    """

    brightness: float
    contrast: float
    sharpness: float
    red: float
    blue: float
    pixels: float
    bytes: float
    step: float
    taken: float


def read(files: list[str]) -> list[Traits]:
    """Return the traits of image files, each of which can be read: the manifest's checks come before."""
    return [_read(Path(file)) for file in files]


def _read(file: Path) -> Traits:
    """Read one image, and what its file says beside the picture."""
    image, _ = open_image(file)
    step, taken = _file_says(file)
    size = os.stat(file).st_size
    return Traits(*picture_traits(np.asarray(image.convert("RGB"))), image.width * image.height, size, step, taken)


def picture_traits(image_HW3: np.ndarray) -> tuple[float, float, float, float, float]:
    """Return brightness, contrast, sharpness, red and blue of an 8-bit RGB picture; see `Traits`."""
    grey_HW = cv2.cvtColor(np.ascontiguousarray(image_HW3), cv2.COLOR_RGB2GRAY)
    fields = [_field(image_HW3[part], grey_HW[part]) for part in _parts(*grey_HW.shape)]
    brightness, contrast, sharpness, red, blue = np.median(np.array(fields), axis=0) / 255.0
    return float(brightness), float(contrast), float(sharpness), float(red), float(blue)


def _parts(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Yield the fields of a picture, as equal as whole pixels allow."""
    rows, columns = (np.linspace(0, side, FIELDS + 1).astype(int) for side in (height, width))
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            yield slice(top, bottom), slice(left, right)


def _field(image_HW3: np.ndarray, grey_HW: np.ndarray) -> tuple[float, float, float, float, float]:
    """Return the five traits of one field, in steps of 8-bit values."""
    mean, deviation = cv2.meanStdDev(grey_HW)
    red, green, blue, _ = cv2.mean(image_HW3)
    edges_HW = np.abs(cv2.Laplacian(grey_HW, cv2.CV_16S))  # a field at a time: a large image needs no copy in 16 bits
    return mean.item(), deviation.item(), cv2.mean(edges_HW)[0], red - green, blue - green


def _file_says(file: Path) -> tuple[float, float]:
    """Return the JPEG step and the time stamp, from the head of the file alone."""
    with Image.open(io.BytesIO(file.read_bytes())) as image:
        tables = getattr(image, "quantization", None)
        if image.format in ("JPEG", "MPO"):
            step = float(np.mean(tables[min(tables)])) if tables else _NAN
        else:
            step = _NAN if image.format == "WEBP" else 1.0  # a WebP may lose or not, and doesn't say
        exif = image.getexif()
        return step, _seconds(exif.get_ifd(_EXIF).get(_TAKEN) or exif.get(_CHANGED))


def _seconds(stamp: object) -> float:
    """Return an EXIF time stamp as seconds, NaN where there is none that can be read."""
    try:
        return datetime.strptime(str(stamp).strip("\0 "), "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return _NAN
