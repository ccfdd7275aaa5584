"""Proof by simulation: what each rule states is held over 2,000 resamples, and fails where the text says it does.

Scores of defects come from a known distribution, so the true miss rate of a threshold is its distribution function,
not a sample. A bound that is stated with 95 % confidence may be exceeded in 5 % of the resamples; the tests allow
the 99.9 % quantile of the binomial distribution of 2,000, 131 times or 6.55 %. A mean may lie 3.09 standard errors above its bound.
Axes: S resamples, K candidates, N defects, F outer folds.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta, binom

from zeromiss.selection.judge import judge_pool, pick_winner
from zeromiss.stage_params import ThresholdParams
from zeromiss.threshold.bounds import clopper_pearson_upper, miss_rate_bound
from zeromiss.threshold.facts import threshold_facts
from zeromiss.threshold.ranks import SHARES_A_FOLD, budget_rank, conformal_rank
from zeromiss.threshold.ratios import order_statistic
from zeromiss.threshold.statement import DRIFT
from zeromiss.threshold.umbrella import umbrella_rank
from zeromiss.threshold.zfn import zfn_threshold

RESAMPLES, DEFECTS, NORMALS, FOLDS, CANDIDATES = 2_000, 40, 20, 5, 100
LIMIT = float(binom.ppf(0.999, RESAMPLES, 0.05)) / RESAMPLES
LATER = beta(2, 1)  # scores of defects, now and to come
DRIFTED = beta(2, 3)  # of defects to come after the light changed
RULES: dict[str, dict[str, Any]] = {
    "zfn": {},
    "margin": {"rule": "margin", "margin": 0.1},
    "conformal": {"rule": "conformal", "target": 0.05},
    "budget": {"rule": "budget", "budget_ppm": 200_000},
    "umbrella": {"rule": "umbrella", "target": 0.05},
}
ASIDE = 100  # defects that the scorer was chosen without, for the umbrella rule


@dataclass(frozen=True)
class Drawn:
    """Resamples of one experiment: the winner's scores on all defects, and its outer scores with their folds' thresholds."""

    score_SN: np.ndarray
    outer_SN: np.ndarray
    threshold_SN: np.ndarray
    candidates: int

    @property
    def aside_SA(self) -> np.ndarray:
        """The scorer's scores on defects that took no part in choosing it: whichever was chosen, they are as those to come."""
        return np.sqrt(np.random.default_rng(4).random((RESAMPLES, ASIDE)))  # Beta(2, 1)


@cache
def fixed() -> Drawn:
    """One scorer fixed beforehand; outer folds see it on scales of their own, and find their thresholds on the other folds."""
    score_SN = np.sqrt(np.random.default_rng(1).random((RESAMPLES, DEFECTS)))  # Beta(2, 1)
    scale_N = np.linspace(0.3, 1.0, FOLDS)[fold_N()]
    lowest_SN = np.stack([score_SN[:, fold_N() != fold_N()[place]].min(axis=1) for place in range(DEFECTS)], axis=1)
    return Drawn(score_SN, score_SN * scale_N, lowest_SN * scale_N, 1)


@cache
def picked() -> Drawn:
    """The best of 100 equal scorers by ZFN accuracy, picked on all defects, and anew inside each outer fold."""
    random, parts = np.random.default_rng(2), []
    for _ in range(RESAMPLES // 100):
        defect_SKN = np.sqrt(random.random((100, CANDIDATES, DEFECTS)))
        normal_SKM = 1 - np.sqrt(random.random((100, CANDIDATES, NORMALS)))
        parts.append((winners(defect_SKN, normal_SKM)[0], *outer_scores(defect_SKN, normal_SKM)))
    return Drawn(*(np.concatenate(part) for part in zip(*parts, strict=True)), CANDIDATES)


def fold_N() -> np.ndarray:
    """Return each defect's outer fold."""
    return np.arange(DEFECTS) % FOLDS


def winners(defect_SKN: np.ndarray, normal_SKM: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores (S, N) of the candidate of highest ZFN accuracy, and its place (S,)."""
    passed_SK = (normal_SKM < defect_SKN.min(axis=2)[:, :, None]).sum(axis=2)
    standard_SK = (defect_SKN >= 0.5).sum(axis=2) + (normal_SKM < 0.5).sum(axis=2)
    place_S = np.argmax(passed_SK * 1_000 + standard_SK, axis=1)
    return defect_SKN[np.arange(len(place_S)), place_S], place_S


def outer_scores(defect_SKN: np.ndarray, normal_SKM: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return outer scores and inner ZFN thresholds, (S, N) each, of the candidate that each fold's inner part picks."""
    score_SN, threshold_SN = np.empty((2, len(defect_SKN), DEFECTS))
    for fold in range(FOLDS):
        inside, outside = fold_N() != fold, fold_N() == fold
        inner_SN, place_S = winners(defect_SKN[:, :, inside], normal_SKM[:, :, np.arange(NORMALS) % FOLDS != fold])
        score_SN[:, outside] = defect_SKN[np.arange(len(place_S)), place_S][:, outside]
        threshold_SN[:, outside] = inner_SN.min(axis=1)[:, None]
    return score_SN, threshold_SN


def values(drawn: Drawn, params: ThresholdParams) -> np.ndarray:
    """Return each resample's threshold (S,), by the product's own functions."""
    zfn_S = np.array([zfn_threshold(np.ones(DEFECTS), score_N) for score_N in drawn.score_SN])
    if params.rule in ("zfn", "margin"):
        return zfn_S * (1 - params.margin)
    if params.rule == "umbrella":
        return order_statistic(drawn.aside_SA, umbrella_rank(ASIDE, params))
    if params.rule == "conformal":
        rank = conformal_rank(DEFECTS, params.target)
    else:
        rank = budget_rank(DEFECTS, params.budget_ppm / 1e6, confidence=params.confidence, shares=SHARES_A_FOLD * FOLDS)
    return np.minimum(1.0, zfn_S * order_statistic(drawn.outer_SN / drawn.threshold_SN, rank))


def stated(drawn: Drawn, params: ThresholdParams, resample: int = 0) -> dict[str, Any]:
    """Return what the product says of one resample."""
    parts = np.array([f"d{number}" for number in range(DEFECTS)], dtype=object)
    outer = pd.DataFrame({"repeat": 0, "fold": fold_N(), "part_id": parts, "label": "defect", "family": "et"})
    normals = pd.DataFrame({"repeat": 0, "fold": range(FOLDS), "part_id": [f"n{fold}" for fold in range(FOLDS)], "label": "normal", "family": "et"})
    outer = pd.concat(
        [
            outer.assign(probability=drawn.outer_SN[resample], threshold=drawn.threshold_SN[resample]),
            normals.assign(probability=0.0, threshold=drawn.threshold_SN[resample, :FOLDS]),
        ]
    )
    aside = pd.DataFrame({"part_id": [f"a{number}" for number in range(ASIDE)], "probability": drawn.aside_SA[resample]})
    aside = pd.concat([aside.assign(repeat=pd.NA, fold=pd.NA), *(aside.assign(repeat=0, fold=fold) for fold in range(FOLDS))])
    return threshold_facts(
        y_N=np.ones(DEFECTS), probability_N=drawn.score_SN[resample], part_N=parts, defect_type_N=np.full(DEFECTS, "", dtype=object),
        params=params, n_candidates=drawn.candidates, outer=outer, aside=aside,
    )  # fmt: skip


def mean_limit(bound: float, miss_S: np.ndarray) -> float:
    """Return how high a mean may be whose expectation is within the bound."""
    return bound + 3.09 * float(miss_S.std()) / RESAMPLES**0.5


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("draw", [fixed, picked])
def test_the_simulated_thresholds_are_the_products(rule: str, draw: Any) -> None:
    """What is computed for all resamples at once is what the product writes for each of them."""
    params, drawn = ThresholdParams(**RULES[rule]), draw()
    value_S = values(drawn, params)
    for resample in (0, 7, 1_999):
        assert stated(drawn, params, resample)["value"] == pytest.approx(value_S[resample], rel=1e-12)


def test_the_simulated_winner_is_the_products() -> None:
    """Highest ZFN accuracy, ties by standard accuracy."""
    random = np.random.default_rng(3)
    defect_SKN, normal_SKM = np.sqrt(random.random((3, 30, DEFECTS))), 1 - np.sqrt(random.random((3, 30, NORMALS)))
    labels = np.repeat([1, 0], [DEFECTS, NORMALS])
    for sample, place in enumerate(winners(defect_SKN, normal_SKM)[1]):
        pools = np.concatenate([defect_SKN[sample], normal_SKM[sample]], axis=1)
        assert pick_winner({str(number): judge_pool(labels, pool) for number, pool in enumerate(pools)}) == str(place)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("draw", [fixed, picked])
def test_every_stated_bound_is_held(rule: str, draw: Any) -> None:
    """The true miss rate exceeds the bound in 5 % of the resamples at most, for a fixed scorer and for the best of 100."""
    params, drawn = ThresholdParams(**RULES[rule]), draw()
    bound, miss_S = stated(drawn, params)["miss_rate_bound"], LATER.cdf(values(drawn, params))
    assert np.mean(miss_S > bound) <= LIMIT
    if rule == "budget":
        assert bound <= params.budget_ppm / 1e6
    if rule == "umbrella":
        assert bound <= params.target and np.mean(miss_S > params.target) > 0.02  # P(Bin(100, 0.05) <= 1) is 3.7 %: no rank lower than need be


@pytest.mark.parametrize("rule", RULES)
def test_the_next_defect_is_missed_as_seldom_as_stated(rule: str) -> None:
    """1 / (n + 1) for zfn and margin, k / (n + 1) for the others, for a scorer fixed beforehand."""
    params = ThresholdParams(**RULES[rule])
    bound, miss_S = stated(fixed(), params)["next_defect_miss_bound"], LATER.cdf(values(fixed(), params))
    assert miss_S.mean() <= mean_limit(bound, miss_S)
    if rule == "zfn":
        assert bound == 1 / (DEFECTS + 1) and miss_S.mean() > 0.9 * bound  # the bound is no larger than need be


@pytest.mark.parametrize("rule", ["conformal", "budget"])
def test_outer_folds_keep_their_word_when_the_winner_was_picked(rule: str) -> None:
    """The mean miss probability stays within what is stated, and conformal's within its target."""
    params = ThresholdParams(**RULES[rule])
    bound, miss_S = stated(picked(), params)["next_defect_miss_bound"], LATER.cdf(values(picked(), params))
    assert miss_S.mean() <= mean_limit(bound, miss_S)
    assert rule != "conformal" or bound <= params.target


def test_the_uncorrected_bound_fails_where_the_winner_was_picked() -> None:
    """Among 100 candidates most resamples exceed the bound of one; sharing the doubt among 100 mends it."""
    miss_S = LATER.cdf(values(picked(), ThresholdParams()))
    assert np.mean(miss_S > miss_rate_bound(DEFECTS)) > 0.5
    assert np.mean(miss_S > miss_rate_bound(DEFECTS, n_candidates=CANDIDATES)) <= LIMIT
    assert miss_S.mean() > 3 / (DEFECTS + 1)  # so does 1 / (n + 1), which therefore is called descriptive
    assert "descriptive, not a guarantee" in stated(picked(), ThresholdParams())["guarantee"]


def test_outer_folds_need_their_doubt_shared() -> None:
    """Clopper and Pearson's bound on pooled outer folds, as if they were independent, is exceeded too often; shared it holds."""
    ratio_SN, zfn_S = picked().outer_SN / picked().threshold_SN, picked().score_SN.min(axis=1)
    for rank in (1, 2, 3):
        miss_S = LATER.cdf(zfn_S * order_statistic(ratio_SN, rank))
        assert np.mean(miss_S > clopper_pearson_upper(rank - 1, DEFECTS)) > 0.08
        assert np.mean(miss_S > clopper_pearson_upper(rank - 1, DEFECTS, n_candidates=SHARES_A_FOLD * FOLDS)) <= LIMIT


def test_the_umbrellas_rank_needs_defects_put_aside() -> None:
    """The same theorem's rank among the defects that picked the winner misses its target in most resamples."""
    rank = umbrella_rank(DEFECTS, ThresholdParams(rule="umbrella", target=0.1))
    miss_S = LATER.cdf(order_statistic(picked().score_SN, rank))
    assert np.mean(miss_S > 0.1) > 0.3


def test_the_winners_own_pool_would_not_carry_the_conformal_target() -> None:
    """The same rank among the scores on which the winner was picked misses the target: that is what outer folds are for."""
    rank = conformal_rank(DEFECTS, 0.05)
    miss_S = LATER.cdf(order_statistic(picked().score_SN, rank))
    assert miss_S.mean() > 1.5 * 0.05


@pytest.mark.parametrize("rule", RULES)
def test_drift_breaks_every_bound_and_the_text_says_so(rule: str) -> None:
    """Defects to come score lower than those the threshold was set by."""
    params = ThresholdParams(**RULES[rule])
    facts, miss_S = stated(fixed(), params), DRIFTED.cdf(values(fixed(), params))
    assert np.mean(miss_S > facts["miss_rate_bound"]) > LIMIT
    assert miss_S.mean() > mean_limit(facts["next_defect_miss_bound"], miss_S)
    assert facts["assumption"].endswith(f"{DRIFT}.") and DRIFT in facts["statement"] and "drift breaks it" in DRIFT
