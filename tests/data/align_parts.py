"""Boards as a camera sees them that lie a known way off: the truth that alignment is measured against."""

import cv2
import numpy as np

from zeromiss.images.pcba.board import render
from zeromiss.images.pcba.camera import develop, noise
from zeromiss.images.pcba.layout import FIDUCIALS
from zeromiss.images.pcba.scene import good_scene
from zeromiss.images.registration import places, rescale

FINER = 3  # a board is drawn so many times finer than photographed, and moved there: no pixel of the photo is interpolated
MARKS = tuple((x / 1000, y / 1000) for x, y in FIDUCIALS)  # the layout is 1000 units wide
FIDUCIAL = {"mode": "fiducial", "reference": "images/a.png", "marks": MARKS}
__all__ = ["FIDUCIAL", "FINER", "MARKS", "corner_error", "motion_of", "photo", "true_motion"]


def motion_of(side, x, y, degrees):
    """The motion that shifts by shares x, y of the side and turns by degrees around the picture's middle (clockwise)."""
    middle = np.full(2, (side - 1) / 2)
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return np.column_stack([turn, middle + np.array([x, y]) * side - turn @ middle])


def photo(seed, side, motion=None, *, grain=0, scene=None):
    """Return the board of `seed`, or a scene, moved, as float32 (3, side, side) in [0, 1] of 8 bits, with its own noise."""
    fine = render(scene or good_scene(seed), side * FINER)
    if motion is not None:
        matrix = rescale(motion, (side, side), fine.shape[:2])
        fine = cv2.warpAffine(fine, matrix, fine.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    picture = np.clip(cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA), 0, 255).astype(np.float32)
    bytes_HWC = develop(picture, noise(np.random.default_rng(grain), side))
    return np.ascontiguousarray(bytes_HWC.transpose(2, 0, 1)).astype(np.float32) / 255


def true_motion(seed, side, motion, *, reference=1):
    """Return `motion` of the board `seed` against the photo of the board `reference`: the drawn camera shifts each a little."""
    fine = side * FINER
    supersampling = max(2, -(-360 // fine))  # as `render` draws

    def offset(of):
        """The shift of a drawn board's camera, whole pixels of its drawing, in pixels of the photo."""
        return np.array([round(shift * supersampling) for shift in good_scene(of).light.offset]) / supersampling / FINER

    before = motion.copy()
    before[:, 2] += motion[:, :2] @ (offset(reference) - offset(seed))
    return before


def corner_error(found, true, side):
    """Return how far apart two motions take the picture's corners at most, pixels."""
    corners = np.array([[0, 0], [side - 1, 0], [0, side - 1], [side - 1, side - 1]], dtype=float)
    return float(np.linalg.norm(places(found, corners) - places(true, corners), axis=1).max())
