"""The picture in which a detector's stage shows what it makes of some images."""

from pathlib import Path

import cv2
from torch import Tensor

from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path


def write_picture(path: Path, image_CHW: Tensor) -> None:
    """Write an RGB image in [0, 1] as PNG, atomically."""
    rgb_HWC = image_CHW.movedim(0, -1).mul(255).round().byte().numpy()
    written, data = cv2.imencode(".png", rgb_HWC[..., ::-1])
    if not written:
        raise ZeromissError(f"{path} could not be encoded as PNG: report this")
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())
