"""Preprocessing by hand: constant and correlated columns, scaling, numerical safety."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from zeromiss.errors import ZeromissError
from zeromiss.selection.preprocess import DrawTailsIn, DropConstant, DropCorrelated, KeepBest, UnitScale, build_preprocessing, correlations, keep_first, telling


def test_constant_columns_are_dropped() -> None:
    """One value, and rounding noise around one value, tell nothing."""
    X_NF = np.array([[1.0, 5.0, 0.0, 1e8], [2.0, 5.0, 0.0, 1e8 + 1e-6], [3.0, 5.0, 1e-30, 1e8]])
    step = DropConstant().fit(X_NF)
    assert step.kept_.tolist() == [0, 2]
    assert step.transform(X_NF).tolist() == [[1.0, 0.0], [2.0, 0.0], [3.0, 1e-30]]


def test_a_table_of_constants_is_refused() -> None:
    """Nothing to learn from is said, not passed on."""
    with pytest.raises(ZeromissError, match="every column of the metric table is constant"):
        DropConstant().fit(np.ones((4, 3)))


def test_correlations_agree_with_numpy() -> None:
    """Up to rounding, the same Pearson's r."""
    X_NF = np.random.default_rng(0).normal(size=(50, 7)) * np.array([1, 10, 1e-6, 1e6, 1, 1, 3]) + 5
    np.testing.assert_allclose(correlations(X_NF), np.corrcoef(X_NF, rowvar=False), atol=1e-9)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1.0, 1e160, 1.5e308])
def test_correlations_of_tiny_and_huge_values(scale: float) -> None:
    """Squares of such values under- or overflow; by hand, r of (0, 1, 2) and (0, 1, 0.5) is 0.5."""
    X_NF = np.array([[0.0, 0.0], [0.5, 1.0], [1.0, 0.5]]) * scale - np.array([scale / 2, 0.0])
    assert correlations(X_NF)[0, 1] == pytest.approx(0.5, abs=1e-12)


def test_the_first_of_correlated_columns_is_kept() -> None:
    """Also when the correlation is negative; the order of columns decides."""
    first = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    other = np.array([1.0, -1.0, 1.0, -1.0, 1.0])
    X_NF = np.stack([other, first, first * 2 + 1, -first, other * 3], axis=1)
    assert DropCorrelated(0.95).fit(X_NF).kept_.tolist() == [0, 1]
    assert DropCorrelated(0.95).fit(X_NF[:, ::-1]).kept_.tolist() == [0, 1]


def test_a_dropped_column_drops_no_other() -> None:
    """In a chain a-b-c, b goes with a, and c stays: nothing kept resembles it."""
    linked_FF = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]], dtype=bool)
    assert keep_first(linked_FF).tolist() == [0, 2]


def test_the_limit_itself_is_not_above_the_limit() -> None:
    """r = 0.5 by hand: dropped above 0.49, kept at 0.51."""
    X_NF = np.array([[0.0, 0.0], [0.5, 1.0], [1.0, 0.5]])
    assert DropCorrelated(0.51).fit(X_NF).kept_.tolist() == [0, 1]
    assert DropCorrelated(0.49).fit(X_NF).kept_.tolist() == [0]
    assert DropCorrelated(1.0).fit(np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]])).kept_.tolist() == [0, 1]


def test_values_are_scaled_and_clipped() -> None:
    """(x - low) / (high - low) by hand; values never seen stop at 0 and 1."""
    step = UnitScale().fit(np.array([[2.0, -1.0], [4.0, 0.0], [6.0, 3.0]]))
    assert step.transform(np.array([[2.0, -1.0], [3.0, 0.0], [6.0, 3.0]])).tolist() == [[0.0, 0.0], [0.25, 0.25], [1.0, 1.0]]
    assert step.transform(np.array([[-100.0, 50.0]])).tolist() == [[0.0, 1.0]]


def test_a_range_beyond_the_largest_float() -> None:
    """1.6e308 - (-1.6e308) is infinite; the scaled middle is still 0.5."""
    step = UnitScale().fit(np.array([[-1.6e308], [1.6e308]]))
    assert step.transform(np.array([[-1.6e308], [0.0], [1.6e308]])).ravel().tolist() == [0.0, 0.5, 1.0]


def test_the_three_steps_in_order() -> None:
    """Constant out, correlated out, scaled: by hand."""
    first = np.array([0.0, 2.0, 4.0, 8.0])
    X_NF = np.stack([np.full(4, 7.0), first, first + 1, np.array([3.0, 1.0, 3.0, 2.0])], axis=1)
    expected = [[0.0, 1.0], [0.25, 0.0], [0.5, 1.0], [1.0, 0.5]]
    assert build_preprocessing(0.95, draw_tails_in=False).fit_transform(X_NF).tolist() == expected


def test_values_that_are_no_numbers_are_refused() -> None:
    """A NaN never reaches a classifier."""
    with pytest.raises(ValueError, match="NaN"):
        build_preprocessing(0.95).fit(np.array([[1.0, np.nan], [2.0, 1.0]]), [0, 1])


def test_how_well_a_column_tells_is_the_distance_of_its_auc_from_a_half():
    rng = np.random.default_rng(0)
    X_NF, y_N = np.round(rng.normal(size=(40, 6)), 1), rng.integers(0, 2, 40)  # rounded: with ties
    expected = [abs(roc_auc_score(y_N, column) - 0.5) for column in X_NF.T]
    np.testing.assert_allclose(telling(X_NF, y_N), expected, atol=1e-12)


def test_the_best_columns_stay_and_of_correlated_ones_the_better():
    y_N = np.array([0, 0, 0, 1, 1, 1])
    best = np.array([0.0, 1, 2, 3, 4, 5])  # AUC 1
    nearly = np.array([0.0, 1, 3, 2, 4, 5])  # AUC 8/9, correlated with the best by 0.94
    weak = np.array([5.0, 0, 3, 4, 1, 2])
    downwards = np.array([5.0, 6, 4, 3, 1, 0.5])  # AUC 0: tells as well as AUC 1; correlated with the best by -0.96
    X_NF = np.stack((weak, nearly, best, downwards), axis=1)
    assert KeepBest(limit=0.9, most=4).fit(X_NF, y_N).kept_.tolist() == [0, 2]
    assert KeepBest(limit=1.0, most=2).fit(X_NF, y_N).kept_.tolist() == [2, 3]
    assert KeepBest(limit=1.0, most=3).fit(X_NF, y_N).transform(X_NF).tolist() == X_NF[:, 1:].tolist()


def test_without_a_most_the_first_columns_stay_whatever_the_classes_are():
    rng = np.random.default_rng(1)
    X_NF = rng.normal(size=(30, 5))
    for y_N in (rng.integers(0, 2, 30), rng.integers(0, 2, 30)):
        assert build_preprocessing(0.95).fit(X_NF, y_N)["correlated"].kept_.tolist() == [0, 1, 2, 3, 4]
        assert isinstance(build_preprocessing(0.95, 3)["correlated"], KeepBest)


def test_tails_are_drawn_in_by_the_normal_parts_spread() -> None:
    """By hand: normals 1, 2, 3, 4, 5 have the median 3 and the median deviation 1; a defect at 303 counts by its logarithm."""
    X_NF = np.array([[1.0], [2.0], [3.0], [4.0], [5.0], [303.0]])
    drawn = DrawTailsIn().fit(X_NF, [0, 0, 0, 0, 0, 1]).transform(X_NF)
    spread = 1.4826
    np.testing.assert_allclose(drawn[:, 0], np.arcsinh((X_NF[:, 0] - 3) / spread))
    assert drawn[5, 0] == pytest.approx(np.log(2 * 300 / spread), rel=1e-4)
    assert DrawTailsIn().fit(np.delete(X_NF, 5, axis=0), np.zeros(5)).middle_.tolist() == [3.0]


def test_tails_keep_every_order_and_a_column_of_equal_normals_has_a_spread() -> None:
    """Ranks stay; where the median deviation is 0, the deviation over all parts counts."""
    random = np.random.default_rng(0)
    X_NF = np.column_stack([np.exp(random.normal(size=60) * 4), np.repeat([0.0, 7.0], [50, 10])])
    y_N = np.repeat([0, 1], [50, 10])
    step = DrawTailsIn().fit(X_NF, y_N)
    drawn = step.transform(X_NF)
    assert (np.argsort(drawn[:, 0]) == np.argsort(X_NF[:, 0])).all()
    assert step.spread_[1] == pytest.approx(X_NF[:, 1].std()) and set(np.round(drawn[:, 1], 9)) == {0.0, round(float(np.arcsinh(7 / step.spread_[1])), 9)}


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e308])
def test_tails_of_tiny_and_huge_values_stay_finite(scale: float) -> None:
    """Neither a difference nor a quotient overflows."""
    X_NF = np.array([[-1.5], [-0.5], [0.0], [0.5], [1.5], [1.7]]) * scale
    drawn = DrawTailsIn().fit(X_NF, [0, 0, 0, 0, 0, 1]).transform(X_NF)
    np.testing.assert_allclose(drawn, np.arcsinh((X_NF / scale - 0.0) / (1.4826 * 0.5)))
    few = DrawTailsIn().fit(X_NF / scale * 1e-9, [0, 0, 0, 0, 0, 1]).transform(np.full((1, 1), 1.7e308))
    assert np.isfinite(few).all() and few[0, 0] > 700


def test_the_paper_leaves_columns_as_measured() -> None:
    """`as_measured` has no such step; a faint defect then lies in the first hundredth of the range."""
    X_NF = np.concatenate([np.linspace(1, 2, 40), np.linspace(3, 4, 5), [500.0]])[:, None]
    y_N = np.repeat([0, 1], [40, 6])
    by_tails = {tails: build_preprocessing(0.95, draw_tails_in=tails == "asinh").fit(X_NF, y_N).transform(np.array([[3.0]]))[0, 0] for tails in ("asinh", "as_measured")}
    assert by_tails["as_measured"] == pytest.approx(2 / 499) and by_tails["asinh"] > 0.35
