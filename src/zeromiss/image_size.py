"""The size at which a product's images are inspected: width and height in pixels, written as `256` or `[384, 128]`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import core_schema

SMALLEST_SIDE = 32  # pixels: below it no patch fits with its neighbours


@dataclass(frozen=True)
class ImageSize:
    """Pixels of an image's two sides; `str` gives `256` for a square and `384 x 128` otherwise."""

    width: int
    height: int

    @classmethod
    def of(cls, value: "ImageSize | int | Sequence[int]") -> "ImageSize":
        """Return the size that a number (a square) or a pair `[width, height]` stands for.

        Raises ValueError for anything else, or for a side below one pixel.
        """
        if isinstance(value, cls):
            return value
        sides = [value, value] if _is_whole(value) else value
        if not isinstance(sides, list | tuple) or len(sides) != 2 or not all(map(_is_whole, sides)):
            raise ValueError(f"a size is a whole number of pixels or a pair [width, height], not {value!r}")
        if min(sides) < 1:
            raise ValueError(f"a size has sides of one pixel or more, not {value!r}")
        return cls(*map(int, sides))

    @property
    def plain(self) -> int | list[int]:
        """The size as JSON and YAML hold it: one number for a square, otherwise `[width, height]`."""
        return self.width if self.width == self.height else [self.width, self.height]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (H, W), as arrays count them."""
        return self.height, self.width

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height

    @property
    def shorter(self) -> int:
        """Pixels of the shorter side."""
        return min(self.width, self.height)

    @property
    def longer(self) -> int:
        """Pixels of the longer side."""
        return max(self.width, self.height)

    def __str__(self) -> str:
        """Return `256` for a square, `384 x 128` otherwise."""
        return str(self.width) if self.width == self.height else f"{self.width} x {self.height}"

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> core_schema.CoreSchema:
        """Let models read it from, and write it as, its plain form."""
        return core_schema.no_info_plain_validator_function(
            cls._inspected, serialization=core_schema.plain_serializer_function_ser_schema(lambda size: size.plain)
        )

    @classmethod
    def _inspected(cls, value: Any) -> "ImageSize":
        """Return a size that images can be inspected at; raises ValueError for a side that is too short."""
        size = cls.of(value)
        if size.shorter < SMALLEST_SIDE:
            raise ValueError(f"every side should be greater than or equal to {SMALLEST_SIDE}, not {size.shorter}")
        return size


Size = ImageSize | int  # a number stands for a square of so many pixels a side


def _is_whole(value: Any) -> bool:
    """Return whether a value is a whole number, and no truth value."""
    return isinstance(value, int) and not isinstance(value, bool)
