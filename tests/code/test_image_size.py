"""The size of inspected images: what stands for it, and what it is written as."""

import json

import pytest

from zeromiss.image_size import ImageSize
from zeromiss.sections import Section


class Sized(Section):
    """A section with a size."""

    size: ImageSize = ImageSize(256, 256)


@pytest.mark.parametrize(
    ("value", "size", "shape", "pixels", "text"),
    [
        (64, ImageSize(64, 64), (64, 64), 4096, "64"),
        ([96, 64], ImageSize(96, 64), (64, 96), 6144, "96 x 64"),
        ((64, 96), ImageSize(64, 96), (96, 64), 6144, "64 x 96"),
    ],
)
def test_a_number_is_a_square_and_a_pair_is_width_and_height(value, size, shape, pixels, text):
    found = ImageSize.of(value)
    assert (found, found.shape, found.pixels, str(found)) == (size, shape, pixels, text)
    assert (found.shorter, found.longer) == (min(shape), max(shape))
    assert ImageSize.of(found) is found
    assert ImageSize.of(found.plain) == found


@pytest.mark.parametrize("value", [0, -3, [64], [64, 0], [64, 64, 3], "64", 64.0, True, None, [64, 32.5]])
def test_anything_else_is_refused(value):
    with pytest.raises(ValueError, match="a size (is|has)"):
        ImageSize.of(value)


def test_models_read_and_write_its_plain_form():
    assert Sized().model_dump() == {"size": 256}
    assert json.loads(Sized(size=[96, 64]).model_dump_json()) == {"size": [96, 64]}
    assert Sized.model_validate({"size": [96, 64]}).size == ImageSize(96, 64)
    for value, fragment in (([96, 31], "every side should be greater than or equal to 32, not 31"), ("large", "a whole number of pixels or a pair")):
        with pytest.raises(ValueError, match=fragment):
            Sized(size=value)
