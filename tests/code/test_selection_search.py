"""Search, leave-one-out and the whole selection on drawn tables."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

from zeromiss.errors import ZeromissError
from zeromiss.selection.families import FAMILY, Family
from zeromiss.selection.fit import Recipe, prepare_fold
from zeromiss.selection.folds import part_folds
from zeromiss.selection.leave_one_out import leave_parts_out
from zeromiss.selection.preprocess import build_preprocessing
from zeromiss.selection.search import Candidate, best_draws
from zeromiss.selection.select import Selection, select
from zeromiss.selection.source import Source, read_source
from zeromiss.stage_params import FAMILIES, SelectionParams

PLAIN = Recipe(correlation=0.95, smote_neighbours=None, seed=0, draw_tails_in=False)


def _source(normals: int, defects: int, *, apart: float = 1.0, columns: int = 6, seed: int = 0) -> Source:
    random = np.random.default_rng(seed)
    y_N = np.array([0] * normals + [1] * defects)
    X_NF = random.normal(size=(len(y_N), columns)) + apart * y_N[:, None]
    table = pd.DataFrame(X_NF, columns=[f"vqgan.image.c{number}" for number in range(columns)])
    facts = {
        "path": [f"{number}.png" for number in range(len(y_N))],
        "sha256": "0" * 64,
        "label": np.where(y_N, "defect", "normal"),
        "defect_type": np.where(y_N, "crack", ""),
        "part_id": [f"p{number}" for number in range(len(y_N))],
        "native_score": 0.0,
    }
    return read_source(table.assign(**facts))


def _params(**values: Any) -> SelectionParams:
    return SelectionParams(**({"draws": 2, "trees": 5, "folds": 3, "jobs": 1} | values))


def _failing(params: dict[str, Any], seed: int, rising_F: np.ndarray | None = None) -> GaussianNB:
    raise ValueError("no luck\ntoday")


@pytest.fixture
def broken_bayes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A family that cannot be built."""
    monkeypatch.setitem(FAMILY, "nb", Family(build=_failing, space=FAMILY["nb"].space))


def test_preprocessing_sees_the_training_part_only() -> None:
    """A left-out row with a huge value, a column constant and two columns equal but for it: none of it is known."""
    value = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 100.0])
    sign = np.array([1.0, 0.0, 0.0, 1.0, 1.0, 0.0])
    X_NF = np.stack([value, np.array([5.0] * 5 + [6.0]), sign, np.array([*sign[:5], 77.0])], axis=1)
    ready = prepare_fold(X_NF, np.array([0, 0, 1, 1, 0, 1]), (np.arange(5), np.array([5])), PLAIN)
    assert ready.train_NF[:, 0].tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert ready.train_NF.shape == (5, 2)  # the constant and the second of the equal columns are gone
    assert ready.judged_MF.tolist() == [[1.0, 0.0]]


def test_leave_one_out_agrees_with_scikit_learn() -> None:
    """Pooled probabilities equal cross_val_predict of the same pipeline."""
    source = _source(12, 10)
    X_NF = source.features.to_numpy()
    folds = part_folds(source.y_N, source.part_N)
    pools = leave_parts_out(X_NF, source.y_N, folds, chosen={"nb": {"var_smoothing": 1e-3}}, recipe=PLAIN, jobs=1)
    pipeline = make_pipeline(build_preprocessing(0.95, draw_tails_in=False), GaussianNB(var_smoothing=1e-3))
    expected = cross_val_predict(pipeline, X_NF, source.y_N, cv=LeaveOneOut(), method="predict_proba")[:, 1]
    np.testing.assert_allclose(pools["nb"].probability_N, expected, rtol=0, atol=1e-12)


def test_images_of_one_part_are_left_out_together() -> None:
    """Each part is two equal images amid the other class: a neighbour of the same part would give it away."""
    place = np.repeat(np.arange(8.0), 2)
    y_N, part_N = np.repeat([0, 1] * 4, 2), np.repeat([f"p{number}" for number in range(8)], 2)
    chosen = {"knn": {"n_neighbors": 1, "weights": "uniform", "p": 2}}
    together = leave_parts_out(place[:, None], y_N, part_folds(y_N, part_N), chosen=chosen, recipe=PLAIN, jobs=1)
    apart = leave_parts_out(
        place[:, None], y_N, part_folds(y_N, np.arange(16).astype(str)), chosen=chosen, recipe=PLAIN, jobs=1
    )
    assert apart["knn"].probability_N.tolist() == y_N.tolist()  # what a leak looks like
    assert together["knn"].probability_N.tolist() == (1 - y_N).tolist()


def test_a_failing_family_is_reported_and_the_others_go_on(broken_bayes: None) -> None:
    """Its draws carry the error, it has no pool, and another wins."""
    found = select(_source(12, 12), _params(families=("nb", "lda")), 0)
    assert [candidate.error for candidate in found.candidates[:2]] == ["ValueError: no luck today"] * 2
    assert found.candidates[0].mean_score is None
    assert list(found.judgements) == ["lda"] and found.winner == "lda"
    assert found.n_candidates == 2


def test_a_family_that_fails_while_leaving_out_is_reported(broken_bayes: None) -> None:
    """One failed fold leaves no pool; the message names it."""
    source = _source(8, 8)
    pools = leave_parts_out(
        source.features.to_numpy(),
        source.y_N,
        part_folds(source.y_N, source.part_N),
        chosen={"nb": {}, "lda": {"solver": "svd"}},
        recipe=PLAIN,
        jobs=1,
    )
    assert pools["nb"].probability_N is None
    assert pools["nb"].error == "leaving part 0 out: ValueError: no luck today"
    assert pools["lda"].error == "" and pools["lda"].probability_N.shape == (16,)


def test_dropped_draws_count_among_the_compared() -> None:
    """K is what was judged on one fold at least, whether or not it went on."""
    found = select(_source(24, 24, apart=0.5), _params(families=("knn",), draws=60, racing=0.2), 0)
    assert sum(bool(candidate.dropped) for candidate in found.candidates) > 30
    assert found.n_candidates == sum(candidate.folds > 0 for candidate in found.candidates)
    assert found.n_candidates == sum(candidate.error == "" for candidate in found.candidates) > 25


def test_all_families_failing_is_an_error(broken_bayes: None) -> None:
    """One sentence with the first reason."""
    with pytest.raises(ZeromissError, match="no classifier could be fitted; the first said: ValueError: no luck today"):
        select(_source(12, 12), _params(families=("nb",)), 0)


def test_the_first_of_equal_draws_is_best() -> None:
    """By mean accuracy; failed draws never, nor dropped ones, whose mean is of some folds only."""
    means, dropped = [None, 0.7, 0.9, 0.8, 0.8], ["", "", "raced", "", ""]
    candidates = [
        Candidate(
            family="dt", draw=draw, params={}, mean_score=mean, std_score=mean, seconds=0.0, error="" if mean else "x", folds=3, dropped=why
        )
        for draw, (mean, why) in enumerate(zip(means, dropped, strict=True))
    ]
    assert best_draws(candidates)["dt"].draw == 3


def test_an_imbalanced_table_is_oversampled_inside_the_folds_only() -> None:
    """SMOTE is used and said so; pools hold the real images alone, the stored pipeline no sampler."""
    found = select(_source(30, 10), _params(families=("lda",), smote_neighbors=3), 0)
    assert found.smote
    assert found.pools["lda"].probability_N.shape == (40,)
    assert [name for name, _ in found.classifier.steps] == ["residual", "constant", "tails", "correlated", "scale", "classifier"]
    assert found.classifier.named_steps["classifier"].priors_.tolist() == [0.5, 0.5]


def test_too_few_for_smote_is_refused_before_anything_is_fitted() -> None:
    """The sentence names the key."""
    with pytest.raises(ZeromissError, match="selection.smote_neighbors"):
        select(_source(30, 5), _params(families=("lda",)), 0)


def test_shuffled_labels_give_chance() -> None:
    """The null check: with labels that mean nothing, no family does better than guessing."""
    source = _source(40, 40, apart=0.0, columns=12, seed=3)
    found = select(source, _params(families=("lr", "nb", "et"), draws=3), 0)
    for judgement in found.judgements.values():
        assert 0.25 < judgement.std.accuracy < 0.65
        assert 0.2 < judgement.image_auroc < 0.68
        assert judgement.zfn.fpr > 0.7


def test_a_clear_difference_is_found() -> None:
    """The same families on labels that mean something."""
    found = select(_source(40, 40, apart=1.5, columns=12, seed=3), _params(families=("lr", "nb", "et"), draws=3), 0)
    assert found.judgements[found.winner].std.accuracy > 0.9
    assert found.judgements[found.winner].image_auroc > 0.97


def _same(one: Selection, other: Selection, source: Source) -> None:
    assert one.winner == other.winner
    for mine, theirs in zip(one.candidates, other.candidates, strict=True):
        assert (mine.params, mine.mean_score, mine.std_score) == (theirs.params, theirs.mean_score, theirs.std_score)
        assert (mine.folds, mine.dropped) == (theirs.folds, theirs.dropped)
    for family, pool in one.pools.items():
        assert np.array_equal(pool.probability_N, other.pools[family].probability_N), family
    assert np.array_equal(one.classifier.predict_proba(source.features), other.classifier.predict_proba(source.features))


def test_the_seed_decides_whatever_the_number_of_jobs() -> None:
    """All families, in one process and in two: bit-equal."""
    source = _source(8, 8)
    values = {"draws": 1, "folds": 2, "trees": 3}
    alone, together = select(source, _params(**values), 7), select(source, _params(**values, jobs=2), 7)
    _same(alone, together, source)
    assert len(alone.candidates) == len(FAMILIES)


def test_draws_are_dropped_alike_whatever_the_number_of_jobs() -> None:
    """Racing of 30 draws a family, in one process and in two: the same fall behind, and the figures are bit-equal."""
    source = _source(16, 16, apart=0.7)
    values = {"draws": 30, "families": ("et", "knn"), "racing": 0.4}
    alone, together = select(source, _params(**values), 7), select(source, _params(**values, jobs=2), 7)
    _same(alone, together, source)
    assert sum(candidate.dropped == "raced" for candidate in alone.candidates) > 20


def test_columns_in_another_order_are_refused() -> None:
    """The classifier remembers names and order."""
    source = _source(12, 12)
    found = select(source, _params(families=("nb",)), 0)
    with pytest.raises(ValueError, match="feature names"):
        found.classifier.predict_proba(source.features[source.features.columns[::-1]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vqgan.image.c1": np.inf}, "column 'vqgan.image.c1' holds a value that is no finite number"),
        ({"label": "normal"}, "has no defects: a classifier needs both"),
        ({"label": "odd"}, "has the label 'odd'"),
    ],
)
def test_tables_that_cannot_be_used(change: dict[str, Any], message: str) -> None:
    """Each with its own sentence."""
    source = _source(4, 4)
    with pytest.raises(ZeromissError, match=message):
        read_source(source.facts.join(source.features).assign(**change))


def test_a_missing_column_is_named() -> None:
    """Parts are not guessed."""
    source = _source(4, 4)
    with pytest.raises(ZeromissError, match="no column 'part_id'"):
        read_source(source.facts.drop(columns="part_id").join(source.features))
