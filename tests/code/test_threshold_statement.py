"""threshold.json by hand: counts by part, bounds by type, and a sentence that promises no more than is known."""

from typing import Any

import numpy as np
import pytest

from zeromiss.errors import ZeromissError
from zeromiss.threshold.statement import threshold_facts

Y_N = np.array([0, 1, 1, 1, 1])
P_N = np.array([0.1, 0.5, 0.4, 0.8, 0.9])
PARTS = np.array(["n", "a", "a", "b", "c"], dtype=object)
TYPES = np.array(["", "crack", "crack", "scratch", ""], dtype=object)


def _facts(**changes: Any) -> dict[str, Any]:
    values = {
        "y_N": Y_N,
        "probability_N": P_N,
        "part_N": PARTS,
        "defect_type_N": TYPES,
        "rule": "zfn",
        "margin": 0.0,
        "confidence": 0.95,
        "n_candidates": 1,
    }
    return threshold_facts(**(values | changes))


def test_numbers_by_hand() -> None:
    """Four images of three defective parts: bounds count the parts."""
    facts = _facts()
    assert (facts["value"], facts["n_defects"], facts["n_defect_parts"]) == (0.4, 4, 3)
    assert facts["next_defect_miss_bound"] == 0.25
    assert facts["miss_rate_bound_95"] == pytest.approx(1 - 0.05 ** (1 / 3))


def test_the_confidence_is_a_parameter_but_the_95_stays() -> None:
    """miss_rate_bound follows threshold.confidence, miss_rate_bound_95 is always at 95 %."""
    facts = _facts(confidence=0.9, n_candidates=10)
    assert facts["miss_rate_bound"] == pytest.approx(1 - 0.01 ** (1 / 3))
    assert facts["miss_rate_bound_95"] == pytest.approx(1 - 0.005 ** (1 / 3))


def test_bounds_by_type() -> None:
    """Named types alone, by name; two images of one cracked part count once."""
    crack, scratch = _facts()["types"]
    assert (crack["defect_type"], crack["n_defects"], crack["n_defect_parts"], crack["lowest_probability"]) == ("crack", 2, 1, 0.4)
    assert (scratch["defect_type"], scratch["n_defects"], scratch["lowest_probability"]) == ("scratch", 1, 0.8)
    assert crack["next_defect_miss_bound"] == scratch["next_defect_miss_bound"] == 0.5


def test_leave_one_out_is_called_descriptive() -> None:
    """With the number of defects, of parts and of classifiers, and no promise."""
    facts = _facts(n_candidates=120)
    assert facts["bound_is"] == "descriptive"
    for words in ("4 known defects (3 parts)", "up to 25 %", "120 compared classifiers", "descriptive, not a guarantee"):
        assert words in facts["statement"]
    assert "zero false negative" not in facts["statement"].lower()


def test_an_independent_set_is_valid() -> None:
    """A scorer fixed beforehand: the sentence says the bound without an if."""
    facts = _facts(independent=True)
    assert facts["bound_is"] == "valid"
    assert "1 compared classifier," in facts["statement"] and "descriptive" not in facts["statement"]


def test_the_margin_is_told() -> None:
    """A quarter below 0.4."""
    facts = _facts(rule="margin", margin=0.25)
    assert facts["value"] == pytest.approx(0.3)
    assert "0.25 of it below the lowest score of 4 known defects" in facts["statement"]


def test_one_image_a_part_is_not_told_twice() -> None:
    """The parts are named only where they differ from the images."""
    assert "(4 parts)" not in _facts(part_N=np.arange(5).astype(str))["statement"]


def test_no_defects_are_refused() -> None:
    """No file without a threshold."""
    with pytest.raises(ZeromissError, match="there is no defect"):
        _facts(y_N=np.zeros(5))
