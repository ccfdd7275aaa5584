"""The section `align`: what it may say."""

from collections.abc import Callable

import pytest

from zeromiss.errors import ZeromissError
from zeromiss.params import Product

MARKS = [[0.1, 0.1], [0.9, 0.2]]


def test_nothing_is_aligned_unless_asked_for(make_product: Callable[..., Product]) -> None:
    assert make_product().align.mode == "none"


@pytest.mark.parametrize(
    "align",
    [
        {"mode": "reference"},
        {"mode": "reference", "motion": "translation", "max_shift": 0.2, "min_correlation": 0.8, "reference": "images/a.png"},
        {"mode": "fiducial", "reference": "images/a.png", "marks": MARKS, "mark_side": 0.1, "max_rotation": 3},
        {"mode": "none", "max_shift": 0.1},
    ],
)
def test_what_fits_together_is_taken(make_product: Callable[..., Product], align: dict) -> None:
    assert make_product(align=align).align.mode == align["mode"]


@pytest.mark.parametrize(
    ("align", "sentence"),
    [
        ({"max_shift": 0.2}, r"align\.max_shift is set, but align\.mode none with align\.motion euclidean does not read it"),
        ({"mode": "reference", "marks": MARKS}, r"align\.marks is set, but align\.mode reference"),
        ({"mode": "reference", "motion": "translation", "max_rotation": 2.0}, r"align\.max_rotation is set, .* align\.motion translation does not read it"),
        ({"mode": "fiducial", "marks": MARKS}, r"align\.mode fiducial needs align\.reference and two different align\.marks"),
        ({"mode": "fiducial", "reference": "a", "marks": MARKS[:1] * 2}, r"needs align\.reference and two different"),
        ({"mode": "fiducial", "reference": "a", "marks": [[0.1, 0.1], [90, 20]]}, r"align\.marks are shares of the reference's width and height"),
        ({"mode": "reference", "max_shift": 0.5}, r"products\.part\.align\.max_shift: input should be less than or equal to 0\.25"),
        ({"mode": "reference", "shift": 0.1}, r"products\.part\.align\.shift: extra inputs are not permitted"),
    ],
)
def test_what_does_not_is_refused(make_product: Callable[..., Product], align: dict, sentence: str) -> None:
    with pytest.raises(ZeromissError, match=sentence):
        make_product(align=align)
