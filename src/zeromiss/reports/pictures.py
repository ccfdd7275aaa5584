"""Pictures of a page: written once, then made part of the page's one file, so that nothing is fetched from anywhere."""

import base64
from pathlib import Path

import numpy as np
from markupsafe import Markup
from PIL import Image

from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path

_KINDS = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg"}
_QUALITY = 86


def embed(folder: Path, name: str) -> Markup:
    """Return a picture of `folder` as a data address for an `img` element; raises ZeromissError when it is missing."""
    path = folder / name
    if not path.is_file():
        raise ZeromissError(f"{path} is missing, though the report names it: run the report stage anew")
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return Markup(f"data:{_KINDS[path.suffix]};base64,{content}")


def save_jpeg(path: Path, picture: np.ndarray) -> None:
    """Write uint8 RGB (H, W, 3) as JPEG without thinning its colours, atomically."""
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary, format="JPEG", quality=_QUALITY, subsampling=0, optimize=True)
