"""The facts of one image file after another, and what is wrong with its mask."""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from zeromiss.errors import ZeromissError
from zeromiss.images.png import plain_png


class Facts(NamedTuple):
    """What reading an image tells; the fields are those of `manifest.read_facts`."""

    sha256: str | None = None
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    problem: str = ""
    mask_problem: str = ""


def read(items: list[tuple[str, str, str]]) -> list[Facts]:
    """Read images, each given by the raw folder, its path there and its mask's path there ('' for none)."""
    return [_read(f"{raw}{os.sep}{path}", f"{raw}{os.sep}{mask}" if mask else "", mask) for raw, path, mask in items]


def _read(image: str, mask: str, name: str) -> Facts:
    """Read one image and its mask, which sentences call `name`."""
    facts = _image(image)
    if facts.problem or not mask:
        return facts
    return facts._replace(mask_problem=_mask_problem(Path(mask), name, (facts.height, facts.width)))


def _image(file: str) -> Facts:
    """Read one image: most are plain PNGs, all others are decoded into a picture."""
    try:
        with open(file, "rb", buffering=0) as handle:
            data = handle.readall()
    except OSError:
        data = b""  # said in words below
    sha256 = hashlib.sha256(data).hexdigest()
    if plain := plain_png(data):
        return Facts(sha256, *plain)
    from zeromiss.images.load import open_image, refuse_transparency  # slow to import, seldom needed

    path, facts = Path(file), Facts()
    try:
        image, mode = open_image(path)
        facts = Facts(sha256, image.width, image.height, mode)
        refuse_transparency(path, image)
    except ZeromissError as error:
        return facts._replace(problem=str(error).removeprefix(f"{path} "))
    return facts


def _mask_problem(path: Path, name: str, shape: tuple[int | None, int | None]) -> str:
    """Say what is wrong with an image's mask, '' when nothing is; `shape` is the image's (height, width)."""
    from zeromiss.images.load import UnreadableImage, read_mask

    if not path.is_file():
        return f"names the mask {name}, which is missing: restore it or take it out of the index"
    try:
        marked_HW = read_mask(path)
    except UnreadableImage as error:
        return f"has a mask that cannot be read: {name} {str(error).removeprefix(f'{path} ')}"
    except ZeromissError as error:
        return f"has a mask that cannot be used: {name} {str(error).removeprefix(f'{path} ')}"
    if marked_HW.shape != shape:
        found, needed = (f"{width} x {height}" for height, width in (marked_HW.shape, shape))
        return f"is {needed} pixels but its mask {name} is {found}: draw the mask at the image's size"
    return ""
