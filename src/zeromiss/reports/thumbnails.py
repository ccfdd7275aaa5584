"""Small pictures of images as they were photographed, with the marked defect in outline: for a person who checks a label."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from zeromiss.images.load import open_image

_OUTLINE = (255, 128, 0)
_CLEAR = 0.02  # of the longer side, between a marked defect and its outline, so that the line hides nothing of it


def thumbnail(path: Path, side: int, mask: Path | None = None) -> np.ndarray:
    """Return an image file as uint8 RGB (H, W, 3), its longer side at most `side` pixels, with the mask's outline around the defect.

    Raises ZeromissError for a file that cannot be read.
    """
    image = open_image(path)[0].convert("RGB")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    picture = np.array(image)
    if mask is not None:
        marked = open_image(mask)[0].convert("L").resize(image.size, Image.Resampling.BOX)
        reach = max(2, round(_CLEAR * max(image.size)))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        grown_HW = cv2.dilate((np.asarray(marked) > 0).astype(np.uint8), kernel)
        outlines, _ = cv2.findContours(grown_HW, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, outlines, -1, _OUTLINE, 1, cv2.LINE_AA)
    return picture
