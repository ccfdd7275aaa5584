"""The bare board, the same on every example of a layout: laminate, copper under solder mask, pads, silk screen."""

from functools import lru_cache

import cv2
import numpy as np

from zeromiss.images.pcba.canvas import WORLD, Canvas, Material, ellipse, rectangle, rounded
from zeromiss.images.pcba.font import text_strokes
from zeromiss.images.pcba.layout import CHIPS, EDGE, FIDUCIALS, HOLES, PRODUCT, Part, extent, pads, parts
from zeromiss.images.pcba.scene import Light
from zeromiss.images.pcba.tracks import tracks, vias

FIXTURE = Material(colour=(38, 39, 42), gloss=30)
LAMINATE = Material(colour=(20, 74, 46), height=4, gloss=105)  # solder mask over bare laminate
POUR = Material(colour=(28, 96, 58), height=6, gloss=115)  # solder mask over copper
TRACK = Material(colour=(32, 106, 62), height=7, gloss=120)
FINISH = Material(colour=(216, 178, 104), height=5, gloss=220, metal=210)  # gold on bare copper
SILK = (216, 220, 212)


def _ground(canvas: Canvas, _: int) -> None:
    canvas.fill([rectangle(500, 500, 1200, 1200)], FIXTURE)
    side = WORLD - 2 * EDGE
    canvas.fill([rounded(500, 500, side, side, 24)], Material(colour=(150, 146, 104), height=3, gloss=40))
    canvas.fill([rounded(500, 500, side - 5, side - 5, 22)], LAMINATE)
    canvas.fill([rounded(500, 500, side - 24, side - 24, 16)], POUR)


def _copper(canvas: Canvas, layout: int) -> None:
    for line, width in tracks(layout):
        canvas.track([line], width + 11.0, LAMINATE)
    for part in parts(layout):
        canvas.fill([part.pose.place(rectangle(x, y, w + 12, h + 12)) for x, y, w, h in pads(part)], LAMINATE)
    canvas.fill([ellipse(x, y, 34, 34, 32) for x, y in FIDUCIALS], LAMINATE)
    for line, width in tracks(layout):
        canvas.track([line], width, TRACK)
    for x, y in vias(layout):
        canvas.fill([ellipse(x, y, 9, 9, 16)], TRACK)
        canvas.fill([ellipse(x, y, 6, 6, 16)], Material(colour=(120, 128, 84), height=8, gloss=190, metal=90))
        canvas.fill([ellipse(x, y, 3, 3, 12)], Material(colour=(14, 26, 20)))


def _metal(canvas: Canvas, layout: int) -> None:
    for part in parts(layout):
        canvas.fill([part.pose.place(rounded(x, y, w, h, 3)) for x, y, w, h in pads(part)], FINISH)
    for x, y in HOLES:
        canvas.fill([ellipse(x, y, 41, 41, 40)], FINISH)
        canvas.fill([ellipse(x, y, 26, 26, 40)], Material(colour=(16, 16, 18)))
    canvas.fill([ellipse(x, y, 13, 13, 32) for x, y in FIDUCIALS], FINISH.at(6))
    test_points = ((250, 222), (292, 222), (610, 828), (610, 784), (936, 300), (936, 250), (574, 340))
    canvas.fill([ellipse(x, y, 8.5, 8.5, 24) for x, y in test_points], FINISH)


def _outline(canvas: Canvas, part: Part, others: tuple[Part, ...]) -> None:
    """The frame around a part, its mark for pin 1 or polarity, its reference."""
    grown = 16.0 if part.kind in CHIPS else 8.0
    length, width = part.length + grown + (16 if part.kind in CHIPS else 0), part.width + grown
    frame = rectangle(0, 0, length, width)
    if part.kind not in ("quad", "ic", "can", "header"):
        canvas.stroke([part.pose.place(frame[[0, 1]]), part.pose.place(frame[[3, 2]])], 2.2, SILK)
    else:
        grown = 42.0 if part.kind == "can" else 8.0
        box = rectangle(0, 0, part.length + grown, part.width + (8 if part.kind == "can" else grown))
        canvas.stroke([part.pose.place(np.concatenate([box, box[:1]]))], 2.2, SILK)
    if part.kind in ("ic", "quad"):
        canvas.paint([part.pose.place(ellipse(-part.length / 2 - 12, part.width / 2 + 12, 4.5, 4.5))], SILK)
    if part.kind in ("can", "tantalum", "diode"):
        plus = part.pose.place(np.array([(part.length / 2 + 30, 0.0)]))[0]
        canvas.stroke([s + plus for s in text_strokes("+" if part.kind != "diode" else "K", height=15)], 2.4, SILK)
    at = _reference_place(part, others)
    if at is not None:
        canvas.stroke([s + at for s in text_strokes(part.ref, height=13)], 2.0, SILK)


def _reference_place(part: Part, others: tuple[Part, ...]) -> tuple[float, float] | None:
    """Return where a part's reference is printed: above it, or nowhere when a neighbour is in the way."""
    if part.kind == "connector":
        return part.pose.x - part.length / 2.0 - 22.0, part.pose.y
    x, y = part.pose.x, part.pose.y - extent(part)[1] - 17.0
    for other in others:
        half = extent(other)
        if other is not part and abs(other.pose.x - x) < half[0] + 8 * len(part.ref) and abs(other.pose.y - y) < half[1] + 9:
            return None
    return x, y


def _silk(canvas: Canvas, layout: int) -> None:
    for part in parts(layout):
        _outline(canvas, part, parts(layout))
    for text, size, at in ((f"ZM-{PRODUCT} GEARBOX CONTROL", 15.0, (560.0, 968.0)), ("REV C", 17.0, (660.0, 744.0)), ("94V-0", 13.0, (88.0, 452.0))):
        canvas.stroke([s + at for s in text_strokes(text, height=size)], 2.3, SILK)
    triangle = np.array([(606, 730), (628, 766), (584, 766), (606, 730)], dtype=np.float64)
    canvas.stroke([triangle], 2.4, SILK)


@lru_cache(maxsize=4)
def plate(side: int, supersampling: int, margin: int, layout: int) -> Canvas:
    """Return the bare board for a picture of `side` pixels; copy it before drawing on it."""
    canvas = Canvas.blank(side=side, supersampling=supersampling, margin=margin)
    for layer in (_ground, _copper, _metal, _silk):
        layer(canvas, layout)
    return canvas


@lru_cache(maxsize=2)
def weave(pixels: int, scale: float) -> np.ndarray:
    """Return the grain of the bare board, (G, G, 3) uint8 around 128, G = 1.25 `pixels`.

    Woven glass (a lattice of about 9 units), blotches, and fine grain; a board sees a window of
    its own, so that no two have the same grain.
    """
    size = pixels * 5 // 4
    rng = np.random.default_rng(np.random.SeedSequence([PRODUCT, 11, pixels]))
    period = max(2, round(9.0 * scale))
    wave = np.abs((np.arange(size) % period) * np.float32(2.0 / period) - np.float32(1.0))
    lattice = np.maximum(wave[:, None], wave[None, :]) - np.minimum(wave[:, None], wave[None, :])
    grain = (lattice - np.float32(0.33)) * np.float32(11.0)
    for cells, strength in ((12, 0.05), (90, 0.05)):
        noise = rng.integers(0, 256, (cells, cells), dtype=np.uint8)
        blotches = cv2.resize(noise, (size, size), interpolation=cv2.INTER_LINEAR_EXACT)
        grain += (blotches.astype(np.float32) - 128) * np.float32(strength)
    fine = cv2.blur(rng.integers(0, 256, (size, size), dtype=np.uint8), (2, 2))
    grain += (fine.astype(np.float32) - 128) * np.float32(0.09)
    single = np.clip(np.rint(grain + 128.0), 0, 255).astype(np.uint8)
    return cv2.merge([single, single, single])


def bare_board(side: int, supersampling: int, margin: int, light: Light, layout: int) -> Canvas:
    """Return a bare board with a grain of its own, to draw on."""
    blank = plate(side, supersampling, margin, layout)
    size = len(blank.albedo)
    grain = weave(size, blank.scale)
    x, y = (int(share * (len(grain) - size)) for share in light.grain)
    albedo = cv2.multiply(blank.albedo, grain[y : y + size, x : x + size], scale=1.0 / 128.0)
    return Canvas(scale=blank.scale, margin=margin, albedo=albedo, relief=blank.relief.copy())
