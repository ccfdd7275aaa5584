"""How small defects are by their masks, and which maps of a backbone suit them."""

import numpy as np
import pandas as pd
import pytest
from zeromiss.errors import ZeromissError
from zeromiss.images.defect_size import defect_side, smallest_side, strides_for


def marked(*squares):
    """Return a mask with squares of the given sides, apart from each other."""
    mask_HW = np.zeros((64, 64), bool)
    for place, side in enumerate(squares):
        mask_HW[2:2 + side, 20 * place + 1:20 * place + 1 + side] = True
    return mask_HW


def test_a_defect_is_as_large_as_its_largest_region():
    assert defect_side(marked(3, 9)) == 9.0
    assert defect_side(np.zeros((8, 8), bool)) is None
    oblong_HW = np.zeros((64, 64), bool)
    oblong_HW[:2, :32] = True
    assert defect_side(oblong_HW) == 8.0  # the square root of 64 pixels


def test_one_speck_among_many_does_not_decide():
    sides = [1.0] + [10.0] * 19
    assert smallest_side(pd.DataFrame({"side": sides})) == pytest.approx(np.quantile(sides, 0.1)) == 10.0
    assert smallest_side(pd.DataFrame({"side": [2.0, 10.0]})) == pytest.approx(2.8)
    assert smallest_side(pd.DataFrame({"side": []})) is None


@pytest.mark.parametrize(
    ("side", "available", "expected"),
    [
        (None, (2, 4, 8, 16, 32), (8, 16)),
        (11.9, (2, 4, 8, 16, 32), (4, 8)),
        (12.0, (2, 4, 8, 16, 32), (8, 16)),
        (None, (2, 4), (2, 4)),
        (5.0, (8, 16), (8, 16)),
        (None, (16, 4), (4, 16)),
    ],
)
def test_strides_follow_from_the_defects_and_the_backbone(side, available, expected):
    assert strides_for(side, available) == expected


def test_a_backbone_of_one_map_is_refused():
    with pytest.raises(ZeromissError, match="gives 1 map and normal variation needs two"):
        strides_for(None, (8,))
