"""Metrics of the whole image (paper 1, section 3.2, first level).

Axes: C channels, H, W pixels. Images are in [0, 1]. Higher = more abnormal unless said otherwise.
"""

import cv2
import numpy as np

ORB_KEYPOINTS = 500
ORB_HAMMING = 64  # largest distance of a match: a quarter of a descriptor's 256 bits


def mse(x_CHW: np.ndarray, x_hat_CHW: np.ndarray) -> float:
    """Return the mean squared difference of all values, in float64."""
    return float(np.square(x_CHW - x_hat_CHW, dtype=np.float64).mean())


def orb_difference(x_CHW: np.ndarray, x_hat_CHW: np.ndarray) -> tuple[float, bool]:
    """Return 1 - matched keypoints / keypoints of x, in [0, 1], and whether x has no keypoint at all.

    Keypoints are ORB's on the 8-bit grey image, at most 500. Two match when each is the other's nearest
    by Hamming distance (cross-check) and this distance is at most 64 of 256 bits. Without keypoints in
    x the difference is 0 and the flag is set; without any in the reconstruction nothing matches: 1.
    """
    _, descriptors = _orb(x_CHW)
    if descriptors is None:
        return 0.0, True
    _, descriptors_hat = _orb(x_hat_CHW)
    if descriptors_hat is None:
        return 1.0, False
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(descriptors, descriptors_hat)
    matched = sum(match.distance <= ORB_HAMMING for match in matches)
    return 1.0 - matched / len(descriptors), False


def _orb(image_CHW: np.ndarray) -> tuple[tuple, np.ndarray | None]:
    """Return ORB's keypoints and descriptors (None where there are none) of an RGB image in [0, 1]."""
    image_HWC = np.empty((*image_CHW.shape[1:], len(image_CHW)), dtype=np.uint8)
    for channel, plane_HW in enumerate(image_CHW):  # one after the other: no second copy of a large image in floats
        image_HWC[..., channel] = np.rint(plane_HW * 255)
    grey_HW = cv2.cvtColor(image_HWC, cv2.COLOR_RGB2GRAY)
    return cv2.ORB_create(nfeatures=ORB_KEYPOINTS).detectAndCompute(grey_HW, None)
