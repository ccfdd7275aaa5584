"""Drawn pictures of parts at any angle, whose true place is known to a fraction of a pixel."""

import cv2
import numpy as np

SHADES = ((64, 60, 70), (190, 185, 180))  # of background and part
_FINE = 4  # pixels drawn a pixel of the picture


def turn(degrees):
    """Return the matrix (2, 2) of a turn, clockwise as seen on a screen."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cosine, -sine], [sine, cosine]])


def place(points_N2, degrees, shift=(0.0, 0.0), side=320):
    """Return where places (x, y), counted from the part's own zero, lie in a square picture."""
    return np.asarray(points_N2) @ turn(degrees).T + (side - 1) / 2 + np.asarray(shift)


def picture(degrees, shift=(0.0, 0.0), *, shapes, discs=(), side=320, shades=SHADES, noise=0.01, seed=0):
    """Return a float32 RGB picture (side, side, 3) in [0, 1] of polygons in the part's shade and dark discs (x, y, radius) on it."""
    fine = np.full((side * _FINE, side * _FINE, 3), shades[0], np.uint8)

    def drawn(points_N2):
        return np.rint(((place(points_N2, degrees, shift, side) + 0.5) * _FINE - 0.5) * 16).astype(np.int32)

    for shape in shapes:
        cv2.fillPoly(fine, [drawn(shape)], shades[1], cv2.LINE_AA, 4)
    for x, y, radius in discs:
        cv2.circle(fine, drawn([(x, y)])[0].tolist(), round(radius * _FINE * 16), (90, 60, 200), -1, cv2.LINE_AA, 4)
    small = cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    grain = np.random.default_rng(seed).normal(0, noise, small.shape)
    return np.clip(small + grain, 0, 1).astype(np.float32)


ARROW = [(-90, -28), (75, -28), (90, 0), (75, 28), (-90, 28)]  # twice as alike after half a turn as before it but for its tip and discs
ARROW_DISCS = [(-60, -8, 9), (10, 10, 6), (50, -5, 12)]
DISC = [(80 * np.cos(angle), 80 * np.sin(angle)) for angle in np.linspace(0, 2 * np.pi, 180, endpoint=False)]
DISC_DISCS = [(50, 0, 12), (-20, 45, 9), (-30, -40, 16), (10, -15, 7)]


def arrow(degrees, shift=(0.0, 0.0), **more):
    """Return a long part with a tip."""
    return picture(degrees, shift, shapes=[ARROW], discs=ARROW_DISCS, **more)


def disc(degrees, shift=(0.0, 0.0), *, discs=DISC_DISCS, **more):
    """Return a round part."""
    return picture(degrees, shift, shapes=[DISC], discs=discs, **more)


def ground(degrees, shift=(0.0, 0.0), *, side=320, noise=0.01, seed=0):
    """Return a picture that a part of irregular blobs fills to all edges and beyond."""
    draw = np.random.default_rng(7)
    discs = [(*draw.uniform(-300, 300, 2), draw.uniform(5, 22)) for _ in range(260)]
    whole = [(-900, -900), (900, -900), (900, 900), (-900, 900)]
    return picture(degrees, shift, shapes=[whole], discs=discs, side=side, noise=noise, seed=seed)
