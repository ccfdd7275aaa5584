"""Finding the one part that a picture shows before its background, with its centre, axis and area, or refusing it.

A pixel belongs to the part where its colour differs from that of the picture's border, by Otsu's threshold: brighter or
darker alike. Holes belong to the part. Axes: H rows, W columns; places (x, y) in pixels, pixel centres at whole numbers.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from zeromiss.errors import ZeromissError

WORK_SIDE = 512  # pixels of the longer side on which parts are looked for
ROUND = 1.15  # ratio of the axes (of the ellipse with the same moments) below which a part has no axis to turn it by
_BLUR = 1.5  # pixels: sigma of the filter before the threshold
_RING = 0.02  # share of the longer side: width of the border whose median is the background's colour
_FAINT, _CLEAR = 0.03, 3.0  # difference in [0, 1] of part and background at least, and as a multiple of the background's deviation
_SEVERAL = 0.2  # share of the largest region's area from which a second one is a part too
_SMALLEST = 0.005  # share of the picture that a part takes at least
_BUSY = 0.25  # share of the border above the threshold from which there is no background


class NoClearPart(ZeromissError):
    """A picture in which no single part stands out from its background."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part as a picture shows it; lengths in the picture's own pixels."""

    centre: tuple[float, float]  # of its area
    area: float
    degrees: float  # of its longer axis, clockwise from the x axis as seen on a screen; its heavier tail lies ahead
    elongation: float  # ratio of the axes of the ellipse with the same moments, >= 1
    outline_N2: np.ndarray  # places on its edge

    @property
    def is_round(self) -> bool:
        """Whether its axes are too alike to turn it by them."""
        return self.elongation < ROUND

    def box(self, degrees: float) -> tuple[float, float, float, float]:
        """Return the middle (x, y), the length along an axis at `degrees` and the breadth across it of all that it covers."""
        turn = rotation(degrees)
        along_N2 = self.outline_N2 @ turn  # columns of a rotation are its axes
        low, high = along_N2.min(axis=0) - 0.5, along_N2.max(axis=0) + 0.5
        x, y = turn @ ((low + high) / 2)
        return float(x), float(y), float(high[0] - low[0]), float(high[1] - low[1])


def find_part(picture_HWC: np.ndarray, name: str = "the image") -> Part:
    """Return the part in a float32 RGB picture (H, W, 3) in [0, 1].

    Raises NoClearPart, with `name`, when nothing stands out from the background, several parts do, or the part is cut off
    by the picture's edge.
    """
    height, width = picture_HWC.shape[:2]
    scale = min(1.0, WORK_SIDE / max(height, width))
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    small_HWC = cv2.resize(picture_HWC, inner, interpolation=cv2.INTER_AREA) if scale < 1.0 else picture_HWC
    region_HW = _region(cv2.GaussianBlur(small_HWC, (0, 0), _BLUR), name)
    moments = cv2.moments(region_HW.astype(np.uint8), binaryImage=True)
    enlarge = np.array([width / inner[0], height / inner[1]])
    outline_N2 = np.concatenate(cv2.findContours(region_HW.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0])[:, 0]
    x, y = (np.array([moments["m10"], moments["m01"]]) / moments["m00"] + 0.5) * enlarge - 0.5
    degrees, elongation = _axis(moments)
    return Part(
        centre=(float(x), float(y)),
        area=float(moments["m00"] * enlarge.prod()),
        degrees=degrees,
        elongation=elongation,
        outline_N2=(outline_N2 + 0.5) * enlarge - 0.5,
    )


def rotation(degrees: float) -> np.ndarray:
    """Return the matrix (2, 2) of a turn, clockwise as seen on a screen."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cosine, -sine], [sine, cosine]])


def _region(blurred_HWC: np.ndarray, name: str) -> np.ndarray:
    """Return which pixels are the part's, bool (H, W)."""
    ring_HW = np.ones(blurred_HWC.shape[:2], dtype=bool)
    width = max(2, round(_RING * max(ring_HW.shape)))
    ring_HW[width:-width, width:-width] = False
    off_HWC = blurred_HWC - np.median(blurred_HWC[ring_HW], axis=0)
    distance_HW = np.sqrt(np.square(off_HWC).mean(axis=2))
    peak = float(distance_HW.max())
    level, _ = cv2.threshold(np.rint(distance_HW * (255.0 / max(peak, 1e-6))).astype(np.uint8), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    above_HW = distance_HW > (level + 0.5) * peak / 255.0
    contrast = float(distance_HW[above_HW].mean() - distance_HW[~above_HW].mean()) if above_HW.any() else 0.0
    if contrast < max(_FAINT, _CLEAR * float(distance_HW[~above_HW].std())) or above_HW[ring_HW].mean() > _BUSY:
        raise NoClearPart(f"{name} shows no part that stands out from its background: use an even background, darker or brighter than the part")
    opened = cv2.morphologyEx(above_HW.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    outlines = sorted(cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=cv2.contourArea, reverse=True)
    areas = [cv2.contourArea(outline) for outline in outlines]
    if not areas or areas[0] < _SMALLEST * distance_HW.size:
        raise NoClearPart(f"{name} shows no part of {_SMALLEST:.1%} of its area or more: take the picture from nearer")
    if len(areas) > 1 and areas[1] > _SEVERAL * areas[0]:
        several = sum(area > _SEVERAL * areas[0] for area in areas)
        raise NoClearPart(f"{name} shows {several} parts before its background and one is inspected at a time: cut it into pictures of one part each")
    filled = cv2.drawContours(np.zeros_like(opened), outlines[:1], -1, 1, thickness=cv2.FILLED)
    if filled[[0, -1]].any() or filled[:, [0, -1]].any():
        raise NoClearPart(f"the part in {name} is cut off by the picture's edge: place the part so that all of it is seen")
    return filled > 0


def _axis(moments: dict[str, float]) -> tuple[float, float]:
    """Return the longer axis's degrees, in (-180, 180], and the ratio of the axes, by second moments; the third ones say which end is ahead."""
    mu20, mu11, mu02 = (moments[key] / moments["m00"] for key in ("mu20", "mu11", "mu02"))
    angle = 0.5 * math.atan2(2 * mu11, mu20 - mu02)
    spread = math.hypot(mu20 - mu02, 2 * mu11)
    ratio = math.sqrt((mu20 + mu02 + spread) / max(mu20 + mu02 - spread, 1e-9))
    c, s = math.cos(angle), math.sin(angle)
    skew = c**3 * moments["mu30"] + 3 * c * c * s * moments["mu21"] + 3 * c * s * s * moments["mu12"] + s**3 * moments["mu03"]
    return math.degrees(angle) + (180.0 if skew < 0 and angle <= 0 else -180.0 if skew < 0 else 0.0), ratio
