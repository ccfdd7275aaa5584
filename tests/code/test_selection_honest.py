"""The honest protocol: its figures and intervals by hand, and that nothing of the outer part is known inside."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta

from zeromiss.errors import ZeromissError
from zeromiss.selection import honest
from zeromiss.selection.honest import COLUMNS, judge_outer_folds, outer_folds
from zeromiss.selection.honest_rates import fold_interval, honest_figures, part_interval
from zeromiss.selection.select import select
from zeromiss.selection.source import Source, read_source
from zeromiss.stage_params import SelectionParams


def _source(apart: float, defects: int = 24) -> Source:
    random = np.random.default_rng(0)
    y_N = np.repeat([0, 1], [24, defects])
    count = len(y_N)
    facts = {
        "path": [f"{number}.png" for number in range(count)],
        "sha256": "0" * 64,
        "label": np.where(y_N, "defect", "normal"),
        "defect_type": np.where(y_N, "crack", ""),
        "part_id": [f"p{number // 2}" for number in range(count)],
        "native_score": 0.0,
    }
    return read_source(pd.DataFrame(random.normal(size=(count, 3)) + apart * y_N[:, None], columns=list("abc")).assign(**facts))


def _params(**values: Any) -> SelectionParams:
    return SelectionParams(**({"families": ("nb", "lda"), "draws": 2, "folds": 3, "outer_folds": 4, "outer_repeats": 1, "jobs": 1} | values))


def _outer(rows: list[tuple[int, int, str, str, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["repeat", "fold", "part_id", "label", "probability"])


def test_the_fold_interval_by_hand() -> None:
    """0.1, 0.2, 0.3: mean 0.2, s 0.1; t(0.975, 2) = 4.3027; variance factor 1/3 + 1/4 at a training share of 0.8."""
    found = fold_interval([0.1, 0.2, 0.3], 0.8)
    reach = 4.302653 * 0.1 * math.sqrt(1 / 3 + 0.25)
    assert found.mean == pytest.approx(0.2)
    assert found.high == pytest.approx(0.2 + reach, abs=1e-6)
    assert found.low == 0.0  # 0.2 - 0.329 is no rate


def test_one_value_knows_no_interval() -> None:
    """Its interval is everything."""
    found = fold_interval([0.25], 0.8)
    assert (found.mean, found.low, found.high) == (0.25, 0.0, 1.0)


def test_folds_without_a_miss_claim_no_certainty() -> None:
    """Ten defects in two folds, none missed: the t interval is [0, 0], the union ends at Clopper and Pearson's 30.8 %."""
    rows = [(0, fold, f"{label}{fold}{number}", label, 0.9 * (label == "defect")) for fold in (0, 1) for label in ("defect", "normal") for number in range(5)]
    found = honest_figures(_outer(rows), np.full(20, 0.5))
    assert (found["missed"], found["defects"], found["repeats"], found["folds"]) == (0, 10, 1, 2)
    assert (found["fnr"]["mean"], found["fnr"]["low"]) == (0.0, 0.0)
    assert found["fnr"]["high"] == pytest.approx(1 - 0.025 ** (1 / 10), rel=1e-9)
    assert found["fpr"] == found["fnr"]
    assert found["accuracy"]["low"] == pytest.approx(0.025 ** (1 / 20), rel=1e-9) and found["accuracy"]["high"] == 1.0


def test_a_part_counts_once() -> None:
    """Of three parts one is a hit in one of two verdicts: it counts for the upper end and not for the lower."""
    counted = pd.DataFrame({"part_id": ["a", "a", "b", "b", "c"], "hit": [True, False, False, False, True]})
    low, high = part_interval(counted)
    assert low == pytest.approx(beta.ppf(0.025, 1, 3), rel=1e-9)  # 1 of 3
    assert high == pytest.approx(beta.ppf(0.975, 3, 1), rel=1e-9)  # 2 of 3
    assert part_interval(counted[:0]) == (0.0, 1.0)


def test_figures_by_hand() -> None:
    """Two repeats of two folds, one image missed once and one false alarm; thresholds differ by fold."""
    rows = [
        (0, 0, "d1", "defect", 0.3), (0, 0, "n1", "normal", 0.1), (0, 1, "d2", "defect", 0.3), (0, 1, "n2", "normal", 0.2),
        (1, 0, "d2", "defect", 0.4), (1, 0, "n1", "normal", 0.4), (1, 1, "d1", "defect", 0.9), (1, 1, "n2", "normal", 0.1),
    ]  # fmt: skip
    found = honest_figures(_outer(rows), np.array([0.3, 0.3, 0.5, 0.5, 0.4, 0.4, 0.5, 0.5]))
    assert (found["missed"], found["defects"]) == (1, 4)  # images over both repeats
    assert (found["fnr"]["mean"], found["fpr"]["mean"], found["accuracy"]["mean"]) == (0.25, 0.25, 0.75)
    assert found["precision"]["mean"] == pytest.approx((1 + 0 + 0.5 + 1) / 4)  # nothing abnormal in one fold: 0
    assert all(0 <= found[name]["low"] <= found[name]["mean"] <= found[name]["high"] <= 1 for name in ("fnr", "fpr", "accuracy", "precision"))


def test_outer_parts_are_unknown_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each inner selection gets the other parts only; each image is judged once a repeat."""
    source, seen = _source(2.0), []

    def spy(inner: Source, *args: object, **kwargs: object) -> object:
        seen.append(set(inner.part_N))
        return select(inner, *args, **kwargs)

    monkeypatch.setattr(honest, "select", spy)
    table = judge_outer_folds(source, _params(outer_repeats=2), 0)
    assert table is not None and tuple(table.columns) == COLUMNS
    assert table.groupby(["repeat", "fold"]).ngroups == len(seen) == 8
    assert (table.groupby(["repeat", "path"]).size() == 1).all() and len(table) == 2 * 48
    assert all(len(parts) == 18 for parts in seen)  # 24 parts, 6 aside
    judged = [set(rows["part_id"]) for _, rows in table.groupby(["repeat", "fold"])]
    assert all(parts.isdisjoint(aside) for parts, aside in zip(seen, judged, strict=True))


def test_each_row_bears_its_folds_threshold_and_winner() -> None:
    """As the inner selection gives them when it is asked directly."""
    source, params = _source(1.0), _params()
    table = judge_outer_folds(source, params, 0)
    _, number, (training, judged) = outer_folds(source, params, 0)[2]
    inner = select(source.take(training), params, 0, pool="folds")
    rows = table[table["fold"] == number]
    assert list(rows["path"]) == list(source.facts["path"].iloc[judged])
    assert set(rows["family"]) == {inner.winner} and set(rows["threshold"]) == {inner.judgements[inner.winner].zfn_threshold}
    assert np.array_equal(rows["probability"], inner.classifier.predict_proba(source.features.iloc[judged])[:, 1])


def test_separable_defects_and_noise() -> None:
    """Far apart, nearly all images are judged rightly; with labels that mean nothing, the normals are false alarms."""
    far, noise = (judge_outer_folds(_source(apart), _params(), 0) for apart in (6.0, 0.0))
    assert honest_figures(far, far["threshold"].to_numpy())["accuracy"]["mean"] > 0.9
    assert honest_figures(noise, noise["threshold"].to_numpy())["fpr"]["mean"] > 0.6


def test_without_repeats_nothing_is_done() -> None:
    """The switch is the number of repeats."""
    assert judge_outer_folds(_source(1.0), _params(outer_repeats=0), 0) is None
    assert outer_folds(_source(1.0), _params(outer_repeats=0), 0) == []


@pytest.mark.parametrize(
    ("defects", "changes", "fault"),
    [(6, {}, "the defects come from 3 parts"), (10, {"folds": 5}, "selection.folds is 5, but the defects come from 3 parts"), (10, {}, "SMOTE with")],
)
def test_too_few_parts_are_told_before_anything_is_fitted(defects: int, changes: dict[str, Any], fault: str) -> None:
    """For the outer folds, the folds inside, or SMOTE there; with the key that leaves the protocol out."""
    with pytest.raises(ZeromissError, match=f"honest protocol of 4 outer folds.*{fault}.*selection.outer_repeats 0"):
        outer_folds(_source(1.0, defects), _params(**changes), 0)
