"""The components: what each kind looks like, in its own axes, drawn at a pose."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from zeromiss.images.pcba.canvas import Canvas, Colour, Material, Pose, ellipse, rectangle, rounded
from zeromiss.images.pcba.font import text_strokes
from zeromiss.images.pcba.layout import Part, pads

TIN = Material(colour=(208, 210, 212), height=40, gloss=230, metal=200)
LEAD = Material(colour=(200, 202, 206), height=30, gloss=235, metal=230)
GOLD = Material(colour=(222, 178, 92), height=3, gloss=220, metal=220)
MOULD = Material(colour=(44, 45, 48), height=60, gloss=60)
CERAMIC = Material(colour=(206, 203, 194), height=30, gloss=40)
LASER: Colour = (148, 148, 142)


@dataclass(frozen=True, kw_only=True)
class Look:
    """How one example of a part looks: varies from board to board."""

    gain: float = 1.0  # of the body's colour
    tint: Colour | None = None  # another body's colour: a wrong part
    value: str = ""
    lot: str = ""
    scale: float = 1.0  # of the body: a wrong part
    upright: float = 0.0  # -1 or 1: stands on that end


def _fill(canvas: Canvas, pose: Pose, shapes: Sequence[np.ndarray], material: Material) -> None:
    canvas.fill(shapes, material, pose)


def _print(canvas: Canvas, pose: Pose, text: str, height: float, colour: Colour, at: tuple[float, float] = (0.0, 0.0)) -> None:
    canvas.stroke(text_strokes(text, height=height, at=at), height * 0.13, colour, pose)


def _body(material: Material, look: Look) -> Material:
    if look.tint is not None:
        material = replace(material, colour=look.tint)
    return material.dyed(look.gain)


def _chip(canvas: Canvas, pose: Pose, part: Part, look: Look) -> None:
    length, width = part.length * look.scale, part.width * look.scale
    resistor = part.kind == "resistor"
    cap = 0.17 * length if resistor else 0.21 * length
    ends = [rounded(s * (length - cap) / 2.0, 0.0, cap, width, 3.0) for s in (-1, 1)]
    if resistor:
        _fill(canvas, pose, [rectangle(0, 0, length - cap, width)], CERAMIC)
        _fill(canvas, pose, ends, TIN.at(34))
        body = Material(colour=(30, 31, 35), height=36, gloss=110)
        _fill(canvas, pose, [rectangle(0, 0, length - 1.7 * cap, width * 0.9)], _body(body, look))
        size = min(0.46 * width, 0.9 * (length - 2 * cap) / max(len(look.value), 1))
        _print(canvas, pose, look.value, size, (206, 206, 200))
        return
    body = Material(colour=(158, 122, 88), height=50, gloss=70)
    _fill(canvas, pose, [rounded(0, 0, length - cap, width, 2.0)], _body(body, look))
    _fill(canvas, pose, [rectangle(0, 0, length - 2 * cap, width * 0.8)], _body(body.at(54), look))
    _fill(canvas, pose, ends, TIN.at(54))


def _upright(canvas: Canvas, pose: Pose, part: Part, look: Look) -> None:
    """A chip on one end: its other end cap faces the camera, its body hides in its own shadow."""
    depth = 0.62 * part.width
    at = look.upright * (part.length / 2.0 - depth * 0.35)
    body = (30, 31, 35) if part.kind == "resistor" else (150, 114, 80)
    lean = -look.upright * depth * 0.45
    side = rounded(at + lean, 0, depth, part.width, 2.0)
    _fill(canvas, pose, [side], _body(Material(colour=body, height=70, gloss=60), look))
    _fill(canvas, pose, [rounded(at, 0, depth, part.width, 3.0)], TIN.at(110))
    _fill(canvas, pose, [rounded(at, 0, depth * 0.7, part.width * 0.78, 3.0)], TIN.at(114))


def _led(canvas: Canvas, pose: Pose, part: Part, look: Look) -> None:
    _fill(canvas, pose, [rounded(s * part.length * 0.4, 0, part.length * 0.2, part.width, 3) for s in (-1, 1)], GOLD.at(24))
    _fill(canvas, pose, [rectangle(0, 0, part.length * 0.72, part.width)], _body(Material(colour=(226, 226, 218), height=34, gloss=60), look))
    _fill(canvas, pose, [ellipse(0, 0, part.length * 0.27, part.width * 0.4)], Material(colour=(222, 208, 120), height=44, gloss=160))
    canvas.paint([rectangle(-part.length * 0.31, 0, 3.5, part.width * 0.9)], (60, 130, 70), pose)


def _moulded(canvas: Canvas, pose: Pose, part: Part, look: Look, *, height: int = 60) -> None:
    """A black body with bevelled edges."""
    length, width = part.length * look.scale, part.width * look.scale
    _fill(canvas, pose, [rounded(0, 0, length, width, 3.0)], _body(MOULD.at(height * 3 // 5), look))
    _fill(canvas, pose, [rounded(0, 0, length - 7, width - 7, 3.0)], _body(MOULD.at(height), look).dyed(1.08))


def _gull_wings(canvas: Canvas, pose: Pose, part: Part, *, reach: float) -> None:
    """Leads from the body to the middle of their pads: a high shoulder and a low foot."""
    shoulders, feet = [], []
    for x, y, length, width in pads(part):
        upright = abs(y) > part.width / 2.0
        thick = (length if upright else width) * 0.66
        edge = (part.width if upright else part.length) / 2.0
        sign = np.sign(y if upright else x)
        for store, near, far in ((shoulders, -2.0, 0.42 * reach), (feet, 0.38 * reach, reach)):
            middle, span = sign * (edge + (near + far) / 2.0), far - near
            store.append(rectangle(x, middle, thick, span) if upright else rectangle(middle, y, span, thick))
    _fill(canvas, pose, feet, LEAD.at(14))
    _fill(canvas, pose, shoulders, LEAD.at(32))


def _ic(canvas: Canvas, pose: Pose, part: Part, look: Look) -> None:
    _gull_wings(canvas, pose, part, reach=26.0)
    _moulded(canvas, pose, part, look)
    length, width = part.length * look.scale, part.width * look.scale
    corner = (-length / 2.0 + 15.0, width / 2.0 - 15.0)
    dimple = _body(MOULD.at(54), look).dyed(1.35)
    _fill(canvas, pose, [ellipse(*corner, 5.5, 5.5)], replace(dimple, gloss=110))
    size = min(0.17 * width, 0.8 * length / (len(look.value) + 1))
    _print(canvas, pose, look.value, size, LASER, (0, -0.13 * width))
    _print(canvas, pose, look.lot, size * 0.82, LASER, (0, 0.17 * width))
    if part.kind == "quad":
        _print(canvas, pose, "ZM", 0.16 * width, LASER, (-0.24 * length, -0.32 * width))


def _small(canvas: Canvas, pose: Pose, part: Part, look: Look) -> None:
    """SOT packages: three leads, or three and a tab."""
    if part.kind == "regulator":
        _fill(canvas, pose, [rectangle(0, -part.width / 2.0 - 10.0, 56, 24)], LEAD.at(16))
    _gull_wings(canvas, pose, part, reach=21.0)
    _moulded(canvas, pose, part, look, height=46)
    _print(canvas, pose, look.value, part.width * (0.46 if part.kind == "transistor" else 0.26), LASER, (0, 0 if part.kind == "transistor" else -8))
    if part.kind == "regulator":
        _print(canvas, pose, look.lot, 12, LASER, (0, 14))


def _can(canvas: Canvas, pose: Pose, part: Part, look: Look) -> None:
    a = part.length / 2.0
    base = np.array([(-a, -a), (a - 22, -a), (a, -a + 22), (a, a - 22), (a - 22, a), (-a, a)])
    _fill(canvas, pose, [rectangle(s * (a + 4), 0, 20, 15) for s in (-1, 1)], LEAD.at(12))
    _fill(canvas, pose, [base], Material(colour=(36, 36, 40), height=24, gloss=60))
    radius = a * 0.94 * look.scale
    _fill(canvas, pose, [ellipse(0, 0, radius, radius, 48)], Material(colour=(150, 152, 156), height=90, gloss=200, metal=140))
    top = Material(colour=(196, 197, 199), height=112, gloss=90, metal=70)
    _fill(canvas, pose, [ellipse(0, 0, radius * 0.93, radius * 0.93, 48)], _body(top, look))
    stripe = ellipse(0, 0, radius * 0.9, radius * 0.9, 48)
    stripe = stripe[stripe[:, 0] <= -radius * 0.5]
    canvas.paint([stripe], (34, 36, 44), pose)
    turned = replace(pose, angle=pose.angle - 90.0)
    for text, size, y in ((look.value, 21.0, -10.0), ("25V", 15.0, 14.0), (look.lot, 11.5, 34.0)):
        _print(canvas, turned, text, size, (44, 46, 56), (0.0, y))


def _diode(canvas: Canvas, pose: Pose, part: Part, look: Look) -> None:
    _fill(canvas, pose, [rectangle(s * (part.length / 2.0 + 1), 0, 16, part.width * 0.55) for s in (-1, 1)], LEAD.at(18))
    _moulded(canvas, pose, part, look, height=52)
    canvas.paint([rectangle(-part.length * 0.36, 0, part.length * 0.11, part.width - 7)], (168, 168, 164), pose)
    _print(canvas, pose, look.value + " " + look.lot[:2], 13.0, LASER, (8, 0))


def _tantalum(canvas: Canvas, pose: Pose, part: Part, look: Look) -> None:
    _fill(canvas, pose, [rectangle(s * (part.length / 2.0 + 2), 0, 14, part.width * 0.6) for s in (-1, 1)], LEAD.at(18))
    body = _body(Material(colour=(206, 150, 58), height=56, gloss=90), look)
    _fill(canvas, pose, [rounded(0, 0, part.length, part.width, 3)], body.at(36))
    _fill(canvas, pose, [rounded(0, 0, part.length - 7, part.width - 7, 3)], body)
    canvas.paint([rectangle(-part.length * 0.36, 0, part.length * 0.13, part.width - 7)], (122, 66, 32), pose)
    _print(canvas, pose, look.value, 14.0, (92, 52, 28), (7, -8))
    _print(canvas, pose, look.lot[:3], 10.0, (92, 52, 28), (7, 10))


def _inductor(canvas: Canvas, pose: Pose, part: Part, look: Look) -> None:
    a = part.length
    body = _body(Material(colour=(66, 66, 70), height=70, gloss=50), look)
    _fill(canvas, pose, [rounded(0, 0, a, a, 20)], body.at(56))
    _fill(canvas, pose, [rounded(0, 0, a - 8, a - 8, 17)], body)
    _fill(canvas, pose, [ellipse(0, 0, a * 0.4, a * 0.4, 40)], replace(body.dyed(0.55), height=52))
    _fill(canvas, pose, [ellipse(0, 0, a * 0.35, a * 0.35, 40)], body.at(76).dyed(1.1))
    _print(canvas, pose, look.value, 26.0, (196, 196, 190))
    _print(canvas, pose, look.lot[:4], 11.0, (170, 170, 165), (0, 25))


def _crystal(canvas: Canvas, pose: Pose, part: Part, look: Look) -> None:
    metal = _body(Material(colour=(180, 180, 178), height=40, gloss=220, metal=190), look)
    _fill(canvas, pose, [rectangle(s * (part.length / 2.0 + 4), 0, 20, 14) for s in (-1, 1)], LEAD.at(12))
    _fill(canvas, pose, [rounded(0, 0, part.length, part.width, 25)], metal.at(24))
    _fill(canvas, pose, [rounded(0, 0, part.length - 11, part.width - 11, 20)], replace(metal, height=66, metal=120))
    _print(canvas, pose, look.value, 14.0, (74, 74, 78), (0, -7))
    _print(canvas, pose, look.lot, 9.0, (86, 86, 90), (0, 11))


def _connector(canvas: Canvas, pose: Pose, part: Part, look: Look) -> None:
    shell = _body(Material(colour=(214, 208, 190), height=84, gloss=80), look)
    rows = [part.pitch * (i - (part.pins - 1) / 2.0) for i in range(part.pins)]
    feet = [rectangle(x, -part.width / 2.0 - 10, 11, 28) for x in rows]
    _fill(canvas, pose, feet, LEAD.at(14))
    _fill(canvas, pose, [rounded(0, 0, part.length, part.width, 5)], shell.at(76))
    _fill(canvas, pose, [rounded(0, 0, part.length - 9, part.width - 9, 4)], shell)
    _fill(canvas, pose, [rectangle(0, 6, part.length - 30, part.width - 46)], replace(shell.dyed(0.6), height=36))
    _fill(canvas, pose, [rectangle(x, 6, 11, 22) for x in rows], GOLD.at(60))
    notches = [rectangle(s * part.length * 0.3, part.width / 2.0 - 8, 40, 12) for s in (-1, 1)]
    _fill(canvas, pose, notches, replace(shell.dyed(0.75), height=60))
    _print(canvas, pose, look.lot[:4], 13, (150, 144, 128), (0, -33))


def _header(canvas: Canvas, pose: Pose, part: Part, look: Look) -> None:
    body = _body(Material(colour=(38, 38, 41), height=64, gloss=70), look)
    places = pads(part)
    squares = [rounded(x, y, 32, 34, 7) for x, y, _, _ in places]
    for square in squares:
        _fill(canvas, pose, [square], body)
    _fill(canvas, pose, [ellipse(x, y, 9, 9, 12) for x, y, _, _ in places], replace(body.dyed(0.7), height=56))
    _fill(canvas, pose, [rectangle(x, y, 10.5, 10.5) for x, y, _, _ in places], GOLD.at(90))
    _fill(canvas, pose, [rectangle(x, y, 5.5, 5.5) for x, y, _, _ in places], GOLD.at(102))


_DRAW: dict[str, Callable[[Canvas, Pose, Part, Look], None]] = {
    "resistor": _chip, "capacitor": _chip, "led": _led, "ic": _ic, "quad": _ic, "transistor": _small,
    "regulator": _small, "can": _can, "diode": _diode, "tantalum": _tantalum, "inductor": _inductor,
    "crystal": _crystal, "connector": _connector, "header": _header,
}  # fmt: skip


def draw_body(canvas: Canvas, pose: Pose, part: Part, look: Look) -> None:
    """Draw one component onto colour and relief."""
    if look.upright:
        _upright(canvas, pose, part, look)
    else:
        _DRAW[part.kind](canvas, pose, part, look)
