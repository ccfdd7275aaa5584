"""The umbrella rule: its rank by hand, against beta quantiles and MAPIE's risk control; which parts count; what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mapie.risk_control import BinaryClassificationController
from scipy.stats import beta, binom

from zeromiss.errors import ZeromissError
from zeromiss.params import Product, resolve_product
from zeromiss.stage_params import ThresholdParams
from zeromiss.threshold.ratios import order_statistic
from zeromiss.threshold.rules import outer_thresholds, place
from zeromiss.threshold.umbrella import check_umbrella, fold_thresholds, threshold_scores, umbrella_rank


def _params(target: float = 0.05, **values: Any) -> ThresholdParams:
    return ThresholdParams(rule="umbrella", target=target, **values)


def _rows(*rows: tuple[int | None, int | None, str, float]) -> pd.DataFrame:
    """Return rows of threshold_set.parquet: repeat, fold, part_id, probability."""
    return pd.DataFrame(rows, columns=["repeat", "fold", "part_id", "probability"]).astype({"repeat": "Int64", "fold": "Int64"})


@pytest.mark.parametrize(("target", "needed"), [(0.05, 59), (0.01, 299), (0.001, 2_995)])
def test_what_the_lowest_score_needs(target: float, needed: int) -> None:
    """log(0.05) / log(1 - target), rounded up; one fewer is refused with that number."""
    assert umbrella_rank(needed, _params(target)) == 1
    with pytest.raises(ZeromissError, match=f"threshold.rule umbrella: a miss rate below {target:g} with 95 % confidence needs {needed} defects, none missed; there are {needed - 1}"):
        check_umbrella(needed - 1, _params(target))


@pytest.mark.parametrize(("n_parts", "target", "confidence", "rank"), [(92, 0.05, 0.95, 1), (93, 0.05, 0.95, 2), (124, 0.05, 0.95, 3), (500, 0.01, 0.95, 2), (40, 0.2, 0.9, 5)])
def test_the_rank_is_the_highest_that_keeps_the_target(n_parts: int, target: float, confidence: float, rank: int) -> None:
    """P(Bin(n, target) <= k - 1) is within 1 - confidence for k and not for k + 1; so is Clopper and Pearson's bound of k - 1 misses."""
    assert umbrella_rank(n_parts, _params(target, confidence=confidence)) == rank
    assert binom.cdf(rank - 1, n_parts, target) <= 1 - confidence < binom.cdf(rank, n_parts, target)
    assert beta.ppf(confidence, rank, n_parts - rank + 1) <= target < beta.ppf(confidence, rank + 1, n_parts - rank)


@pytest.mark.parametrize(("n_parts", "target", "same"), [(200, 0.05, False), (400, 0.05, False), (60, 0.05, True), (130, 0.1, False)])
def test_mapies_risk_control_is_never_bolder(n_parts: int, target: float, same: bool) -> None:
    """Its thresholds of controlled recall, tested one after the other from the lowest on, end at a rank of the same scores, ours or lower.

    Its p-values (Hoeffding and Bentkus) hold for any bounded loss and are conservative for one of 0 or 1; where no defect may be
    missed the two agree.
    """
    score_D = np.sort(np.random.default_rng(n_parts).beta(2, 1, n_parts))
    control = BinaryClassificationController(
        predict_function=lambda X_ND: np.stack([1 - X_ND[:, 0], X_ND[:, 0]], axis=1), risk="recall", target_level=1 - target, confidence_level=0.95,
        list_predict_params=score_D, fwer_method="fixed_sequence",
    )  # fmt: skip
    control.calibrate(score_D[:, None], np.ones(n_parts, dtype=int))
    theirs = int(np.searchsorted(score_D, max(control.valid_predict_params)) + 1)
    ours = umbrella_rank(n_parts, _params(target))
    assert 1 <= theirs <= ours and (theirs == ours) is same
    for rank, p_value in enumerate(np.ravel(control.p_values)[:ours], start=1):  # of at most `rank - 1` misses
        assert binom.cdf(rank - 1, n_parts, target) <= p_value + 1e-12


def test_a_part_counts_once_by_its_lowest_score() -> None:
    """The product's own classifier has no fold; each fold's own scores give its threshold."""
    rows = _rows((None, None, "a", 0.9), (None, None, "a", 0.3), (None, None, "b", 0.5), (0, 1, "a", 0.2), (0, 1, "b", 0.1), (0, 1, "b", 0.4), (1, 0, "a", 0.7), (1, 0, "b", 0.6))
    assert sorted(threshold_scores(rows)) == [0.3, 0.5]
    params = _params(0.8)  # two parts: P(Bin(2, 0.8) = 0) is 0.04
    assert fold_thresholds(rows, params) == {(0, 1): 0.1, (1, 0): 0.6}
    assert place(params, None, rows).score == 0.3
    outer = pd.DataFrame({"repeat": [1, 0, 1], "fold": [0, 1, 0], "threshold": [0.9, 0.9, 0.9]})
    assert outer_thresholds(params, outer, rows).tolist() == [0.6, 0.1, 0.6]


def test_the_threshold_is_the_order_statistic() -> None:
    """Of 100 parts the second lowest at 5 %, whatever the ZFN threshold."""
    score_P = np.random.default_rng(0).random(100)
    placed = place(_params(), None, _rows(*((None, None, f"d{number}", score) for number, score in enumerate(score_P))))
    assert (placed.rank, placed.n_parts, placed.shares, placed.multiplier) == (2, 100, 1, None)
    assert placed.at(0.9) == placed.at(0.1) == order_statistic(score_P, 2) == np.sort(score_P)[1]


def test_no_defects_put_aside_no_rule() -> None:
    """A selection made before the key was set."""
    with pytest.raises(ZeromissError, match="umbrella rests on defects that the classifier was chosen without: set manifest.threshold"):
        place(_params(), None)


def _product(threshold: dict[str, Any], manifest: dict[str, Any]) -> Product:
    sections = {"source": {"kind": "elpv"}, "threshold": threshold, "manifest": manifest}
    return resolve_product({"products": {"toy": sections}, "profiles": {"quick": {}}}, "toy", origin=Path("params.yaml"))


def test_rule_and_share_belong_together() -> None:
    """Told when the parameters are read: a rule without its defects, defects that no rule reads, and a table without any."""
    rule = {"rule": "umbrella", "target": 0.05}
    assert _product(rule, {"threshold": 0.5}).manifest.threshold == 0.5
    with pytest.raises(ZeromissError, match="threshold.rule umbrella rests on defects that nothing else sees: set manifest.threshold"):
        _product(rule, {})
    with pytest.raises(ZeromissError, match="manifest.threshold puts defects aside that threshold.rule zfn does not read"):
        _product({}, {"threshold": 0.5})
    with pytest.raises(ZeromissError, match="audit 0.2, abnormal 0.3 and threshold 0.5 leave the metric table no defect"):
        _product(rule, {"threshold": 0.5, "abnormal": 0.3})
