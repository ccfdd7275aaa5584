"""One board before it is drawn: everything that chance decides, as plain values.

A defect is a change of this description; drawing the description with and without it gives the
two pictures whose difference is the defect's mask.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from zeromiss.images.pcba.bodies import Look
from zeromiss.images.pcba.canvas import Colour, Pose
from zeromiss.images.pcba.layout import LABEL, PRODUCT, Part, pads, parts

MAX_SHIFT = 3.5  # world units that a good part may stand off its place, along x and along y
MAX_TURN = 1.4  # degrees that a good part may be turned
_LETTERS = "ABCDEFGHKLMNPRSTUVWXYZ"
_BASE36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, kw_only=True)
class Placed:
    """One part as it stands on this board; `present` is False where it was left out."""

    part: Part
    pose: Pose
    look: Look
    present: bool = True


@dataclass(frozen=True, kw_only=True)
class Scratch:
    """A groove: its path (N, 2) and width in world units, and what it lays bare."""

    path: np.ndarray
    width: float
    colour: Colour


@dataclass(frozen=True, kw_only=True)
class Light:
    """How this board is lit and taken."""

    azimuth: float  # degrees of the key light
    key: float  # its strength
    exposure: float
    warmth: float  # red up and blue down by this share
    gradient: tuple[float, float]  # change of brightness across the picture, along x and y
    vignette: float  # share of light lost in the corners
    offset: tuple[float, float]  # of the board in the picture, final pixels
    grain: tuple[float, float]  # window into the grain, shares of its size
    blur: float  # sigma, final pixels


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A board. Joints are rows of all pads in layout order: see `joint_table`."""

    serial: str
    placed: tuple[Placed, ...]
    amount_J: np.ndarray  # solder on each pad, 1 = nominal, 0 = none
    drift_J2: np.ndarray  # of the solder off its pad's centre, share of the pad
    gloss_J: np.ndarray  # 0..1
    glint_J2: np.ndarray  # where the joint's own bump lies, share of the pad
    label: Pose
    light: Light
    bridges: tuple[np.ndarray, ...] = ()  # outlines (N, 2) of solder between pads
    scratches: tuple[Scratch, ...] = ()
    layout: int = 0


@cache
def joint_table(layout: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (owner_J, pad_J7): the index of each pad's part, and x, y, cos, sin, length, width, inward.

    `inward` is the sign along the pad's own length towards the part's middle, 0 where the
    solder does not climb (through-hole pins).
    """
    owners, rows = [], []
    for index, part in enumerate(parts(layout)):
        for x, y, length, width in pads(part):
            along_x = abs(x) > part.length / 2.0 - 10.0 and abs(y) < part.width / 2.0 + 1.0
            turned = part.pose if along_x else part.pose.moved(0, 0, 90.0)
            centre = part.pose.place(np.array([x, y]))
            axis = turned.place(np.array([1.0, 0.0])) - (turned.x, turned.y)
            long, wide = (length, width) if along_x else (width, length)
            inward = 0.0 if part.kind == "header" else -float(np.sign(x if along_x else y))
            owners.append(index)
            rows.append((*centre, *axis, long, wide, inward))
    return np.array(owners), np.array(rows)


_SPREAD = 1_234_567_891


def _serial(seed: int) -> str:
    """Return the serial number of a board, another one for each seed below 36 ** 6.

    Multiplied by a number coprime to 36, neighbouring seeds differ in all six digits: serials that only
    count up would share most of their Data Matrix, and boards of another range would look abnormal.
    """
    number, digits = seed * _SPREAD % 36**6, ""
    while number:
        number, rest = divmod(number, 36)
        digits = _BASE36[rest] + digits
    return f"ZM{PRODUCT}{digits:0>6}"


def _placed(rng: np.random.Generator, part: Part, lots: dict[str, str]) -> Placed:
    dx, dy = np.clip(rng.normal(0.0, 1.3, 2), -MAX_SHIFT, MAX_SHIFT)
    turn = float(np.clip(rng.normal(0.0, 0.55), -MAX_TURN, MAX_TURN))
    if part.kind in ("connector", "header"):
        turn *= 0.3
    look = Look(gain=float(rng.uniform(0.9, 1.1)), value=part.value, lot=lots[part.kind])
    return Placed(part=part, pose=part.pose.moved(float(dx), float(dy), turn), look=look)


def _lot(rng: np.random.Generator) -> str:
    letters = "".join(_LETTERS[i] for i in rng.integers(0, len(_LETTERS), 2))
    return f"{rng.integers(23, 27)}{rng.integers(1, 53):02d}{letters}"


def _light(rng: np.random.Generator) -> Light:
    pair = rng.uniform(-0.07, 0.07, 2)
    return Light(
        azimuth=float(rng.uniform(200.0, 250.0)),
        key=float(rng.uniform(0.85, 1.15)),
        exposure=float(rng.uniform(0.9, 1.1)),
        warmth=float(rng.uniform(-0.03, 0.04)),
        gradient=(float(pair[0]), float(pair[1])),
        vignette=float(rng.uniform(0.05, 0.16)),
        offset=(float(rng.uniform(-0.5, 0.5)), float(rng.uniform(-0.5, 0.5))),
        grain=(float(rng.uniform()), float(rng.uniform())),
        blur=float(rng.uniform(0.4, 0.65)),
    )


def good_scene(seed: int, layout: int = 0) -> Scene:
    """Return the board of this seed without a defect."""
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence([PRODUCT, seed]).spawn(5)]
    kinds = sorted({part.kind for part in parts(layout)})
    lots = {kind: _lot(streams[0]) for kind in kinds}
    placed = tuple(_placed(streams[1], part, lots) for part in parts(layout))
    joints = len(joint_table(layout)[0])
    rng = streams[2]
    stick = streams[3]
    return Scene(
        serial=_serial(seed),
        placed=placed,
        amount_J=np.clip(rng.normal(1.0, 0.09, joints), 0.78, 1.24),
        drift_J2=np.clip(rng.normal(0.0, 0.035, (joints, 2)), -0.08, 0.08),
        gloss_J=rng.uniform(0.0, 1.0, joints),
        glint_J2=rng.uniform(-0.28, 0.28, (joints, 2)),
        label=LABEL.moved(*(float(v) for v in stick.uniform(-3.5, 3.5, 2)), float(stick.uniform(-1.5, 1.5))),
        light=_light(streams[4]),
        layout=layout,
    )


def nominal_scene(layout: int) -> Scene:
    """Return the board as it is designed: every part in its place, every joint alike, evenly lit, with a serial number of zeros."""
    joints = len(joint_table(layout)[0])
    placed = tuple(Placed(part=part, pose=part.pose, look=Look(gain=1.0, value=part.value, lot="")) for part in parts(layout))
    light = Light(
        azimuth=225.0, key=1.0, exposure=1.0, warmth=0.0, gradient=(0.0, 0.0), vignette=0.0, offset=(0.0, 0.0), grain=(0.5, 0.5), blur=0.5
    )
    return Scene(
        serial=f"ZM{PRODUCT}{0:06d}",
        placed=placed,
        amount_J=np.ones(joints),
        drift_J2=np.zeros((joints, 2)),
        gloss_J=np.full(joints, 0.5),
        glint_J2=np.zeros((joints, 2)),
        label=LABEL,
        light=light,
        layout=layout,
    )
