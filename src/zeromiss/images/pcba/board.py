"""One picture of one board: a pure function of the layout, a seed, a size, and a kind of defect."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from zeromiss.errors import ZeromissError
from zeromiss.images.pcba.bodies import draw_body
from zeromiss.images.pcba.camera import develop, expose, noise, shade
from zeromiss.images.pcba.defects import DEFECTS, SMALLEST_PX, spoil
from zeromiss.images.pcba.layout import PRODUCT
from zeromiss.images.pcba.plate import bare_board
from zeromiss.images.pcba.scene import Scene, good_scene, nominal_scene
from zeromiss.images.pcba.solder import draw_bridge, draw_label, draw_scratch, draw_solder

TOLERANCE = 7.0  # grey levels: a pixel that differs by more, before noise, belongs to the defect
SMALLEST_SIDE = 64
# At least _CLEAR_PIXELS pixels of a defect differ by this many grey levels; less below 200 px, where details fade.
_CLEAR, _CLEAR_SMALL = 26.0, 16.0
_CLEAR_PIXELS = 12
_MASK_PIXELS = 20
_ATTEMPTS = 24


@dataclass(frozen=True, kw_only=True)
class Board:
    """A drawn board: the picture, where it is defective, and the serial in its Data Matrix."""

    image_HWC: np.ndarray  # uint8, RGB
    mask_HW: np.ndarray  # bool, True = defective
    serial: str


def render(scene: Scene, side: int) -> np.ndarray:
    """Return the picture of a scene before noise, (side, side, 3) float32 in 0..255."""
    supersampling = max(2, math.ceil(360 / side))
    margin = 2 * supersampling
    canvas = bare_board(side, supersampling, margin, scene.light, scene.layout)
    draw_label(canvas, scene)
    for scratch in scene.scratches:
        draw_scratch(canvas, scratch)
    draw_solder(canvas, scene)
    for placed in scene.placed:
        if placed.present:
            draw_body(canvas, placed.pose, placed.part, placed.look)
    for outline in scene.bridges:
        draw_bridge(canvas, outline)
    return expose(shade(canvas, scene.light), scene.light, side=side, margin=margin, supersampling=supersampling)


def draw_board(*, seed: int, side: int, defect: str | None, layout: int = 0) -> Board:
    """Draw the board of this seed and layout, good or with one defect; the same arguments give the same bytes.

    `side` is the picture's height and width in pixels, 64 or more. A defect's mask holds every
    pixel that differs from the good board of the same seed by more than TOLERANCE grey levels
    before noise; its box is at least 6 px long, at every side, and it has 20 pixels or more.
    Raises ZeromissError for a negative seed, a side below 64, or an unknown kind of defect.
    """
    if seed < 0:
        raise ZeromissError(f"a board's seed must be 0 or more, not {seed}")
    if side < SMALLEST_SIDE:
        raise ZeromissError(f"a board needs a side of {SMALLEST_SIDE} px or more, not {side}")
    if defect is not None and defect not in DEFECTS:
        raise ZeromissError(f"unknown defect {defect!r}: choose one of {', '.join(DEFECTS)}")
    scene = good_scene(seed, layout)
    picture = render(scene, side)
    mask = np.zeros((side, side), dtype=bool)
    if defect is not None:
        picture, mask = _defective(scene, picture, seed=seed, defect=defect)
    grains = noise(np.random.default_rng(np.random.SeedSequence([PRODUCT, seed, 2])), side)
    return Board(image_HWC=develop(picture, grains), mask_HW=mask, serial=scene.serial)


def draw_reference(*, layout: int, side: int) -> np.ndarray:
    """Return the picture of a layout as designed, (side, side, 3) uint8, RGB: no part off its place, no noise, no defect of lens or lamp."""
    return np.clip(np.rint(render(nominal_scene(layout), side)), 0, 255).astype(np.uint8)


def _defective(scene: Scene, good: np.ndarray, *, seed: int, defect: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the picture with the defect and its mask: the first draw that can be seen."""
    for attempt in range(_ATTEMPTS):
        rng = np.random.default_rng(np.random.SeedSequence([PRODUCT, seed, 3, DEFECTS.index(defect), attempt]))
        picture = render(spoil(scene, defect, rng, side=len(good), attempt=attempt), len(good))
        difference = np.abs(picture - good).max(axis=-1)
        mask = difference_mask(difference)
        if _visible(difference, mask):
            return picture, mask
    raise ZeromissError(f"no visible {defect} found for board {seed} at {len(good)} px: use another seed or a larger side")


def difference_mask(difference_HW: np.ndarray) -> np.ndarray:
    """Return where a difference in grey levels exceeds TOLERANCE, small holes closed, (H, W) bool."""
    beyond = (difference_HW > TOLERANCE).astype(np.uint8)
    return cv2.morphologyEx(beyond, cv2.MORPH_CLOSE, np.ones((3, 3), dtype=np.uint8)).astype(bool) | (beyond > 0)


def _visible(difference: np.ndarray, mask: np.ndarray) -> bool:
    clear = _CLEAR if len(mask) >= 200 else _CLEAR_SMALL
    if mask.sum() < _MASK_PIXELS or (difference > clear).sum() < _CLEAR_PIXELS:
        return False
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return max(np.ptp(rows), np.ptp(columns)) + 1 >= SMALLEST_PX
