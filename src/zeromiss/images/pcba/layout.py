"""The product's layouts: which part stands where on the board, in world units (1000 a side).

Layouts are fixed; nothing here depends on a board's seed. Layout 0 is the one that is drawn where there is only one. A part's own axes: x along its length
(for an IC: along its rows of pins), y across.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from zeromiss.images.pcba.canvas import Pose

PRODUCT = 407  # goes into every board's seed, so that another layout draws other boards
EDGE = 16.0  # from the side of the picture to the board
HOLES = ((64.0, 64.0), (936.0, 64.0), (64.0, 936.0), (936.0, 936.0))
FIDUCIALS = ((142.0, 62.0), (938.0, 160.0), (62.0, 838.0))
LABEL = Pose(x=806.0, y=102.0)
LABEL_SIZE = (156.0, 116.0)
CODE_SIDE = 84.0  # of the Data Matrix, without its quiet zone
CODE_AT = (-26.0, 0.0)  # its centre on the label


@dataclass(frozen=True, kw_only=True)
class Part:
    """A component of the layout: what it is, where it stands, and what is printed on it."""

    ref: str
    kind: str
    pose: Pose
    length: float
    width: float
    pins: int = 2  # a row for an IC or connector
    pitch: float = 0.0
    value: str = ""


_CHIPS = {"0603": (46.0, 25.0), "0805": (60.0, 35.0), "1206": (92.0, 46.0)}


def _chip(ref: str, x: float, y: float, angle: float, size: str, value: str = "") -> Part:
    kind = "resistor" if ref.startswith("R") else "capacitor"
    length, width = _CHIPS[size]
    return Part(ref=ref, kind=kind, pose=Pose(x=x, y=y, angle=angle), length=length, width=width, value=value)


def _part(ref: str, kind: str, at: tuple[float, float, float], size: tuple[float, float], pins: tuple[int, float] = (2, 0.0), value: str = "") -> Part:
    x, y, angle = at
    return Part(ref=ref, kind=kind, pose=Pose(x=x, y=y, angle=angle), length=size[0], width=size[1], pins=pins[0], pitch=pins[1], value=value)


PARTS: tuple[Part, ...] = (
    _part("U1", "quad", (500, 455, 0), (190, 190), (9, 19.5), "ZM32F407"),
    _part("U2", "ic", (196, 282, 90), (214, 86), (8, 25.5), "DRV8K16"),
    _part("U3", "ic", (772, 296, 90), (112, 84), (4, 27.0), "TJA51"),
    _part("U4", "regulator", (810, 668, 0), (104, 62), (3, 36.0), "LD33"),
    _part("Q1", "transistor", (628, 108, 0), (52, 28), (2, 34.0), "1AM"),
    _part("Q2", "transistor", (628, 190, 0), (52, 28), (2, 34.0), "1AM"),
    _part("C1", "can", (150, 556, 90), (122, 122), value="47"),
    _part("C2", "can", (150, 706, 90), (122, 122), value="47"),
    _part("L1", "inductor", (330, 706, 0), (112, 112), value="100"),
    _part("Y1", "crystal", (498, 712, 0), (124, 50), value="16.000"),
    _part("J1", "connector", (420, 898, 0), (430, 100), (10, 39.0)),
    _part("J2", "header", (900, 446, 90), (214, 72), (6, 34.0)),
    _part("D1", "diode", (290, 96, 0), (80, 44), value="S4"),
    _part("D2", "diode", (290, 158, 180), (80, 44), value="S4"),
    _part("C3", "tantalum", (730, 808, 0), (84, 46), value="107"),
    _part("C4", "tantalum", (730, 880, 0), (84, 46), value="107"),
    _part("D3", "led", (906, 624, 90), (50, 28)),
    _part("D4", "led", (906, 690, 90), (50, 28)),
    _part("D5", "led", (906, 756, 90), (50, 28)),
    _chip("R1", 384, 100, 90, "0603", "103"),
    _chip("R2", 424, 100, 90, "0603", "103"),
    _chip("R3", 464, 100, 90, "0603", "472"),
    _chip("R4", 504, 100, 90, "0603", "472"),
    _chip("R5", 544, 100, 90, "0603", "331"),
    _chip("C5", 396, 196, 0, "0603"),
    _chip("C6", 466, 196, 0, "0603"),
    _chip("C7", 536, 196, 0, "0603"),
    _chip("R6", 396, 246, 0, "0805", "2201"),
    _chip("C8", 480, 268, 0, "0603"),
    _chip("C9", 552, 268, 0, "0603"),
    _chip("C10", 641, 404, 90, "0603"),
    _chip("C11", 641, 474, 90, "0603"),
    _chip("R7", 641, 544, 90, "0603", "104"),
    _chip("C12", 672, 232, 90, "0805"),
    _chip("R8", 672, 322, 90, "0805", "1200"),
    _chip("C13", 772, 404, 0, "0805"),
    _chip("R9", 736, 470, 0, "0603", "220"),
    _chip("R10", 736, 512, 0, "0603", "220"),
    _chip("R11", 806, 490, 90, "0603", "000"),
    _chip("C14", 648, 652, 90, "1206"),
    _chip("C15", 708, 652, 90, "1206"),
    _chip("R12", 300, 566, 0, "1206", "R050"),
    _chip("R13", 300, 506, 0, "1206", "R050"),
    _chip("C16", 432, 640, 0, "0603"),
    _chip("C17", 566, 640, 0, "0603"),
    _chip("R14", 432, 784, 0, "0805", "1002"),
    _chip("R15", 530, 784, 0, "0805", "1002"),
    _chip("C18", 258, 790, 0, "0805"),
    _chip("C19", 346, 790, 0, "0805"),
    _chip("R16", 846, 800, 0, "0603", "471"),
    _chip("R17", 846, 846, 0, "0603", "471"),
    _chip("R18", 846, 892, 0, "0603", "471"),
    _chip("R19", 86, 180, 90, "0603", "105"),
    _chip("C20", 86, 250, 90, "0603"),
    _chip("R20", 86, 320, 90, "0603", "105"),
    _chip("C21", 86, 390, 90, "0805"),
    _chip("C22", 196, 424, 0, "0805"),
    _chip("C23", 180, 120, 0, "0603"),
)

CHIPS = ("resistor", "capacitor", "led")


@cache
def parts(layout: int) -> tuple[Part, ...]:
    """Return the parts of a layout, in the order of `PARTS`: those of the same size and heading have changed places.

    Tracks run from pad to pad by reference, so that they change with them. Layout 0 is `PARTS`.
    """
    if not layout:
        return PARTS
    rng = np.random.default_rng(np.random.SeedSequence([PRODUCT, 13, layout]))
    groups: dict[tuple[float, ...], list[int]] = {}
    for index, part in enumerate(PARTS):
        groups.setdefault((part.length, part.width, part.pose.angle, part.pins), []).append(index)
    poses = {index: PARTS[other].pose for group in groups.values() for index, other in zip(group, rng.permutation(group), strict=True)}
    return tuple(replace(part, pose=poses[index]) for index, part in enumerate(PARTS))


def pads(part: Part) -> tuple[tuple[float, float, float, float], ...]:
    """Return the pads of a part as (x, y, length, width) along its own axes."""
    half, across = part.length / 2.0, part.width / 2.0
    rows = [part.pitch * (i - (part.pins - 1) / 2.0) for i in range(part.pins)]
    if part.kind in CHIPS:
        long = 0.34 * part.length + 7.0
        return tuple((s * (half - 0.1 * part.length + 6.0), 0.0, long, part.width + 5.0) for s in (-1, 1))
    if part.kind in ("diode", "tantalum", "can", "inductor", "crystal"):
        wide = {"can": 26.0, "inductor": 66.0}.get(part.kind, part.width * 0.72)
        return tuple((s * (half + 1.0), 0.0, 34.0, wide) for s in (-1, 1))
    if part.kind == "ic":
        return tuple((x, s * (across + 17.0), 14.0, 34.0) for s in (-1, 1) for x in rows)
    if part.kind == "quad":
        flat = tuple((x, s * (across + 15.0), 11.0, 32.0) for s in (-1, 1) for x in rows)
        return flat + tuple((s * (half + 15.0), x, 32.0, 11.0) for s in (-1, 1) for x in rows)
    if part.kind == "connector":
        return tuple((x, -(across + 12.0), 18.0, 36.0) for x in rows)
    if part.kind == "header":
        return tuple((x, s * 18.0, 25.0, 25.0) for s in (-1, 1) for x in rows)
    lower = tuple((x, across + 12.0, 17.0 if part.kind == "transistor" else 20.0, 30.0) for x in rows)
    tab = (0.0, -(across + 12.0), 17.0 if part.kind == "transistor" else 60.0, 30.0)
    return (*lower, tab)


def extent(part: Part) -> tuple[float, float]:
    """Return half the width and half the height, in the picture, of the box around a part and its pads."""
    half_x = max([part.length / 2.0] + [abs(x) + w / 2.0 for x, _, w, _ in pads(part)])
    half_y = max([part.width / 2.0] + [abs(y) + h / 2.0 for _, y, _, h in pads(part)])
    return (half_y, half_x) if part.pose.angle == 90 else (half_x, half_y)
