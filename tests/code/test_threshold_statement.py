"""threshold.json by hand: counts by part, bounds by type, and sentences that promise no more than is known."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from zeromiss.errors import ZeromissError
from zeromiss.stage_params import InspectionParams, ThresholdParams
from zeromiss.threshold.facts import threshold_facts

Y_N = np.array([0, 1, 1, 1, 1])
P_N = np.array([0.1, 0.5, 0.4, 0.8, 0.9])
PARTS = np.array(["n", "a", "a", "b", "c"], dtype=object)
TYPES = np.array(["", "crack", "crack", "scratch", ""], dtype=object)
DRIFT = "as long as the parts, the camera and the light stay as they were: drift breaks it."


def _facts(rule: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    values = {"y_N": Y_N, "probability_N": P_N, "part_N": PARTS, "defect_type_N": TYPES, "n_candidates": 1}
    return threshold_facts(**(values | {"params": ThresholdParams(**(rule or {}))} | changes))


def _outer(ratios: list[float], threshold: float = 0.5) -> pd.DataFrame:
    """Two folds that judged one defect a ratio and two normals each."""
    count = len(ratios)
    defects = pd.DataFrame({"part_id": [f"d{number}" for number in range(count)], "label": "defect", "probability": np.array(ratios) * threshold})
    normals = pd.DataFrame({"part_id": ["n0", "n1", "n2", "n3"], "label": "normal", "probability": [0.0, 0.9, 0.0, 0.0]})
    table = pd.concat([defects, normals], ignore_index=True)
    return table.assign(repeat=0, fold=[*(np.arange(count) % 2), 0, 0, 1, 1], family="et", threshold=threshold)


def test_numbers_by_hand() -> None:
    """Four images of three defective parts: bounds count the parts."""
    facts = _facts()
    assert (facts["value"], facts["n_defects"], facts["n_defect_parts"], facts["defects_behind"]) == (0.4, 4, 3, 3)
    assert facts["next_defect_miss_bound"] == 0.25
    assert facts["miss_rate_bound_95"] == pytest.approx(1 - 0.05 ** (1 / 3))
    assert (facts["missed_known"], facts["honest"], facts["clipped"]) == (0, None, False)


def test_the_confidence_is_a_parameter_but_the_95_stays() -> None:
    """miss_rate_bound follows threshold.confidence, miss_rate_bound_95 is always at 95 %."""
    facts = _facts({"confidence": 0.9}, n_candidates=10)
    assert facts["miss_rate_bound"] == pytest.approx(1 - 0.01 ** (1 / 3))
    assert facts["miss_rate_bound_95"] == pytest.approx(1 - 0.005 ** (1 / 3))


def test_bounds_by_type() -> None:
    """Named types alone, by name; two images of one cracked part count once."""
    crack, scratch = _facts()["types"]
    assert (crack["defect_type"], crack["n_defects"], crack["n_defect_parts"], crack["lowest_probability"]) == ("crack", 2, 1, 0.4)
    assert (scratch["defect_type"], scratch["n_defects"], scratch["lowest_probability"]) == ("scratch", 1, 0.8)
    assert crack["next_defect_miss_bound"] == scratch["next_defect_miss_bound"] == 0.5
    assert crack["miss_rate_bound_95"] == pytest.approx(0.95)


def test_leave_one_out_is_called_descriptive() -> None:
    """With the number of defects, of parts and of classifiers, and no promise."""
    facts = _facts(n_candidates=120)
    assert facts["bound_is"] == "descriptive"
    for words in ("4 known defects (3 parts)", "up to 25 %", "120 compared classifiers", "descriptive, not a guarantee"):
        assert words in facts["guarantee"] and words in facts["statement"]
    assert facts["assumption"].endswith(DRIFT) and DRIFT in facts["statement"]
    assert "zero false negative" not in facts["statement"].lower()


def test_the_margin_is_told_and_claims_nothing() -> None:
    """A quarter below 0.4; the bounds are those of zfn."""
    facts = _facts({"rule": "margin", "margin": 0.25})
    assert facts["value"] == pytest.approx(0.3)
    assert "The threshold lies 25 % below the lowest score of 4 known defects (3 parts); none of the known defects scored below it" in facts["statement"]
    assert facts["next_defect_miss_bound"] == 0.25 and facts["bound_is"] == "descriptive"
    assert facts["guarantee"].endswith("depends on the defects and is not claimed.")


def test_conformal_by_hand() -> None:
    """Nine outer parts, target 0.2: k = 2, the second lowest ratio 0.75 times 0.4 is 0.3."""
    facts = _facts({"rule": "conformal", "target": 0.2}, outer=_outer([0.5, 0.75, 1, 2, 2, 2, 2, 2, 2]), n_candidates=500)
    assert (facts["rank"], facts["defects_behind"], facts["bound_is"]) == (2, 9, "valid")
    assert facts["value"] == pytest.approx(0.3) and facts["multiplier"] == pytest.approx(0.75)
    assert facts["next_defect_miss_bound"] == pytest.approx(0.2)
    assert facts["miss_rate_bound_95"] == pytest.approx(binomtest(1, 9, alternative="less").proportion_ci(0.9875, method="exact").high)  # 5 % among 4
    assert "ranks 2nd from below among 9 defective parts" in facts["statement"]
    assert "95 % confidence shared among 4, twice the outer folds," in facts["guarantee"]
    assert "up to 20 %, within the target of 20 %" in facts["guarantee"] and "9 defective parts, each judged in outer folds" in facts["guarantee"]
    assert facts["assumption"].startswith("It holds where the scores of defects to come") and facts["assumption"].endswith(DRIFT)


def test_the_budget_by_hand() -> None:
    """Nine parts, 55 %, the doubt among 4: 0 of 9 bounds 38.6 %, 1 of 9 53.0 %, 2 of 9 64.4 %; so the second lowest."""
    facts = _facts({"rule": "budget", "budget_ppm": 550_000}, outer=_outer([0.5, 0.75, 1, 2, 2, 2, 2, 2, 2]))
    assert (facts["rank"], facts["value"]) == (2, pytest.approx(0.3))
    assert facts["miss_rate_bound"] == pytest.approx(0.5299, abs=5e-5) and "53 %, within the budget of 550000 per million" in facts["guarantee"]


def _aside(scores: list[float]) -> pd.DataFrame:
    """The product's classifier and that of two folds score one defect a part put aside, the second fold half as high."""
    rows = pd.DataFrame({"part_id": [f"a{number}" for number in range(len(scores))], "probability": scores})
    folds = [rows.assign(repeat=0, fold=0), rows.assign(repeat=0, fold=1, probability=rows["probability"] / 2)]
    return pd.concat([rows.assign(repeat=pd.NA, fold=pd.NA), *folds], ignore_index=True)


def test_the_umbrella_by_hand() -> None:
    """Ten parts at 40 %: none missed bounds 25.9 %, one 39.4 %, two 50.7 %; so the second lowest, 0.45, whatever the known defects."""
    scores = [0.9, 0.45, 0.8, 0.2, 0.7, 0.6, 0.95, 0.85, 0.75, 0.65]
    facts = _facts({"rule": "umbrella", "target": 0.4}, aside=_aside(scores), outer=_outer([1.0, 1.0]), n_candidates=500)
    assert (facts["value"], facts["rank"], facts["defects_behind"], facts["bound_is"], facts["doubt_shared_among"]) == (0.45, 2, 10, "valid", 1)
    assert (facts["multiplier"], facts["clipped"], facts["missed_known"]) == (None, False, 1)
    assert facts["miss_rate_bound"] == pytest.approx(binomtest(1, 10, alternative="less").proportion_ci(0.95, method="exact").high)
    assert facts["next_defect_miss_bound"] == pytest.approx(2 / 11)
    assert facts["statement"].startswith(
        "The threshold lies at the 2nd lowest score of 10 defective parts put aside for it, which no detector, search or fold has seen; "
        "1 of 4 known defects (3 parts), on which the classifier was chosen, scored below it in leave-one-out. With 95 % confidence the "
        "share of misses is up to 39.4 %, within the target of 40 %, and the next defective part is missed with probability up to 18.2 %; "
        "this is a theorem (Neyman-Pearson umbrella algorithm) and rests on 10 defective parts, whatever the classifier."
    )
    assert facts["assumption"] == f"It holds for defects drawn as these were, independently of each other, and for no others; and {DRIFT}"
    assert facts["honest"]["missed"] == 0  # scores 0.5 at the folds' thresholds of 0.45 and 0.225
    assert "of 2 folds, each fold's classifier with a threshold of its own by the same parts put aside: a miss" in facts["statement"]


def test_what_a_bound_means_on_the_line() -> None:
    """Ten parts, none missed at 30 %: 25.9 % with confidence and 1/11 on average; 2 % defective parts, the next 500."""
    rule, aside = {"rule": "umbrella", "target": 0.3}, _aside([0.5] * 10)
    found = _facts(rule, aside=aside, inspection=InspectionParams(defect_share=0.02, next_parts=500))
    bound = 1 - 0.05 ** (1 / 10)
    assert found["escapes"] == pytest.approx(
        {"defect_share": 0.02, "per_million_defective": 1e6 * bound, "per_million": 2e4 * bound, "next_parts": 500, "next_misses": 10 * bound, "next_misses_mean": 10 / 11}
    )
    assert (
        "On a line with 2 % defective parts that is up to 5,180 escapes per million parts (259,000 escapes per million defective parts): up to "
        "2.59 misses to be expected among the next 500 parts with this confidence, 0.909 on average." in found["statement"]
    )
    unknown = _facts()
    assert (unknown["escapes"]["per_million"], unknown["escapes"]["next_misses"], unknown["escapes"]["next_misses_mean"]) == (None, None, None)
    assert (
        "On the line that would be up to 632,000 escapes per million defective parts; set inspection.defect_share to the line's share of defective "
        "parts to have it per million parts, and for the next 10,000." in unknown["statement"]
    )


def test_a_multiple_above_one_says_which_known_defects_it_misses() -> None:
    """Ratios far above 1: 1.5 times 0.4 lies above two of four known defects, of one part."""
    facts = _facts({"rule": "conformal", "target": 0.3}, outer=_outer([1.5] * 9))
    assert facts["value"] == pytest.approx(0.6) and facts["multiplier"] == 1.5
    assert (facts["missed_known"], facts["missed_known_parts"]) == (2, 1)
    assert "; 2 of the known defects scored below it in leave-one-out." in facts["statement"]
    crack, scratch = facts["types"]
    assert (crack["missed_parts"], scratch["missed_parts"]) == (1, 0)
    assert (crack["miss_rate_bound_95"], crack["next_defect_miss_bound"]) == (1.0, 1.0)


def test_a_threshold_ends_at_one() -> None:
    """3 times 0.4 is no score; the text says that it was clipped."""
    facts = _facts({"rule": "conformal", "target": 0.3}, outer=_outer([3.0] * 9, threshold=0.2))
    assert (facts["value"], facts["clipped"]) == (1.0, True)
    assert "clipped to 1, the highest score there is" in facts["statement"]


def test_what_outer_folds_found_of_the_rule_is_told() -> None:
    """At zfn one of four ratios lies below 1; half the threshold misses none, and the normals at 0.9 stay false alarms."""
    outer = _outer([0.75, 1, 2, 2])
    zfn, margin = _facts(outer=outer), _facts({"rule": "margin", "margin": 0.5}, outer=outer)
    assert (zfn["honest"]["missed"], zfn["honest"]["defects"], zfn["honest"]["fnr"]["mean"]) == (1, 4, 0.25)
    assert (margin["honest"]["missed"], margin["honest"]["fpr"]["mean"]) == (0, 0.25)
    assert "the same rule missed 1 of 4 defects judged in 1 repeat of 2 folds: a miss rate of 25 %, 95 % interval 0 % to" in zfn["statement"]


def test_one_image_a_part_is_not_told_twice() -> None:
    """The parts are named only where they differ from the images."""
    assert "(4 parts)" not in _facts(part_N=np.arange(5).astype(str))["statement"]


def test_no_defects_are_refused() -> None:
    """No file without a threshold."""
    with pytest.raises(ZeromissError, match="there is no defect"):
        _facts(y_N=np.zeros(5))
