"""What pictures of a product look like: an image that is none of them cannot be inspected, and says why.

The limits are learned from all labelled images, normal and defective, so that they speak of the camera and not of the part: size and
shape of the file, light, focus and colour, which way up the part lies, and whether it is this part at all. All but the size are
medians over 8 x 8 fields of the picture: what changes in less than half of it, as a defect does, moves them little.

Axes: H, W rows and columns; N images; T the five traits of `picture_traits`.
"""

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from pydantic import Field, ValidationError

from zeromiss.errors import ZeromissError
from zeromiss.files import read_json
from zeromiss.image_size import ImageSize
from zeromiss.images.traits import FIELDS, picture_traits
from zeromiss.sections import Section, first_fault

FILE = "pictures.json"
SCHEMA_VERSION = 1
LEAST = 20  # images without which nothing is learned
TRAITS = ("brightness", "contrast", "sharpness", "red against green", "blue against green")
FLOORS = (0.02, 0.005, 0.001)  # added to the first three before the logarithm is taken: near black it says nothing
SIDE = 8 * FIELDS  # pixels of the small grey picture's sides
SLACK = 1.1  # a file may be so many times larger, smaller, longer than those known
MARGIN = 2.0  # limits lie so many standard deviations beyond the furthest known image: ten limits, each seldom crossed
MORE_LIKE = 1.05  # a turned or mirrored picture must be so many times more like the typical one, beyond what is known
SHARED = 0.1  # of the rows: so many that are equal to those of the image before are no chance
TEXTURE = 4 / 255  # between the lightest and the darkest pixel of a row: even ground may be equal by chance
WAYS = {
    "turned by 90 degrees": lambda one: np.rot90(one, 1),
    "turned by 180 degrees": lambda one: np.rot90(one, 2),
    "turned by 270 degrees": lambda one: np.rot90(one, 3),
    "mirrored left to right": lambda one: one[:, ::-1],
    "mirrored top to bottom": lambda one: one[::-1],
    "mirrored at a diagonal": lambda one: one.T,
    "mirrored at the other diagonal": lambda one: np.rot90(one, 2).T,
}


class NotInspectable(ZeromissError):
    """A sound image of which a verdict would mean nothing: a person looks at it, as at an abnormal one."""


class Seen(NamedTuple):
    """What one picture is asked about."""

    width: int  # pixels of the upright file
    height: int
    traits_T: np.ndarray
    grey_HW: np.ndarray  # (SIDE, SIDE), with its median taken out, in units of its mean deviation from it


class Repeats:
    """Tells when an image is the one before it again, whole or in part, under another name: a camera or a buffer that hangs.

    The same name again, or none, is somebody who asks again. Threads may share it.
    """

    def __init__(self) -> None:
        """No image has been seen."""
        self._lock = threading.Lock()
        self._last: tuple[str, np.ndarray] | None = None

    def check(self, name: str, image_CHW: np.ndarray) -> None:
        """Raise NotInspectable for an image (3, H, W) that shares all its rows, or a good part of those with texture, with the last one."""
        image_CHW = np.asarray(image_CHW)
        with self._lock:
            last, self._last = self._last, (name, image_CHW)
        if last is None or not name or last[0] in (name, "") or last[1].shape != image_CHW.shape:
            return
        same_H = (image_CHW == last[1]).all(axis=(0, 2))
        if same_H.all():
            raise NotInspectable(f"{name} is not inspectable: it is {last[0]} again, pixel for pixel: look whether the camera hangs")
        textured_H = np.ptp(image_CHW, axis=2).max(axis=0) > TEXTURE
        if (same_H & textured_H).mean() >= SHARED:
            raise NotInspectable(f"{name} is not inspectable: {(same_H & textured_H).mean():.0%} of its rows are those of {last[0]}: look whether a buffer hangs")


class Pictures(Section):
    """The limits, and the typical picture where parts always lie alike."""

    pixels: tuple[float, float]  # least and most, width x height
    shape: tuple[float, float]  # least and most, width / height
    low: tuple[float, ...] = Field(min_length=5, max_length=5)  # of the traits; the first three as logarithms
    high: tuple[float, ...] = Field(min_length=5, max_length=5)
    typical: tuple[tuple[float, ...], ...] | None = None  # the median grey picture, (SIDE, SIDE)
    farthest: float | None = None  # from it
    turned: dict[str, float] = {}  # for each of WAYS, how much more like the typical picture an image may be that way
    n_images: int

    @property
    def usual_size(self) -> ImageSize:
        """A size of file that is known, for an image that comes without a file."""
        height = round((self.pixels[0] / self.shape[0]) ** 0.5)
        return ImageSize(round(height * self.shape[0]), height)

    def refusal(self, seen: Seen) -> str:
        """Return why the picture cannot be inspected, '' where it can."""
        for fault in (self._size(seen), self._traits(seen), self._place(seen)):
            if fault:
                return f"not inspectable: {fault}: look at the camera, or, where the line has changed, label such images and train again"
        return ""

    def check(self, image_CHW: np.ndarray, file: ImageSize, name: str) -> None:
        """Raise NotInspectable, naming the image, for a picture that is none of the product's."""
        if refusal := self.refusal(look(image_CHW, file)):
            raise NotInspectable(f"{name} is {refusal}")

    def _size(self, seen: Seen) -> str:
        """Return what is wrong with the size of the file."""
        pixels, shape = seen.width * seen.height, seen.width / seen.height
        if not self.shape[0] / SLACK <= shape <= self.shape[1] * SLACK:
            return f"it has {seen.width} x {seen.height} pixels, another shape than the {self.n_images} images known"
        if not self.pixels[0] / SLACK**2 <= pixels <= self.pixels[1] * SLACK**2:
            return f"it has {seen.width} x {seen.height} pixels, the images known between {self.pixels[0]:.0f} and {self.pixels[1]:.0f} in all"
        return ""

    def _traits(self, seen: Seen) -> str:
        """Return which trait lies furthest outside of those known."""
        low_T, high_T = np.array(self.low), np.array(self.high)
        beyond_T = np.maximum(low_T - seen.traits_T, seen.traits_T - high_T) / (high_T - low_T)
        worst = int(np.argmax(beyond_T))
        if beyond_T[worst] <= 0.0:
            return ""
        below = seen.traits_T[worst] < low_T[worst]
        known, found = (_plain(worst, one) for one in ((low_T if below else high_T)[worst], seen.traits_T[worst]))
        return f"its {TRAITS[worst]} is {found:.4g}, {'less' if below else 'more'} than in any image known ({known:.4g})"

    def _place(self, seen: Seen) -> str:
        """Return whether the picture lies another way up, or shows something else."""
        if self.typical is None:
            return ""
        typical_HW = np.array(self.typical)
        ratios = likeness(seen.grey_HW, typical_HW)
        further = {way: ratio / self.turned[way] for way, ratio in ratios.items()}
        way = max(further, key=lambda one: further[one])
        if further[way] > 1.0:
            return f"it looks {way}"
        if difference(seen.grey_HW, typical_HW) > self.farthest:
            return "it shows something else than the images known: another product, or the part far from its place"
        return ""


def look(image_CHW: np.ndarray, file: ImageSize) -> Seen:
    """Return what is asked about a picture: RGB in [0, 1] (3, H, W) as it is inspected, and the size of its file."""
    image_HW3 = np.rint(np.asarray(image_CHW).transpose(1, 2, 0) * 255.0).astype(np.uint8)
    brightness, contrast, sharpness, red, blue = picture_traits(image_HW3)
    logarithms = np.log(np.array([brightness, contrast, sharpness]) + FLOORS)
    grey_HW = cv2.resize(cv2.cvtColor(image_HW3, cv2.COLOR_RGB2GRAY).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float64)
    grey_HW = grey_HW - np.median(grey_HW)
    return Seen(file.width, file.height, np.array([*logarithms, red, blue]), grey_HW / (np.abs(grey_HW).mean() + 1.0))


def difference(grey_HW: np.ndarray, typical_HW: np.ndarray) -> float:
    """Return how far a small grey picture is from the typical one, >= 0: the median over fields of the mean absolute difference inside a field.

    A field's own mean is taken out of both, so that light that falls unevenly counts little.
    """
    apart = (grey_HW - typical_HW).reshape(FIELDS, SIDE // FIELDS, FIELDS, SIDE // FIELDS)
    return float(np.median(np.abs(apart - apart.mean(axis=(1, 3), keepdims=True)).mean(axis=(1, 3))))


def likeness(grey_HW: np.ndarray, typical_HW: np.ndarray) -> dict[str, float]:
    """Return for each of WAYS how many times nearer the typical picture is when the picture is turned so, > 0; above 1: more like it."""
    as_it_is = difference(grey_HW, typical_HW) + 1e-6
    return {way: as_it_is / (difference(turn(grey_HW), typical_HW) + 1e-6) for way, turn in WAYS.items()}


def learn(pictures: Iterable[Seen], *, fixed_position: bool) -> Pictures | None:
    """Learn the limits from labelled images; None where there are fewer than LEAST. `fixed_position`: parts always lie alike."""
    seen = list(pictures)
    if len(seen) < LEAST:
        return None
    size = np.array([(one.width * one.height, one.width / one.height) for one in seen])
    traits_NT = np.array([one.traits_T for one in seen])
    slack_T = np.maximum(MARGIN * traits_NT.std(axis=0), 0.01)
    found = Pictures(
        pixels=(size[:, 0].min(), size[:, 0].max()),
        shape=(size[:, 1].min(), size[:, 1].max()),
        low=tuple(traits_NT.min(axis=0) - slack_T),
        high=tuple(traits_NT.max(axis=0) + slack_T),
        n_images=len(seen),
    )
    if not fixed_position:
        return found
    typical_HW = np.median([one.grey_HW for one in seen], axis=0)
    farthest = np.log([difference(one.grey_HW, typical_HW) for one in seen])
    ratios = [likeness(one.grey_HW, typical_HW) for one in seen]
    return found.model_copy(
        update={
            "typical": tuple(map(tuple, np.round(typical_HW, 4).tolist())),
            "farthest": float(np.exp(farthest.max() + MARGIN * farthest.std())),
            "turned": {way: max(1.0, *(one[way] for one in ratios)) * MORE_LIKE for way in WAYS},
        }
    )


def load_pictures(path: Path) -> Pictures:
    """Read what the metrics stage wrote; raises ZeromissError for a file that is missing or holds something else."""
    payload = {key: value for key, value in read_json(path, schema_version=SCHEMA_VERSION).items() if key != "schema_version"}
    try:
        return Pictures.model_validate(payload)
    except ValidationError as error:
        key, fault = first_fault(error)
        raise ZeromissError(f"{path}: {key}: {fault}: run the metrics stage anew") from None


def _plain(trait: int, value: float) -> float:
    """Return a trait as it is spoken of, in [0, 1] or a difference of two such: without its logarithm."""
    return float(np.exp(value)) - FLOORS[trait] if trait < len(FLOORS) else value
