"""A stroke font: characters as pen strokes, so that text turns and scales with what it is printed on."""

from functools import cache, lru_cache

import numpy as np

ADVANCE = 6.0  # grid units from one character to the next; a glyph is 4 wide and 6 high
# Two digits a point (x 0..4, y 0..6 downwards), a bar between strokes.
_GLYPHS = {
    "0": "10 30 41 45 36 16 05 01 10", "1": "11 20 26|16 36", "2": "01 10 30 41 42 06 46",
    "3": "00 40 22 32 43 45 36 16 05", "4": "36 30 04 44", "5": "40 00 03 32 43 45 36 06",
    "6": "30 10 02 05 16 36 45 43 32 03", "7": "00 40 16", "8": "10 30 41 42 33 13 02 01 10|13 04 05 16 36 45 44 33",
    "9": "16 36 44 41 30 10 01 02 13 43", "A": "06 02 20 42 46|04 44", "B": "00 30 41 42 33 03|33 44 45 36 06 00",
    "C": "41 30 10 01 05 16 36 45", "D": "00 20 42 44 26 06 00", "E": "40 00 06 46|03 33", "F": "40 00 06|03 33",
    "G": "41 30 10 01 05 16 36 45 43 23", "H": "00 06|40 46|03 43", "I": "10 30|20 26|16 36", "J": "40 45 36 16 05",
    "K": "00 06|40 03 46", "L": "00 06 46", "M": "06 00 23 40 46", "N": "06 00 46 40", "O": "10 30 41 45 36 16 05 01 10",
    "P": "06 00 30 41 42 33 03", "Q": "10 30 41 45 36 16 05 01 10|24 46", "R": "06 00 30 41 42 33 03|23 46",
    "S": "41 30 10 01 02 13 33 44 45 36 16 05", "T": "00 40|20 26", "U": "00 05 16 36 45 40", "V": "00 26 40",
    "W": "00 16 23 36 40", "X": "00 46|40 06", "Y": "00 23 40|23 26", "Z": "00 40 06 46",
    "-": "13 33", "+": "13 33|22 24", ".": "25 26", "/": "06 40", " ": "",
}  # fmt: skip


@cache
def _glyph(character: str) -> tuple[np.ndarray, ...]:
    strokes = [stroke.split() for stroke in _GLYPHS[character].split("|") if stroke]
    return tuple(np.array([(int(p[0]), int(p[1])) for p in stroke], dtype=np.float64) for stroke in strokes)


@lru_cache(maxsize=4096)
def text_strokes(text: str, *, height: float, at: tuple[float, float] = (0.0, 0.0)) -> list[np.ndarray]:
    """Return the pen strokes of `text`, each (N, 2) of x, y, centred on `at`.

    `height` is that of a capital letter, in the caller's units. Raises KeyError for a character
    that the font lacks (it has capitals, digits, space and ``- + . /``).
    """
    unit = height / 6.0
    left = -(ADVANCE * len(text) - 2.0) / 2.0
    shifts = (np.array([left + ADVANCE * i, -3.0]) for i in range(len(text)))
    return [(stroke + shift) * unit + at for character, shift in zip(text, shifts, strict=True) for stroke in _glyph(character)]
