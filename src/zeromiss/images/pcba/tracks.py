"""The copper of the board: tracks and vias that follow from the layout, with bends of 45 degrees."""

from functools import cache

import numpy as np

from zeromiss.images.pcba.layout import Part, pads, parts

_BUSES = (  # from pads of one part to pads of another, in order: (ref, pads), (ref, pads)
    (("U2", (15, 14, 13, 12, 11, 10, 9, 8)[::-1]), ("U1", tuple(range(18, 26)))),
    (("U3", (4, 5, 6, 7)), ("U1", (27, 28, 29, 30))),
    (("U1", (9, 10, 11, 12, 13)), ("J1", (2, 3, 4, 5, 6))),
    (("J2", (6, 7, 8, 9)), ("U1", (31, 32, 33, 34))),
)
_LINKS = (  # single tracks between two pads, and their width
    ("C1", 1, "C2", 1, 16.0), ("C2", 1, "C18", 0, 14.0), ("C18", 1, "C19", 0, 14.0), ("L1", 0, "C18", 1, 14.0),
    ("L1", 1, "C19", 1, 14.0), ("R12", 0, "C1", 0, 12.0), ("R12", 0, "R13", 0, 12.0), ("R12", 1, "R13", 1, 12.0),
    ("R12", 1, "L1", 1, 14.0), ("D1", 0, "D2", 1, 10.0), ("D1", 1, "R1", 0, 8.0), ("R1", 1, "C5", 0, 6.0),
    ("R2", 1, "C5", 1, 6.0), ("R3", 1, "C6", 1, 6.0), ("R4", 1, "C7", 0, 6.0), ("R5", 1, "C7", 1, 6.0),
    ("R1", 0, "R2", 0, 6.0), ("R2", 0, "R3", 0, 6.0), ("R3", 0, "R4", 0, 6.0), ("Q1", 2, "R5", 0, 6.0),
    ("Q1", 0, "Q2", 2, 6.0), ("C12", 0, "R8", 0, 8.0), ("R9", 0, "C11", 1, 6.0), ("R10", 0, "C11", 1, 6.0),
    ("U4", 0, "C3", 0, 12.0), ("U4", 2, "C3", 1, 14.0), ("C3", 0, "C4", 0, 12.0), ("C3", 1, "C4", 1, 14.0),
    ("D3", 1, "D4", 0, 6.0), ("D4", 1, "D5", 0, 6.0), ("D5", 1, "R16", 1, 6.0), ("R16", 0, "R17", 0, 6.0),
    ("R17", 0, "R18", 0, 6.0), ("C14", 1, "C15", 1, 12.0), ("C14", 0, "C15", 0, 12.0), ("C15", 0, "U4", 3, 12.0),
    ("R19", 1, "C20", 0, 6.0), ("R20", 1, "C21", 0, 6.0), ("Y1", 0, "C16", 0, 6.0), ("Y1", 1, "C17", 1, 6.0),
    ("R14", 1, "R15", 0, 7.0), ("C8", 0, "R6", 1, 6.0), ("C10", 0, "C9", 1, 6.0), ("R7", 1, "C14", 0, 6.0),
)  # fmt: skip


def _route(a: np.ndarray, b: np.ndarray, lead: float) -> np.ndarray:
    """Return a path from a to b: straight along the longer axis, then 45 degrees, then straight."""
    gap = b - a
    major = 0 if abs(gap[0]) >= abs(gap[1]) else 1
    slant = min(abs(gap[0]), abs(gap[1]))
    straight = abs(gap[major]) - slant
    first, second = a.copy(), b.copy()
    first[major] += np.sign(gap[major]) * straight * lead
    second[major] -= np.sign(gap[major]) * straight * (1.0 - lead)
    return np.stack([a, first, second, b])


@cache
def pad_centres(layout: int) -> dict[str, np.ndarray]:
    """Return the world centres (P, 2) of every part's pads, by reference."""
    return {part.ref: part.pose.place(np.array(pads(part))[:, :2]) for part in parts(layout)}


def _bus_lines(layout: int) -> list[tuple[np.ndarray, float]]:
    centres = pad_centres(layout)
    lines = []
    for (left, ours), (right, theirs) in _BUSES:
        count = len(ours)
        for i, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            a, b = centres[left][one], centres[right][other]
            rising = (b - a)[1] * (b - a)[0] > 0
            share = 0.25 + 0.5 * (i + 0.5) / count
            lines.append((_route(a, b, 1.0 - share if rising else share), 6.0))
    return lines


def _escapes(part: Part) -> list[np.ndarray]:
    """Return short tracks from an IC's pins outwards, every other one longer."""
    lines = []
    for i, (x, y, _, _) in enumerate(pads(part)):
        upright = abs(y) > part.width / 2.0
        reach = (24.0, 38.0)[i % 2]
        out = np.array([0.0, np.sign(y)]) if upright else np.array([np.sign(x), 0.0])
        lines.append(part.pose.place(np.array([(x, y), tuple(np.array([x, y]) + out * reach)])))
    return lines


@cache
def tracks(layout: int) -> tuple[tuple[np.ndarray, float], ...]:
    """Return all tracks as (path (N, 2), width) in world units."""
    centres = pad_centres(layout)
    lines = _bus_lines(layout)
    for one, i, other, j, width in _LINKS:
        lines.append((_route(centres[one][i], centres[other][j], 0.5), width))
    for part in parts(layout):
        if part.kind in ("ic", "quad"):
            lines += [(line, 6.0) for k, line in enumerate(_escapes(part)) if k % 3 != 1 or part.kind == "ic"]
    return tuple(lines)


@cache
def vias(layout: int) -> tuple[tuple[float, float], ...]:
    """Return the centres of all vias: ends of escapes, and stitching of the ground plane."""
    ends = [tuple(line[-1]) for part in parts(layout) if part.kind in ("ic", "quad") for k, line in enumerate(_escapes(part)) if k % 3 == 0]
    rng = np.random.default_rng(np.random.SeedSequence([407, 7]))
    corners = np.array([(p.pose.x, p.pose.y, max(p.length, p.width) / 2 + 26) for p in parts(layout)])
    for _ in range(160):
        x, y = (float(v) for v in rng.uniform(40, 960, 2))
        clear = (np.maximum(np.abs(corners[:, 0] - x), np.abs(corners[:, 1] - y)) > corners[:, 2]).all()
        apart = all(abs(x - u) + abs(y - v) > 30 for u, v in ends)
        if clear and apart and not (715 < x < 900 and y < 175):
            ends.append((x, y))
    return tuple((float(x), float(y)) for x, y in ends)
