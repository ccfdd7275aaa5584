"""Spaces and draws: nothing twice, finite spaces whole, every family fits its draws."""

import json
import warnings

import numpy as np
import pytest
from scipy.stats import loguniform

from zeromiss.errors import ZeromissError
from zeromiss.selection.draws import draw_parameters
from zeromiss.selection.families import FAMILY
from zeromiss.selection.fit import fit_family
from zeromiss.selection.probability import defect_probability
from zeromiss.stage_params import FAMILIES, VOTE


def test_a_small_finite_space_is_listed_whole() -> None:
    """2 x 3 values give 6 draws, whatever was asked for."""
    drawn = draw_parameters({"a": [1, 2], "b": ["x", "y", "z"]}, 500, 0)
    assert sorted((params["a"], params["b"]) for params in drawn) == [(a, b) for a in (1, 2) for b in "xyz"]


def test_finite_spaces_in_a_list_are_listed_whole() -> None:
    """3 of one and 1 of the other make 4."""
    assert len(draw_parameters([{"a": [1, 2, 3]}, {"b": [None]}], 10, 0)) == 4


def test_a_mixed_space_repeats_nothing() -> None:
    """One of two alternatives has a single point: it is drawn once, the other fills the rest."""
    drawn = draw_parameters([{"solver": ["svd"]}, {"solver": ["lsqr"], "shrinkage": loguniform(1e-3, 1)}], 20, 0)
    texts = [json.dumps(params, sort_keys=True) for params in drawn]
    assert len(texts) == len(set(texts)) == 20
    assert sum(params["solver"] == "svd" for params in drawn) == 1


def test_the_seed_decides() -> None:
    """The same seed draws the same, another seed something else."""
    space = {"a": loguniform(1e-3, 1)}
    assert draw_parameters(space, 5, 3) == draw_parameters(space, 5, 3)
    assert draw_parameters(space, 5, 3) != draw_parameters(space, 5, 4)


def test_every_family_of_the_parameters_is_built() -> None:
    """The twelve of the paper, WMW and the non-negative one, in the order of stage_params.py; then the vote, which is not drawn."""
    assert tuple(FAMILY) == (*FAMILIES, VOTE)
    assert len(FAMILIES) == 14
    with pytest.raises(ZeromissError, match="a vote is not drawn"):
        FAMILY[VOTE].space(5)


@pytest.mark.parametrize("family", FAMILIES)
def test_spaces_are_wide_and_plain(family: str) -> None:
    """500 different draws (160 for neighbours, which is the whole space), all of them JSON."""
    drawn = draw_parameters(FAMILY[family].space(80), 500, 0)
    texts = {json.dumps(params, sort_keys=True) for params in drawn}
    assert len(texts) == len(drawn) == (160 if family == "knn" else 500)
    most = max(params.get("n_estimators", 0) for params in drawn)
    assert most <= 80


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_learns_a_plain_rule_silently(family: str) -> None:
    """Two groups apart: every draw gives probabilities that rank at least 95 % of pairs right, without a warning."""
    random = np.random.default_rng(0)
    y_N = np.repeat([0, 1], 80)
    X_NF = np.clip(random.normal(0.35 + 0.3 * y_N[:, None], 0.1, (160, 6)), 0, 1)
    for params in draw_parameters(FAMILY[family].space(20), 4, 1):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            probability_N = defect_probability(fit_family(family, params, X_NF, y_N, 0), X_NF)
        assert probability_N.min() >= 0.0 and probability_N.max() <= 1.0
        above = probability_N[y_N == 1][:, None] - probability_N[y_N == 0]
        assert np.mean(above > 0) + 0.5 * np.mean(above == 0) >= 0.95, params
