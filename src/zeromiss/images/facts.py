"""The facts of one image file after another, and what is wrong with its mask."""

import hashlib
import io
import os
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from zeromiss.errors import ZeromissError
from zeromiss.images.png import plain_png


class Facts(NamedTuple):
    """What reading an image and its mask tells; the fields are those of `manifest.read_facts`."""

    sha256: str | None = None
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    problem: str = ""
    mask_problem: str = ""
    mask_doubt: str = ""
    pixels: str | None = None


def read(items: list[tuple[str, str, str]]) -> list[Facts]:
    """Read images, each given by the raw folder, its path there and its mask's path there ('' for none)."""
    return [_read(f"{raw}{os.sep}{path}", f"{raw}{os.sep}{mask}" if mask else "", mask) for raw, path, mask in items]


def _read(image: str, mask: str, name: str) -> Facts:
    """Read one image and its mask, which sentences call `name`."""
    facts = _image(image)
    if facts.problem or not mask:
        return facts
    return facts._replace(**_of_mask(Path(mask), name, Path(image), (facts.height, facts.width)))


def _image(file: str) -> Facts:
    """Read one image; a plain PNG is whole by its checksums and the number of its pixels, all others by what their decoder says."""
    try:
        with open(file, "rb", buffering=0) as handle:
            data = handle.readall()
    except OSError:
        data = b""  # said in words below
    sha256 = hashlib.sha256(data).hexdigest()
    if plain := plain_png(data):
        with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            return Facts(sha256, *plain, pixels=_digest(picture))
    from zeromiss.images.load import MODES, open_image, refuse_transparency  # slow to import, seldom needed

    path, facts = Path(file), Facts()
    try:
        image, mode = open_image(path)
        facts = Facts(sha256, image.width, image.height, mode)
        refuse_transparency(path, image)
        facts = facts._replace(pixels=_digest(image) if mode in MODES else None)
    except ZeromissError as error:
        return facts._replace(problem=str(error).removeprefix(f"{path} "))
    return facts


def _digest(picture: Image.Image) -> str:
    """Return the SHA-256 of a picture's size and colours: the same for grey and for RGB of three equal channels, however they are stored."""
    return hashlib.sha256(b"%d %d " % picture.size + picture.convert("RGB").tobytes()).hexdigest()


def _of_mask(path: Path, name: str, image: Path, shape: tuple[int | None, int | None]) -> dict[str, Any]:
    """Say what is wrong with an image's mask, or odd about it; `shape` is the upright image's (height, width)."""
    from zeromiss.images.masks import examine

    if not path.is_file():
        return {"mask_problem": f"names the mask {name}, which is missing: restore it or take it out of the index"}
    found = examine(path, image=image, shape=shape)
    return {key: f"has the mask {name}, which {told}" for key, told in (("mask_problem", found.problem), ("mask_doubt", found.doubt)) if told}
