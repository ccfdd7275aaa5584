"""Reading one image file into an array, or refusing it.

A file is decoded whole or not at all (`images/integrity.py`). The EXIF orientation is applied, to images and masks alike: what
is judged, and what boxes refer to, is the picture a person sees in a viewer.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from zeromiss.errors import ZeromissError
from zeromiss.image_size import SMALLEST_SIDE, ImageSize, Size
from zeromiss.images.integrity import NotTaken, check_content

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
MODES = frozenset({"1", "L", "P", "RGB", "LA", "PA", "RGBA"})  # what `load_image` takes, as `open_image` names it
REDUCED_MOVES, REDUCED_MEAN = 0.15, 0.01  # most that decoding at a reduced size moves a value in [0, 1], and all on average

_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
_MASK_MODES = MODES | {"I;16", "I"}
_ORIENTATION, _ON_ITS_SIDE = 0x0112, 5  # the tag of EXIF, and its values from which width and height change places


class UnreadableImage(ZeromissError):
    """A file that cannot be decoded to its last pixel."""


def open_image(path: Path, *, least: int | None = None) -> tuple[Image.Image, str]:
    """Return the decoded, upright image and its mode.

    The mode is Pillow's (`L`, `RGB`, `CMYK`, ...), with ` 16-bit` behind it where the file holds 16 bits a
    channel and the decoder would quietly drop the lower half. With `least`, a JPEG may come at a half, a quarter or
    an eighth of its size, as long as both sides keep at least so many pixels.

    Raises UnreadableImage for a file that is missing, no image, truncated, corrupt or of a kind that `check_content` does not
    take: several pictures, channels beside grey or RGB, samples that are no plain numbers.
    """
    with _naming(path):
        data = path.read_bytes()
        with Image.open(io.BytesIO(data), formats=_FORMATS) as probe:
            deep = _holds_sixteen_bits(probe)
            check_content(data, probe)
            probe.verify()  # checksums of every PNG chunk
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if least is not None:
                image.draft(image.mode, (least, least))  # JPEG alone knows how
            image.load()
            mode = f"{image.mode} 16-bit" if deep and "16" not in image.mode else image.mode
            if image.mode == "P" and image.getextrema()[1] >= len(image.palette.palette) // len(image.palette.mode):
                raise OSError("a colour is missing from its palette")
            return ImageOps.exif_transpose(image), mode


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong while a file is read into UnreadableImage, which says which file and why.

    Decoders raise errors of many kinds for odd files (struct.error, TypeError, ...): none of them may end the work on other files.
    """
    try:
        yield
    except UnreadableImage:
        raise
    except FileNotFoundError:
        raise UnreadableImage(f"{path} is missing: put the file back or take it out of the list") from None
    except NotTaken as error:
        raise UnreadableImage(f"{path} {error}") from None
    except UnidentifiedImageError:
        raise UnreadableImage(
            f"{path} is not an image that can be read (PNG, JPEG, BMP, TIFF or WebP): replace or remove it"
        ) from None
    except Image.DecompressionBombError:
        most = 2 * Image.MAX_IMAGE_PIXELS // 10**6
        raise UnreadableImage(f"{path} has more than {most} megapixels, the most that are read: cut it into smaller images") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise UnreadableImage(f"{path} cannot be read ({error.strerror}): check the file and the rights to it") from None
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImage(f"{path} is damaged or truncated ({reason}): replace or remove it") from None


def load_image(path: Path, size: Size, *, reduced: bool = False) -> np.ndarray:
    """Return an image as float32 RGB, (3, H, W), in [0, 1]; a number stands for a square.

    Each axis is shrunk by area averaging (anti-aliased) or enlarged by cubic interpolation, clipped to [0, 1];
    an image that has the size already keeps its exact values. Grey images become three equal channels.

    With `reduced`, a JPEG at least four times as large as `size` is decoded at a half, a quarter or an eighth of its
    size, never below twice `size`: in a fifth of the time and less memory. The decoder's own shrinking is no area average:
    values at hard edges move by up to `REDUCED_MOVES`, all by `REDUCED_MEAN` on average at most, brighter as often as darker.

    Raises ZeromissError for a file that cannot be decoded whole, has 16 bits a channel, is CMYK, is see-through
    anywhere, or has a side below 32 pixels.
    """
    size = ImageSize.of(size)
    pixels, grey = _pixels(path, least=2 * size.longer if reduced else None)
    resized = resize(pixels, size)
    return np.stack([resized] * 3) if grey else np.ascontiguousarray(resized.transpose(2, 0, 1))


def load_picture(path: Path) -> np.ndarray:
    """Return an image in the size that its file has, float32 RGB (H, W, 3) in [0, 1]; refuses what `load_image` refuses."""
    pixels, grey = _pixels(path)
    return np.repeat(pixels[..., None], 3, axis=2) if grey else pixels


def _pixels(path: Path, *, least: int | None = None) -> tuple[np.ndarray, bool]:
    """Return a file's values in [0, 1], (H, W) where they are grey and (H, W, 3) otherwise, and whether they are grey."""
    image, mode = open_image(path, least=least)
    if mode not in MODES:
        raise ZeromissError(f"{path} has the mode {mode}: save it as 8-bit grey or RGB")
    refuse_transparency(path, image)
    if min(image.size) < SMALLEST_SIDE:
        raise ZeromissError(
            f"{path} is {image.width} x {image.height} pixels: the smallest side that can be judged is {SMALLEST_SIDE}"
        )
    grey = mode in {"1", "L", "LA"}
    pixels = np.asarray(image.convert("L" if grey else "RGB"), dtype=np.float32)
    del image
    pixels /= np.float32(255.0)  # in place: a large image has room in memory for few copies
    return pixels, grey


def file_size(path: Path) -> ImageSize:
    """Return the size of the upright picture in a file, by its header alone; raises UnreadableImage for a file without one."""
    with _naming(path), Image.open(path, formats=_FORMATS) as image:
        width, height = image.size
        return ImageSize(height, width) if image.getexif().get(_ORIENTATION, 1) >= _ON_ITS_SIDE else ImageSize(width, height)


def load_mask(path: Path, size: Size) -> np.ndarray:
    """Return a defect mask as bool, (H, W): True where the file has any value but 0.

    When shrinking, a pixel is True if any part of it is marked, so that no defect vanishes; when enlarging,
    the nearest pixel counts.

    Raises ZeromissError for a file that cannot be decoded whole, is lossy (JPEG) or is CMYK.
    """
    marked_HW = read_mask(path).astype(np.float32)
    height, width = marked_HW.shape
    size = ImageSize.of(size)
    shrunk = cv2.resize(marked_HW, (min(width, size.width), min(height, size.height)), interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (size.width, size.height), interpolation=cv2.INTER_NEAREST) > 0.0


def read_mask(path: Path) -> np.ndarray:
    """Return a mask file as bool (H, W) in its own size; see `load_mask` for what is refused."""
    image, mode = open_image(path)
    if mode not in _MASK_MODES:
        raise ZeromissError(f"{path} has the mode {mode}, which a mask cannot have: save it as an 8-bit grey PNG")
    if path.suffix.lower() in {".jpg", ".jpeg"}:
        raise ZeromissError(f"{path} is a JPEG, whose values around an edge are not exact: save the mask as PNG")
    values = np.asarray(image.convert("RGB") if mode in {"RGBA", "LA", "PA"} else image)
    return values.any(axis=2) if values.ndim == 3 else values != 0


def refuse_transparency(path: Path, image: Image.Image) -> None:
    """Raise ZeromissError when a pixel is see-through: what colour a camera saw there is not known."""
    if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
        raise ZeromissError(f"{path} is see-through in places: save it without an alpha channel")


def resize(pixels: np.ndarray, size: Size) -> np.ndarray:
    """Return float32 pixels, (H, W) or (H, W, C) in [0, 1], at another size: area down, clipped cubic up."""
    height, width = pixels.shape[:2]
    size = ImageSize.of(size)
    if (height, width) == size.shape:
        return pixels
    inner = (min(width, size.width), min(height, size.height))
    shrunk = pixels if inner == (width, height) else cv2.resize(pixels, inner, interpolation=cv2.INTER_AREA)
    if inner != (size.width, size.height):
        shrunk = cv2.resize(shrunk, (size.width, size.height), interpolation=cv2.INTER_CUBIC)
    return np.clip(shrunk, 0.0, 1.0)


def _holds_sixteen_bits(image: Image.Image) -> bool:
    """Return whether an opened, undecoded image has 16 bits a channel, by the name of its raw layout."""
    layouts = [tile[3] for tile in image.tile]
    names = [layout[0] if isinstance(layout, tuple) and layout else layout for layout in layouts]
    return any(";16" in name for name in names if isinstance(name, str))
