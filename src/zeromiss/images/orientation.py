"""Parts at any angle: where a part lies in its picture against the reference, and the picture as seen from the part.

The reference has a frame: the part's middle, its axis, its length and breadth. Any other picture of the part is laid over it
by one affine matrix from the inspected image to the picture's own pixels, which are sampled once. Three ways to the turn, by
what the reference shows: the axis of a long part, correlation around the centre of a round one, spectra where there is no
background. What moves in from beyond a picture's edge continues the edge.

Axes: C channels, H rows, W columns. Places (x, y) in pixels, pixel centres at whole numbers; a matrix (2, 3) takes places to places.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from zeromiss.errors import ZeromissError
from zeromiss.image_size import ImageSize
from zeromiss.images.align import KEPT, Motion
from zeromiss.images.registration import degrees_of, find_motion, local_contrast, shift_of
from zeromiss.images.segmentation import NoClearPart, Part, find_part, rotation
from zeromiss.images.turns import angular_deviation, turns_around, turns_of_spectra
from zeromiss.stage_params import AlignParams

Method = Literal["axis", "centre", "spectrum"]

FIT_SIDE, TRY_SIDE = 512, 128  # pixels of the longer side on which the motion is refined, and on which candidates are tried
ROOM = 0.08  # share of the part's length and breadth around it that the motion is refined on
AREA = 0.25  # share by which a part's area may differ from the reference's
_NEAR, _TURN = 0.08, 6.0  # how far a candidate may be off: share of the longer side, degrees
_SHARP = 0.02  # more than a pixel that a pixel stands for, up to which nothing is smoothed
_BEYOND = 1.5  # times as far as that, where refining has lost the part
_PLAIN = 0.01  # change of grey values around a round part's centre below which nothing says how it is turned
_TIE = 0.05  # difference in correlation below which two candidates are both refined


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Where the part lies in the reference, in the pixels of the reference's file."""

    method: Method  # what says how another picture is turned against it
    degrees: float  # of the part's longer axis, clockwise from the x axis; 0 without one
    centre: tuple[float, float]  # of the part's area; the picture's middle without a background
    middle: tuple[float, float]  # of the part's box
    length: float  # of the part's box along the axis
    breadth: float  # and across it
    area: float  # of the part, pixels; 0 without a background
    width: int  # of the picture
    height: int

    def box(self, size: ImageSize, params: AlignParams) -> tuple[float, float]:
        """Return width and height, in the reference's pixels, of what an image of `size` shows; their ratio is that of `size`."""
        part = (self.length, self.breadth) if size.width >= size.height else (self.breadth, self.length)
        if self.method == "spectrum":
            whole = min(self.width, self.height) / math.hypot(size.width, size.height)
            wanted = (size.width * whole, size.height * whole) if params.crop == "part" else (self.width, self.height)
        elif params.crop == "part":
            wanted = tuple(side * (1 + 2 * params.margin) for side in part)
        else:
            wanted = tuple(max(sides) for sides in zip((self.width, self.height), part, strict=True))
        scale = max(wanted[0] / size.width, wanted[1] / size.height)
        return size.width * scale, size.height * scale

    def turn(self, size: ImageSize) -> float:
        """Return the degrees of an inspected image's rows: the part's axis lies along the longer side."""
        return self.degrees if self.method != "axis" or size.width >= size.height else self.degrees - 90.0


def make_frame(picture_HWC: np.ndarray, part: Part | None) -> Frame:
    """Return the frame of a reference, (H, W, 3) float32 in [0, 1], with its part; None where it has no background.

    Raises ZeromissError for a round part on which nothing says how it is turned.
    """
    height, width = picture_HWC.shape[:2]
    if part is None:
        middle = ((width - 1) / 2, (height - 1) / 2)
        side = min(width, height) / math.sqrt(2)  # the square that is seen at any angle
        return Frame(method="spectrum", degrees=0.0, centre=middle, middle=middle, length=side, breadth=side, area=0.0, width=width, height=height)
    degrees = 0.0 if part.is_round else part.degrees
    x, y, length, breadth = part.box(degrees)
    if part.is_round:
        change = angular_deviation(picture_HWC.mean(axis=2, dtype=np.float32), np.array(part.centre), min(length, breadth) / 2)
        if change < _PLAIN:
            raise ZeromissError(
                "the part is nearly round and shows nothing that says how it is turned: set align.mode to reference with align.motion translation, or to none"
            )
    method = "centre" if part.is_round else "axis"
    return Frame(
        method=method, degrees=degrees, centre=part.centre, middle=(x, y), length=length, breadth=breadth, area=part.area, width=width, height=height
    )


def fit_matrix(frame: Frame, side: int = FIT_SIDE) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the matrix from the picture on which motions are refined to the reference's file, and that picture's shape (H, W)."""
    room = 1.0 if frame.method == "spectrum" else 1 + 2 * ROOM
    length, breadth = frame.length * room, frame.breadth * room
    scale = max(1.0, max(length, breadth) / side)
    shape = max(16, round(breadth / scale)), max(16, round(length / scale))
    return _placed(shape, scale, frame.degrees, frame.middle), shape


class Orienter:
    """Lays pictures of a part at any angle over one reference; each for itself, the same picture to the same bits."""

    def __init__(self, params: AlignParams, reference_HWC: np.ndarray, frame: Frame, size: ImageSize) -> None:
        """Keep a reference, as `fit_matrix` cuts it out, float32 (H, W, 3) in [0, 1]; images are brought to `size`."""
        self.params, self.frame, self.size = params, frame, size
        self._fit, self._shape = fit_matrix(frame)
        self._try, self._small = fit_matrix(frame, TRY_SIDE)
        grey_HW = reference_HWC.mean(axis=2, dtype=np.float32)
        self._grey_HW = grey_HW
        self._reference_HW = local_contrast(grey_HW)
        self._small_HW = cv2.resize(grey_HW, self._small[::-1], interpolation=cv2.INTER_AREA)
        self._trial_HW = local_contrast(self._small_HW)
        box = frame.box(size, params)
        self._out = _placed(size.shape, box[0] / size.width, frame.turn(size), frame.middle)

    def find(self, picture_HWC: np.ndarray, name: str = "the image") -> Motion:
        """Return where the part lies in a float32 RGB picture (H, W, 3) in [0, 1] of any size; `name` stands for it in sentences.

        The motion's matrix takes places of the inspected image to the picture's. Raises ZeromissError when there is no clear
        part, it is too large or too small, or too unlike the reference.
        """
        grey_HW = picture_HWC.mean(axis=2, dtype=np.float32)
        best, correlation = self._refined(grey_HW, self._candidates(picture_HWC, grey_HW, name), name)
        if correlation < self.params.min_correlation:
            raise ZeromissError(
                f"{name} agrees with the reference to {correlation:.2f} at best, once turned, and align.min_correlation asks for "
                f"{self.params.min_correlation:g}: check that it shows this part, this side up, lit and in focus"
            )
        moved = np.array(self.frame.middle) @ best[:, :2].T + best[:, 2] - self.frame.middle
        return Motion(
            matrix=_chain(best, self._out),
            correlation=correlation,
            shift=float(np.hypot(*moved)) / max(self.frame.width, self.frame.height),
            degrees=math.degrees(math.atan2(best[1, 0], best[0, 0])),
        )

    def move(self, picture_HWC: np.ndarray, motion: Motion) -> np.ndarray:
        """Return the picture laid over the reference, float32 (3, H, W) in [0, 1]."""
        laid_HWC = sample(picture_HWC, motion.matrix, self.size.shape)
        return np.ascontiguousarray(np.clip(laid_HWC, 0.0, 1.0).transpose(2, 0, 1))

    def move_mask(self, mask_HW: np.ndarray, motion: Motion) -> np.ndarray:
        """Return a mask of the picture's own size laid over the reference with it, bool (H, W); no mark vanishes by shrinking."""
        wide = max(1, 2 * round((_scale(motion.matrix) - 1) / 2) + 1)
        grown_HW = cv2.dilate(mask_HW.astype(np.uint8), np.ones((wide, wide), np.uint8)).astype(np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(grown_HW, motion.matrix, (self.size.width, self.size.height), flags=flags, borderValue=0.0) > KEPT

    def _candidates(self, picture_HWC: np.ndarray, grey_HW: np.ndarray, name: str) -> list[np.ndarray]:
        """Return matrices from the reference's file to the picture that may be right, to a few pixels and degrees."""
        frame = self.frame
        if frame.method == "spectrum":
            return self._by_spectrum(grey_HW)
        part = find_part(picture_HWC, name)
        if abs(part.area / frame.area - 1.0) > AREA:
            raise ZeromissError(
                f"the part in {name} has {part.area / frame.area:.2f} times the area of the reference's: check that it is this part, whole, on an "
                "even background and as far from the camera"
            )
        if frame.method == "axis":
            if part.is_round:
                raise ZeromissError(
                    f"the part in {name} is nearly round and the reference's is {frame.length / frame.breadth:.1f} times as long as broad: check "
                    "that it is this part"
                )
            turns = [part.degrees - frame.degrees, part.degrees - frame.degrees + 180.0]
        else:
            matrix, shape = fit_matrix(frame)
            own = _at(_inverse(matrix), frame.centre)
            seen_HW = sample(grey_HW, _around(0.0, (0.0, 0.0), tuple(np.subtract(part.centre, frame.centre))) @ _square(matrix), shape)
            turns = turns_around(self._grey_HW, own, seen_HW, own, min(frame.length, frame.breadth) / 2 / _scale(matrix))
        return [_around(turn, frame.centre, part.centre) for turn in turns]

    def _by_spectrum(self, grey_HW: np.ndarray) -> list[np.ndarray]:
        """Return the candidates where there is no background: turns by spectra, each with the shift that agrees best."""
        frame = self.frame
        if grey_HW.shape != (frame.height, frame.width):
            shape = f"{grey_HW.shape[1]} x {grey_HW.shape[0]}"
            raise ZeromissError(
                f"a picture of {shape} pixels cannot be laid over a reference of {frame.width} x {frame.height} without a background: take both alike"
            )
        room = math.hypot(frame.width, frame.height) - frame.length
        step = _scale(self._try)
        wide = tuple(side + 2 * round(room / 2 / step / 2) for side in self._small)
        around = _placed(wide, step, 0.0, frame.middle)
        found = []
        fitted = sample(grey_HW, self._fit, self._shape)
        for turn in turns_of_spectra(self._grey_HW, fitted):
            turned = _around(turn, frame.centre, frame.centre)
            scores = cv2.matchTemplate(sample(grey_HW, _chain(turned, around), wide), self._small_HW, cv2.TM_CCOEFF_NORMED)
            _, _, _, (x, y) = cv2.minMaxLoc(scores)
            off = (np.array([x, y]) - (np.array(wide[::-1]) - self._small[::-1]) / 2) * step
            turned[:, 2] += turned[:, :2] @ off
            found.append(turned)
        return found

    def _refined(self, grey_HW: np.ndarray, candidates: Sequence[np.ndarray], name: str) -> tuple[np.ndarray, float]:
        """Return the matrix from the reference's file to the picture that agrees best, and the correlation."""
        tried = [self._fitted(grey_HW, one, self._try, self._trial_HW) for one in candidates]
        likely = sorted((one for one in tried if one is not None), key=lambda one: -one[1])
        found = [self._fitted(grey_HW, matrix, self._fit, self._reference_HW) for matrix, score in likely if score > likely[0][1] - _TIE]
        best = max((one for one in found if one is not None), key=lambda one: one[1], default=None)
        if best is None:
            raise ZeromissError(f"{name} could not be laid over the reference at any angle: check that it shows this part, lit and in focus")
        return best

    def _fitted(self, grey_HW: np.ndarray, matrix: np.ndarray, fit: np.ndarray, reference_HW: np.ndarray) -> tuple[np.ndarray, float] | None:
        """Return a candidate refined on a picture of the reference, and the correlation; None where that does not converge nearby."""
        seen_HW = local_contrast(sample(grey_HW, _chain(matrix, fit), reference_HW.shape))
        found = find_motion(reference_HW, seen_HW, kind="euclidean", shift=_NEAR, degrees=_TURN)
        if found is None or shift_of(found[0], reference_HW.shape) > _BEYOND * _NEAR or abs(degrees_of(found[0])) > _BEYOND * _TURN:
            return None
        motion, correlation = found
        return _chain(matrix, fit, motion, _inverse(fit)), correlation


def upright(picture_HWC: np.ndarray, part: Part, side: int) -> np.ndarray:
    """Return a grey copy (side, side) of a part turned to its axis, its heavier tail to the right, stretched to its box."""
    degrees = 0.0 if part.is_round else part.degrees
    x, y, length, breadth = part.box(degrees)
    matrix = _placed((side, side), max(length, breadth) * (1 + 2 * ROOM) / side, degrees, (x, y))
    return sample(picture_HWC.mean(axis=2, dtype=np.float32), matrix, (side, side))


def part_or_none(picture_HWC: np.ndarray) -> Part | None:
    """Return the part in a picture, None where none is clear."""
    try:
        return find_part(picture_HWC)
    except NoClearPart:
        return None


def sample(picture: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a picture (H, W) or (H, W, 3) seen through a matrix as float32 of `shape` (H, W); cubic, smoothed first where it shrinks.

    Smoothed is only what is seen, by means of whole pixels and a Gaussian for the rest; beyond the picture's edge the edge goes on.
    """
    rows, columns = shape
    scale = _scale(matrix)
    corners = _at(matrix, np.array([[-0.5, -0.5], [columns - 0.5, -0.5], [-0.5, rows - 0.5], [columns - 0.5, rows - 0.5]]))
    room = 4 + math.ceil(3 * scale)
    limits = np.array(picture.shape[1::-1])
    low = np.clip(np.floor(corners.min(axis=0)).astype(int) - room, 0, limits - 1)
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + room, low + 1, limits)
    seen, moved = picture[low[1] : high[1], low[0] : high[0]], matrix - np.array([[0.0, 0.0, low[0]], [0.0, 0.0, low[1]]])
    whole = int(scale + 1e-6)
    if whole > 1:
        height, width = seen.shape[:2]
        seen = cv2.copyMakeBorder(seen, 0, -height % whole, 0, -width % whole, cv2.BORDER_REPLICATE)
        seen = cv2.resize(seen, (seen.shape[1] // whole, seen.shape[0] // whole), interpolation=cv2.INTER_AREA)
        moved, scale = moved / whole + np.array([[0.0, 0.0, 0.5 / whole - 0.5]]), scale / whole
    if scale > 1.0 + _SHARP:
        seen = cv2.GaussianBlur(seen, (0, 0), (scale - 1.0) / 2.0, borderType=cv2.BORDER_REPLICATE)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(np.ascontiguousarray(seen), moved, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _placed(shape: tuple[int, ...], scale: float, degrees: float, middle: Sequence[float]) -> np.ndarray:
    """Return the matrix from an image of `shape` (H, W), turned and scaled around a place, to that place's picture."""
    turn = scale * rotation(degrees)
    return np.column_stack([turn, np.array(middle) - turn @ ((np.array(shape[1::-1]) - 1) / 2)])


def _around(degrees: float, start: Sequence[float], end: Sequence[float]) -> np.ndarray:
    """Return the matrix of a turn that takes one place to another."""
    turn = rotation(degrees)
    return np.column_stack([turn, np.array(end) - turn @ np.array(start)])


def _square(matrix: np.ndarray) -> np.ndarray:
    """Return a matrix (2, 3) as (3, 3)."""
    return np.vstack([matrix, [0.0, 0.0, 1.0]])


def _chain(*matrices: np.ndarray) -> np.ndarray:
    """Return the matrix that does what all do, the last one first."""
    whole = np.eye(3)
    for matrix in matrices:
        whole = whole @ _square(matrix)
    return whole[:2]


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """Return the matrix back."""
    return np.linalg.inv(_square(matrix))[:2]


def _at(matrix: np.ndarray, places: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return where a matrix takes places (x, y), (2,) or (N, 2)."""
    return np.asarray(places) @ matrix[:, :2].T + matrix[:, 2]


def _scale(matrix: np.ndarray) -> float:
    """Return how many pixels of the picture one pixel of the image stands for, along a side."""
    return math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
