"""Pictures brought to the size at which they are shown, in their own shape."""

import cv2
import numpy as np


def enlarge(picture: np.ndarray, side: int) -> np.ndarray:
    """Return uint8 (H, W, 3) with a longer side of `side` pixels: cubic when enlarging, area averages when shrinking."""
    return cv2.resize(picture, shown_size(picture, side), interpolation=cv2.INTER_AREA if side < max(picture.shape[:2]) else cv2.INTER_CUBIC)


def shown_size(picture: np.ndarray, side: int) -> tuple[int, int]:
    """Return width and height of a picture (H, W, ...) whose longer side is brought to `side` pixels."""
    height, width = picture.shape[:2]
    return max(1, round(width * side / max(height, width))), max(1, round(height * side / max(height, width)))
