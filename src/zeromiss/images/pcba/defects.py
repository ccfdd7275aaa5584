"""Defects as changes of a scene: what goes wrong on a line, in random sizes, from obvious to subtle.

Sizes are in world units (1000 a side): 16 units are 6 px at a side of 384. On smaller pictures the
smallest defect stays 6 px, so it covers more of the board.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from zeromiss.images.pcba.bodies import Look
from zeromiss.images.pcba.canvas import WORLD, Colour
from zeromiss.images.pcba.scene import Placed, Scene, Scratch, joint_table

SMALLEST_PX = 6.0
SMALLEST = 16.0  # world units
_REGION = 40.0  # world units: where the smallest defect is larger, single bare pads are too small to see

_LOOSE = ("resistor", "capacitor", "led", "diode", "tantalum", "can", "transistor", "crystal", "inductor")
_MOVABLE = (*_LOOSE, "regulator", "ic")
_MOULDED = ("ic", "diode", "transistor", "regulator", "inductor")
_STANDING = ("resistor", "capacitor")
_BRIDGED = ("ic", "quad", "connector", "transistor", "regulator")
_COLOURS: tuple[Colour, ...] = ((30, 31, 35), (158, 122, 88), (96, 74, 56), (206, 150, 58), (120, 140, 160), (92, 44, 40), (182, 176, 160))


_MOULDS: tuple[Colour, ...] = ((96, 92, 86), (104, 108, 118), (84, 58, 46), (46, 58, 84))


def floor_units(side: int) -> float:
    """Return the smallest defect in world units for a picture of `side` pixels."""
    return max(SMALLEST, SMALLEST_PX * WORLD / side)


def _choose(scene: Scene, rng: np.random.Generator, kinds: tuple[str, ...], smallest: float) -> int:
    """Return the index of a part of these kinds that is at least `smallest` long, or of the longest one."""
    fitting = [i for i, placed in enumerate(scene.placed) if placed.part.kind in kinds]
    large = [i for i in fitting if scene.placed[i].part.length >= smallest]
    pool = large or [max(fitting, key=lambda i: scene.placed[i].part.length)]
    names = sorted({scene.placed[i].part.kind for i in pool})
    name = names[int(rng.integers(len(names)))] if rng.uniform() < 0.5 else None
    pool = [i for i in pool if name is None or scene.placed[i].part.kind == name]
    return pool[int(rng.integers(len(pool)))]


def _swap(scene: Scene, index: int, placed: Placed) -> Scene:
    return replace(scene, placed=(*scene.placed[:index], placed, *scene.placed[index + 1 :]))


def _missing(scene: Scene, rng: np.random.Generator, smallest: float) -> Scene:
    index = _choose(scene, rng, _LOOSE, smallest)
    return _swap(scene, index, replace(scene.placed[index], present=False))


def _shifted(scene: Scene, rng: np.random.Generator, smallest: float) -> Scene:
    """Off its place by 10 units or more (a good part: 3.5 along each axis), or turned by 9 degrees or more."""
    index = _choose(scene, rng, _MOVABLE, smallest)
    placed = scene.placed[index]
    far = min(0.55 * placed.part.width + 4.0, 34.0)
    distance = float(rng.uniform(10.0, max(far, 14.0)))
    direction = float(rng.uniform(0.0, 2.0 * np.pi))
    turn = float(rng.choice([-1.0, 1.0]) * rng.uniform(9.0, 32.0)) if rng.uniform() < 0.5 else 0.0
    distance *= 0.6 if turn else 1.0
    dx, dy = distance * float(np.cos(direction)), distance * float(np.sin(direction))
    return _swap(scene, index, replace(placed, pose=placed.pose.moved(dx, dy, turn)))


def _tombstoned(scene: Scene, rng: np.random.Generator, smallest: float) -> Scene:
    index = _choose(scene, rng, _STANDING, smallest)
    placed = scene.placed[index]
    end = float(rng.choice([-1.0, 1.0]))
    pose = placed.pose.moved(*(float(v) for v in rng.normal(0.0, 2.0, 2)), float(rng.normal(0.0, 6.0)))
    return _swap(scene, index, replace(placed, pose=pose, look=replace(placed.look, upright=end)))


def _wrong_part(scene: Scene, rng: np.random.Generator, smallest: float) -> Scene:
    """Another value, another body, another kind of chip, or the right part the wrong way round."""
    index = _choose(scene, rng, _MOVABLE, smallest)
    placed = scene.placed[index]
    part, look = placed.part, placed.look
    if part.kind in ("resistor", "capacitor") and rng.uniform() < 0.6:
        other = "capacitor" if part.kind == "resistor" else "resistor"
        look = replace(look, value="".join(str(d) for d in rng.integers(1, 9, 3)))
        return _swap(scene, index, replace(placed, part=replace(part, kind=other), look=look))
    if part.kind in ("can", "diode", "tantalum", "ic", "led") and rng.uniform() < 0.5:
        return _swap(scene, index, replace(placed, pose=placed.pose.moved(0.0, 0.0, 180.0)))
    return _swap(scene, index, replace(placed, look=_other_look(rng, look, moulded=part.kind in _MOULDED)))


def _other_look(rng: np.random.Generator, look: Look, *, moulded: bool) -> Look:
    colours = _MOULDS if moulded else _COLOURS
    tint = colours[int(rng.integers(len(colours)))]
    scale = float(rng.choice([0.74, 0.84, 1.0]))
    return replace(look, tint=tint, scale=scale, value="".join(str(d) for d in rng.integers(1, 9, len(look.value))))


def _missing_solder(scene: Scene, rng: np.random.Generator, smallest: float) -> Scene:
    """One pad, or a run of neighbouring ones, stays bare; on small pictures a whole region."""
    owners, pad = joint_table(scene.layout)
    amount = scene.amount_J.copy()
    if smallest > _REGION:
        centre = pad[int(rng.integers(len(pad))), :2]
        amount[np.hypot(*(pad[:, :2] - centre).T) < 0.75 * smallest] = 0.0
        return replace(scene, amount_J=amount)
    solderable = [np.flatnonzero(owners == i) for i, placed in enumerate(scene.placed) if placed.part.kind != "header"]
    pool = [mine for mine in solderable if _reach(pad[mine]) >= smallest]
    mine = pool[int(rng.integers(len(pool)))] if pool else max(solderable, key=len)
    gaps = np.abs(pad[mine, :2] - pad[mine[int(rng.integers(len(mine)))], :2]).sum(axis=1)
    mine = mine[np.argsort(gaps, kind="stable")]
    run = next((n for n in range(1, len(mine)) if _reach(pad[mine[:n]]) >= smallest), len(mine))
    if len(mine) > 4:
        run = min(len(mine), run + int(rng.integers(0, 3)))
    amount[mine[:run]] = 0.0
    return replace(scene, amount_J=amount)


def _reach(rows: np.ndarray) -> float:
    """Return the longer side of the box around some pads."""
    return float(np.ptp(rows[:, :2], axis=0).max() + rows[0, 4:6].max())


def _solder_bridge(scene: Scene, rng: np.random.Generator, smallest: float) -> Scene:
    """A smooth ridge from a pin's pad to a near one, of the same part or of a neighbour, thin or thick."""
    owners, pad = joint_table(scene.layout)
    pinned = np.flatnonzero([scene.placed[i].part.kind in _BRIDGED for i in owners])
    first = int(pinned[int(rng.integers(len(pinned)))])
    gaps = np.abs(pad[:, :2] - pad[first, :2]).max(axis=1)
    outside = np.array([scene.placed[i].part.kind != "header" for i in owners]) & (gaps >= smallest)
    order = np.argsort(np.where(outside, gaps, np.inf), kind="stable")
    other = int(order[int(rng.integers(2))])
    slide = pad[first, 2:4] * float(rng.uniform(-0.3, 0.3)) * pad[first, 4]
    thick = float(rng.uniform(0.3, 0.75)) * max(16.0, smallest)
    return replace(scene, bridges=(_ridge(pad[first, :2] + slide, pad[other, :2] + slide, thick, rng),))


def _ridge(a: np.ndarray, b: np.ndarray, thick: float, rng: np.random.Generator) -> np.ndarray:
    """Return a lens-like outline (24, 2) from a to b, uneven along its sides."""
    steps = np.linspace(0.0, 1.0, 12)
    gap = b - a
    normal = np.array([-gap[1], gap[0]]) / np.hypot(*gap)
    width = thick * (0.55 + 0.45 * np.abs(2.0 * steps - 1.0)) * rng.uniform(0.85, 1.15, 12) / 2.0
    middle = a + steps[:, None] * gap
    return np.concatenate([middle + width[:, None] * normal, (middle - width[:, None] * normal)[::-1]])


def _scratch(scene: Scene, rng: np.random.Generator, smallest: float) -> Scene:
    """A bent line of random length and depth that shows lighter laminate, or copper."""
    length = smallest * float(np.exp(rng.uniform(np.log(1.3), np.log(max(18.0 * SMALLEST / smallest, 4.0)))))
    heading = float(rng.uniform(0.0, 2.0 * np.pi)) + np.cumsum(rng.normal(0.0, 0.09, 8))
    start = rng.uniform(70.0, 930.0, 2)
    steps = np.stack([np.cos(heading), np.sin(heading)], axis=-1) * length / 8.0
    path = np.clip(np.concatenate([start[None], start + np.cumsum(steps, axis=0)]), 30.0, 970.0)
    colour: Colour = (198, 150, 104) if rng.uniform() < 0.5 else (168, 178, 130)
    width = float(rng.uniform(2.6, 6.5)) * max(1.0, smallest / SMALLEST / 2.0)
    return replace(scene, scratches=(Scratch(path=path, width=width, colour=colour),))


_CHANGES: dict[str, Callable[[Scene, np.random.Generator, float], Scene]] = {
    "missing": _missing,
    "shifted": _shifted,
    "tombstoned": _tombstoned,
    "solder_bridge": _solder_bridge,
    "missing_solder": _missing_solder,
    "scratch": _scratch,
    "wrong_part": _wrong_part,
}
DEFECTS: tuple[str, ...] = tuple(_CHANGES)


def spoil(scene: Scene, defect: str, rng: np.random.Generator, *, side: int, attempt: int = 0) -> Scene:
    """Return the scene with one defect of the named kind, for a picture of `side` pixels.

    Each further `attempt` (earlier ones could not be seen) asks for a larger one, by an eighth.

    Raises KeyError for a kind that is not in DEFECTS.
    """
    return _CHANGES[defect](scene, rng, floor_units(side) * (1.0 + attempt / 8.0))
