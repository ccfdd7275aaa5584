"""What is drawn on: colour and relief of the board, seen from above, before any light falls on it.

World units: 1000 to the side of the picture, x to the right, y downwards; angles in degrees,
clockwise as seen. Heights are counts of half a unit. All shapes are anti-aliased by OpenCV's
fixed-point rasteriser, so the same shapes give the same bytes everywhere.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate

import cv2
import numpy as np

WORLD = 1000.0
_SHIFT = 6  # fractional bits of a coordinate

Colour = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Material:
    """A surface: colour (RGB), height, gloss and metal, each in 0..255."""

    colour: Colour
    height: int = 0
    gloss: int = 0
    metal: int = 0

    def at(self, height: int) -> "Material":
        """Return the same surface at another height."""
        return Material(colour=self.colour, height=height, gloss=self.gloss, metal=self.metal)

    def dyed(self, gain: float) -> "Material":
        """Return the same surface with its colour multiplied by `gain`."""
        red, green, blue = (min(255, round(c * gain)) for c in self.colour)
        return Material(colour=(red, green, blue), height=self.height, gloss=self.gloss, metal=self.metal)


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Where a thing lies: its centre and its angle."""

    x: float
    y: float
    angle: float = 0.0

    def place(self, points: np.ndarray) -> np.ndarray:
        """Turn and move local points (..., 2) into the world."""
        cosine, sine = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        x, y = points[..., 0], points[..., 1]
        placed = np.empty(points.shape)
        placed[..., 0] = cosine * x - sine * y + self.x
        placed[..., 1] = sine * x + cosine * y + self.y
        return placed

    def moved(self, dx: float, dy: float, turn: float = 0.0) -> "Pose":
        """Return the pose shifted by world units and turned by degrees."""
        return Pose(x=self.x + dx, y=self.y + dy, angle=self.angle + turn)


@dataclass(kw_only=True)
class Canvas:
    """Colour and relief, (N, N, 3) uint8 each; relief holds height, gloss and metal."""

    scale: float  # pixels a world unit
    margin: int  # pixels around the picture, cut off later
    albedo: np.ndarray = field(repr=False)
    relief: np.ndarray = field(repr=False)

    @classmethod
    def blank(cls, *, side: int, supersampling: int, margin: int) -> "Canvas":
        """Return a black, flat canvas for a picture of `side` pixels."""
        pixels = side * supersampling
        shape = (pixels + 2 * margin, pixels + 2 * margin, 3)
        zeros = np.zeros(shape, dtype=np.uint8)
        return cls(scale=pixels / WORLD, margin=margin, albedo=zeros, relief=zeros.copy())

    def fixed(self, shapes: Sequence[np.ndarray], pose: Pose | None = None) -> list[np.ndarray]:
        """Return shapes (each (N, 2), in world units or a pose's own) as fixed-point pixels, int32."""
        if not shapes:
            return []
        points = np.concatenate(shapes)
        if pose is not None:
            points = pose.place(points)
        points = np.rint((points * self.scale + (self.margin - 0.5)) * (1 << _SHIFT)).astype(np.int32)
        ends = list(accumulate(len(shape) for shape in shapes))
        return [points[end - len(shape) : end] for shape, end in zip(shapes, ends, strict=True)]

    def fill(self, polygons: Sequence[np.ndarray], material: Material, pose: Pose | None = None) -> None:
        """Fill polygons (not overlapping one another) with a surface."""
        shapes = self.fixed(polygons, pose)
        cv2.fillPoly(self.albedo, shapes, material.colour, cv2.LINE_AA, _SHIFT)
        relief = (material.height, material.gloss, material.metal)
        cv2.fillPoly(self.relief, shapes, relief, cv2.LINE_AA, _SHIFT)

    def paint(self, polygons: Sequence[np.ndarray], colour: Colour, pose: Pose | None = None) -> None:
        """Fill polygons with a colour and leave the relief: ink."""
        cv2.fillPoly(self.albedo, self.fixed(polygons, pose), colour, cv2.LINE_AA, _SHIFT)

    def stroke(self, lines: Sequence[np.ndarray], width: float, colour: Colour, pose: Pose | None = None) -> None:
        """Draw open lines of ink, `width` units thick and at least one pixel."""
        cv2.polylines(self.albedo, self.fixed(lines, pose), False, colour, self._pixels(width), cv2.LINE_AA, _SHIFT)

    def track(self, lines: Sequence[np.ndarray], width: float, material: Material) -> None:
        """Draw open lines of a surface."""
        shapes = self.fixed(lines)
        pixels = self._pixels(width)
        cv2.polylines(self.albedo, shapes, False, material.colour, pixels, cv2.LINE_AA, _SHIFT)
        relief = (material.height, material.gloss, material.metal)
        cv2.polylines(self.relief, shapes, False, relief, pixels, cv2.LINE_AA, _SHIFT)

    def _pixels(self, width: float) -> int:
        return max(1, round(width * self.scale))


@cache
def rectangle(x: float, y: float, width: float, height: float) -> np.ndarray:
    """Return the four corners (4, 2) of a rectangle centred on x, y."""
    a, b = width / 2.0, height / 2.0
    return np.array([(x - a, y - b), (x + a, y - b), (x + a, y + b), (x - a, y + b)])


@cache
def circle(points: int = 24) -> np.ndarray:
    """Return a unit circle as a polygon (points, 2)."""
    angles = [2.0 * math.pi * i / points for i in range(points)]
    return np.array([(math.cos(a), math.sin(a)) for a in angles])


@cache
def ellipse(x: float, y: float, a: float, b: float, points: int = 24) -> np.ndarray:
    """Return an ellipse with half axes a, b as a polygon (points, 2)."""
    return circle(points) * (a, b) + (x, y)


@cache
def rounded(x: float, y: float, width: float, height: float, radius: float) -> np.ndarray:
    """Return a rectangle with round corners as a polygon (24, 2)."""
    radius = min(radius, width / 2.0, height / 2.0)
    arc = circle(20)
    corners = [(1, 1), (-1, 1), (-1, -1), (1, -1)]
    a, b = width / 2.0 - radius, height / 2.0 - radius
    pieces = [np.take(arc, range(5 * i, 5 * i + 6), axis=0, mode="wrap") * radius + (sx * a, sy * b) for i, (sx, sy) in enumerate(corners)]
    return np.concatenate(pieces) + (x, y)
