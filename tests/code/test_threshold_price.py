"""The price of the hardest defects, worked out by hand, and the scores that it rests on."""

import numpy as np
import pandas as pd
import pytest

from zeromiss.errors import ZeromissError
from zeromiss.selection.out_of_fold import LEAVE_ONE_OUT, NESTED, out_of_fold
from zeromiss.threshold.price import Price, cost_of_each, hardest_facts, price_of_hardest

NORMALS = [0.1, 0.2, 0.3, 0.4, 0.5]
Y = np.array([0] * 5 + [1] * 4)


def rows(repeats: list[list[float]], thresholds: list[float]) -> pd.DataFrame:
    """Rows of outer.parquet: five normals n0 to n4 as above, then the defects d0, d1, ... with these probabilities."""
    tables = []
    for repeat, (defects, threshold) in enumerate(zip(repeats, thresholds, strict=True)):
        names = [f"n{number}" for number in range(5)] + [f"d{number}" for number in range(len(defects))]
        frame = pd.DataFrame({"path": names, "probability": [*NORMALS, *defects]})
        frame["label"] = ["normal" if name[0] == "n" else "defect" for name in names]
        frame["defect_type"] = [None if name[0] == "n" else "crack" for name in names]
        tables.append(frame.assign(part_id=frame["path"], repeat=repeat, fold=0, family="lr", threshold=threshold).sample(frac=1.0, random_state=repeat))
    return pd.concat(tables, ignore_index=True)


def test_the_threshold_lies_at_the_lowest_defect_that_remains() -> None:
    score_N = np.array([*NORMALS, 0.9, 0.15, 0.45, 0.35])
    assert cost_of_each(Y, score_N).tolist() == [[0.0, 0.8, 0.2, 0.4]]
    prices = price_of_hardest(Y, score_N, (0, 1, 2, 3, 4, 8))  # of 4 defects 4 cannot go: no threshold is left
    assert [(price.removed, price.fpr) for price in prices] == [(0, 0.8), (1, 0.4), (2, 0.2), (3, 0.0)]
    assert [price.std for price in prices] == [None] * 4


def test_a_good_part_that_scores_like_the_defect_raises_an_alarm() -> None:
    assert price_of_hardest(np.array([0, 0, 1, 1]), np.array([0.3, 0.2, 0.3, 0.3]), (0, 1)) == [
        Price(removed=0, fpr=0.5, fpr_R=(0.5,)), Price(removed=1, fpr=0.5, fpr_R=(0.5,)),
    ]  # fmt: skip


def test_over_repeats_the_same_defects_go_and_each_repeat_has_its_own_threshold() -> None:
    """Mean costs are .5, .6, .3, 0: d1 goes first, then d0, then d2."""
    score_RN = np.array([[*NORMALS, 0.15, 0.35, 0.45, 0.9], [*NORMALS, 0.45, 0.15, 0.35, 0.9]])
    prices = price_of_hardest(Y, score_RN, (0, 1, 2, 3))
    assert [price.fpr_R for price in prices] == [(0.8, 0.8), (0.8, 0.4), (0.2, 0.4), (0.0, 0.0)]
    assert [price.fpr for price in prices] == pytest.approx([0.8, 0.6, 0.3, 0.0])
    assert [price.std for price in prices] == pytest.approx([0.0, 0.4 / 2**0.5, 0.2 / 2**0.5, 0.0])


def test_it_agrees_with_thresholds_tried_one_by_one() -> None:
    random = np.random.default_rng(3)
    y_N, score_RN = np.repeat([0, 1], [40, 30]), random.integers(0, 25, (3, 70)) / 25.0
    cost_D = np.array([[np.mean(score_N[:40] >= score) for score in score_N[40:]] for score_N in score_RN])
    order = sorted(range(30), key=lambda d: (-cost_D[:, d].mean(), score_RN[:, 40 + d].mean(), d))
    for price in price_of_hardest(y_N, score_RN, range(30)):
        left = [40 + d for d in order[price.removed :]]
        assert price.fpr == pytest.approx(np.mean([np.mean(score_N[:40] >= score_N[left].min()) for score_N in score_RN]), abs=1e-12)


@pytest.mark.parametrize("label", [0, 1])
def test_without_normals_or_defects_there_is_no_price(label: int) -> None:
    with pytest.raises(ZeromissError, match="needs normal images and defects"):
        price_of_hardest(np.full(3, label), np.arange(3.0))


def test_the_file_names_the_hardest_defects_and_what_each_costs() -> None:
    outer = rows([[0.15, 0.35, 0.45, 0.9], [0.45, 0.15, 0.35, 0.9]], [0.2, 0.2])
    facts = hardest_facts(out_of_fold(outer.head(0), outer))
    assert (facts["protocol"], facts["repeats"], facts["n_defects"], facts["n_normals"]) == (NESTED, 2, 4, 5)
    assert list(facts["prices"]) == ["0", "1", "2", "3"]
    assert facts["prices"]["1"] == pytest.approx({"fpr": 0.6, "std": 0.4 / 2**0.5})
    assert facts["by_repeat"][1] == {"0": 0.8, "1": 0.4, "2": 0.4, "3": 0.0}
    assert [one["path"] for one in facts["defects"]] == ["d1", "d0", "d2", "d3"]
    first = facts["defects"][0]
    assert (first["rank"], first["defect_type"], first["part_id"]) == (1, "crack", "d1")
    assert (first["score"], first["fpr"], first["fpr_without"]) == pytest.approx((0.25, 0.6, 0.6))
    assert facts["defects"][3]["fpr_without"] is None  # no defect is left to set a threshold by


def test_the_thresholds_of_outer_folds_move_no_price() -> None:
    outer = rows([[0.15, 0.35, 0.45, 0.9]], [0.2])
    outer.loc[outer["path"].isin(["n1", "n3", "d0"]), "threshold"] = 0.0
    assert hardest_facts(out_of_fold(outer, outer))["prices"]["0"]["fpr"] == 0.8


def test_without_outer_folds_the_leave_one_out_scores_serve_and_the_file_says_so() -> None:
    pool = rows([[0.15, 0.35, 0.45, 0.9]], [1.0]).drop(columns=["repeat", "fold", "threshold"])
    facts = hardest_facts(out_of_fold(pool, None))
    assert (facts["protocol"], facts["repeats"]) == (LEAVE_ONE_OUT, 1)
    assert facts["prices"]["0"] == {"fpr": 0.8, "std": None}
    assert facts["defects"][0]["score_std"] is None


def test_a_repeat_that_lacks_an_image_is_refused() -> None:
    outer = rows([[0.15, 0.35], [0.15, 0.35]], [0.2, 0.2])
    with pytest.raises(ZeromissError, match="do not hold every image exactly once a repeat"):
        out_of_fold(outer, outer.drop(index=3))
    with pytest.raises(ZeromissError, match="do not hold every image exactly once a repeat"):
        out_of_fold(outer, pd.concat([outer, outer.head(1)]))
