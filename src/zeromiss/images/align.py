"""Laying an image over a reference, by what both show or by fiducial marks, or refusing it.

A part that lies a little elsewhere in each picture is moved to where it lies in the reference: by a shift, or by a shift
and a turn, to fractions of a pixel. What moves into the picture from beyond its edge was not seen by the camera: the
edge is continued there, which looks odd rather than normal.

Axes: C channels, H rows, W columns.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from zeromiss.errors import ZeromissError
from zeromiss.images.fiducials import Located, locate_marks, patch, suspect
from zeromiss.images.registration import degrees_of, find_motion, local_contrast, move, places, rescale, shift_of, shrink
from zeromiss.stage_params import AlignParams

WORK_SIDE = 512  # pixels of the longer side on which motions are sought: a larger picture gains little by more
MARK_OFF = 0.01  # share of the longer side (1 pixel at least) that a mark may lie off the motion that all marks give
_FLAT = 0.01  # standard deviation of a mark's patch, in [0, 1], below which it shows nothing to go by
KEPT = 0.2  # share of a pixel of a moved mask that must be marked: a single marked pixel never vanishes


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Where an image lies against the reference."""

    matrix: np.ndarray  # (2, 3) float64: a place (x, y) of the image once laid over the reference to that in the image as given, pixels
    correlation: float  # in [-1, 1], once aligned: of the pictures' local contrast, or of the mark that is least alike
    shift: float  # of the picture's middle, share of the longer side
    degrees: float  # clockwise


class Aligner:
    """Lays images over one reference; each for itself, the same image to the same bits, from any thread."""

    def __init__(self, params: AlignParams, reference_CHW: np.ndarray, *, aspect: float = 1.0) -> None:
        """Keep a float32 RGB reference (3, H, W) in [0, 1] whose file is `aspect` times as wide as high.

        Images are squeezed to the product's size before they come here; turns are turns of the unsqueezed picture.
        Raises ZeromissError when a mark lies too close to the reference's edge, or shows nothing.
        """
        self.params = params
        self._given = reference_CHW.shape[1:]
        longer = min(max(self._given), WORK_SIDE)
        self._shape = (max(1, round(longer / max(aspect, 1.0))), max(1, round(longer * min(aspect, 1.0))))
        self._reference_HW = self._grey(reference_CHW)
        self._side = 2 * (round(params.mark_side * longer) // 2) + 1
        self._marks_N2 = np.array(params.marks).reshape(-1, 2) * self._shape[::-1] - 0.5
        self._refuse_poor_marks()

    def find(self, image_CHW: np.ndarray, name: str = "the image") -> Motion:
        """Return where a float32 RGB image (3, H, W) in [0, 1] lies; `name` stands for it in sentences.

        Raises ZeromissError when it is too unlike the reference, a mark is not found, or it lies beyond the limits.
        """
        image_HW = self._grey(image_CHW)
        motion, correlation = self._by_marks(image_HW, name) if self.params.mode == "fiducial" else self._by_picture(image_HW, name)
        found = Motion(
            matrix=rescale(motion, self._shape, self._given),
            correlation=correlation,
            shift=shift_of(motion, self._shape),
            degrees=degrees_of(motion),
        )
        self._refuse_far(found, name)
        return found

    def align(self, image_CHW: np.ndarray, name: str = "the image") -> np.ndarray:
        """Return the image laid over the reference, float32 (3, H, W) in [0, 1]; raises as `find`."""
        return move_image(image_CHW, self.find(image_CHW, name))

    def _grey(self, image_CHW: np.ndarray) -> np.ndarray:
        """Return an image as motions are sought in it: grey, unsqueezed; its local contrast where all that is seen counts."""
        grey_HW = np.ascontiguousarray(image_CHW.mean(axis=0, dtype=np.float32))
        if grey_HW.shape != self._shape:
            grey_HW = cv2.resize(shrink(grey_HW, WORK_SIDE), self._shape[::-1], interpolation=cv2.INTER_AREA)
        return grey_HW if self.params.mode == "fiducial" else local_contrast(grey_HW)

    def _by_picture(self, image_HW: np.ndarray, name: str) -> tuple[np.ndarray, float]:
        """Return the motion by all that is seen, and the correlation."""
        params = self.params
        found = find_motion(self._reference_HW, image_HW, kind=params.motion, shift=params.max_shift, degrees=params.max_rotation)
        if found is None:
            raise ZeromissError(
                f"{name} could not be laid over the reference, with which it has too little in common: check that it shows this part, "
                "placed as usual, lit and in focus"
            )
        if found[1] < params.min_correlation:
            raise ZeromissError(
                f"{name} agrees with the reference to {found[1]:.2f} at best and align.min_correlation asks for {params.min_correlation:g}: "
                "check that it shows this part, placed as usual, lit and in focus"
            )
        return found

    def _by_marks(self, image_HW: np.ndarray, name: str) -> tuple[np.ndarray, float]:
        """Return the motion by the marks, and the correlation of the one that is least alike."""
        params, longer = self.params, max(self._shape)
        located = locate_marks(
            self._reference_HW,
            image_HW,
            self._marks_N2,
            side=self._side,
            kind=params.motion,
            reach=params.max_shift * longer,
            degrees=params.max_rotation,
        )
        self._refuse_lost_marks(located, name)
        worst = int(located.residual_N.argmax())
        if located.residual_N[worst] > max(1.0, MARK_OFF * longer):
            raise ZeromissError(
                f"{self._mark(worst)} lies {located.residual_N[worst]:.1f} pixels off where the other marks of {name} put it: check that the part "
                f"is whole, and that align.motion {params.motion} is how it moves"
            )
        return located.motion, float(located.correlation_N.min())

    def _refuse_lost_marks(self, located: Located, name: str) -> None:
        """Raise ZeromissError when something else, or nothing, lies where a mark should be."""
        least, advice = self.params.min_correlation, "check that the part is placed as usual and that nothing covers the mark"
        if located.correlation_N.min() < least:
            lost = suspect(located, self._marks_N2, kind=self.params.motion)
            likeness = min(located.correlation_N[lost], located.candidates[lost][0][1])
            raise ZeromissError(f"{self._mark(lost)} was not found in {name} (likeness {likeness:.2f}, align.min_correlation asks for {least:g}): {advice}")
        for number in np.flatnonzero(self._beyond(places(located.motion, self._marks_N2))):
            raise ZeromissError(f"{self._mark(int(number))} is cut off by the edge of {name}: {advice}")

    def _refuse_far(self, found: Motion, name: str) -> None:
        """Raise ZeromissError when the image lies beyond the limits."""
        params, advice = self.params, "place the part as usual and take the picture again, or raise the limit"
        if found.shift > params.max_shift:
            raise ZeromissError(f"{name} lies {found.shift:.1%} of its side off the reference and align.max_shift allows {params.max_shift:.1%}: {advice}")
        if abs(found.degrees) > params.max_rotation:
            raise ZeromissError(
                f"{name} is turned by {found.degrees:.1f} degrees against the reference and align.max_rotation allows {params.max_rotation:g}: {advice}"
            )

    def _refuse_poor_marks(self) -> None:
        """Raise ZeromissError for a mark of the reference that images cannot be laid by."""
        for number in np.flatnonzero(self._beyond(self._marks_N2)):
            raise ZeromissError(f"{self._mark(int(number))} is cut off by the reference's edge: move it, or lower align.mark_side")
        for number, mark_2 in enumerate(self._marks_N2):
            if patch(self._reference_HW, mark_2, self._side).std() < _FLAT:
                raise ZeromissError(f"{self._mark(number)} shows nothing in the reference: give the place of something with a clear edge")

    def _beyond(self, places_N2: np.ndarray) -> np.ndarray:
        """Return which marks' patches reach beyond the picture, (N,) bool; half a pixel of doubt is left."""
        room = self._side / 2 - 0.5
        return ((places_N2 < room - 1.0) | (places_N2 > np.array(self._shape[::-1]) - room)).any(axis=1)

    def _mark(self, number: int) -> str:
        """Name a mark."""
        x, y = self.params.marks[number]
        return f"mark {number + 1} of align.marks, at ({x:g}, {y:g}),"


def move_image(image_CHW: np.ndarray, motion: Motion) -> np.ndarray:
    """Return an image laid over the reference, float32 (3, H, W) in [0, 1]."""
    moved_HWC = move(np.ascontiguousarray(image_CHW.transpose(1, 2, 0)), motion.matrix)
    return np.ascontiguousarray(np.clip(moved_HWC, 0.0, 1.0).transpose(2, 0, 1))


def move_mask(mask_HW: np.ndarray, motion: Motion) -> np.ndarray:
    """Return an image's mask laid over the reference with it, bool (H, W); what leaves the picture is no longer marked."""
    height, width = mask_HW.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(mask_HW.astype(np.float32), motion.matrix, (width, height), flags=flags, borderValue=0.0) > KEPT
