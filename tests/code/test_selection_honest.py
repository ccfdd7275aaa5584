"""The honest protocol: its interval by hand, and that nothing of the outer part is known inside."""

import math

import numpy as np
import pandas as pd
import pytest

from zeromiss.params import SelectionParams
from zeromiss.selection import honest
from zeromiss.selection.honest import judge_outer_folds, mean_interval
from zeromiss.selection.select import select
from zeromiss.selection.source import Source, read_source


def _source(apart: float) -> Source:
    random = np.random.default_rng(0)
    y_N = np.repeat([0, 1], 24)
    facts = {
        "path": [f"{number}.png" for number in range(48)],
        "sha256": "0" * 64,
        "label": np.where(y_N, "defect", "normal"),
        "defect_type": "",
        "part_id": [f"p{number // 2}" for number in range(48)],
        "native_score": 0.0,
    }
    return read_source(pd.DataFrame(random.normal(size=(48, 3)) + apart * y_N[:, None], columns=list("abc")).assign(**facts))


def _params(**values: int) -> SelectionParams:
    return SelectionParams(**({"families": ("nb", "lda"), "draws": 2, "folds": 3, "outer_folds": 4, "outer_repeats": 1, "jobs": 1} | values))


def test_the_interval_by_hand() -> None:
    """0.1, 0.2, 0.3: mean 0.2, s 0.1; t(0.975, 2) = 4.3027; variance factor 1/3 + 1/4 at a training share of 0.8."""
    found = mean_interval([0.1, 0.2, 0.3], 0.8)
    reach = 4.302653 * 0.1 * math.sqrt(1 / 3 + 0.25)
    assert found.mean == pytest.approx(0.2)
    assert found.high == pytest.approx(0.2 + reach, abs=1e-6)
    assert found.low == 0.0  # 0.2 - 0.329 is no rate


def test_one_value_knows_no_interval() -> None:
    """Its interval is everything."""
    found = mean_interval([0.25], 0.8)
    assert (found.mean, found.low, found.high) == (0.25, 0.0, 1.0)


def test_outer_parts_are_unknown_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each inner selection gets the other parts only; each defect is judged once a repeat."""
    source, seen = _source(2.0), []

    def spy(inner: Source, *args: object, **kwargs: object) -> object:
        seen.append(set(inner.part_N))
        return select(inner, *args, **kwargs)

    monkeypatch.setattr(honest, "select", spy)
    folds = judge_outer_folds(source, _params(outer_repeats=2), 0)
    assert len(folds) == 8 and [fold.repeat for fold in folds] == [0] * 4 + [1] * 4
    assert sum(fold.n_defects for fold in folds) == 2 * 24
    assert all(len(parts) == 18 for parts in seen)  # 24 parts, 6 aside
    assert set.intersection(*seen[:4]) == set()


def test_separable_defects_and_noise() -> None:
    """Far apart, nearly all images are judged rightly; with labels that mean nothing, the normals are false alarms."""
    far = judge_outer_folds(_source(6.0), _params(), 0)
    assert np.mean([fold.rates.accuracy for fold in far]) > 0.9
    noise = judge_outer_folds(_source(0.0), _params(), 0)
    assert np.mean([fold.rates.fpr for fold in noise]) > 0.6


def test_without_repeats_nothing_is_done() -> None:
    """The switch is the number of repeats."""
    assert judge_outer_folds(_source(1.0), _params(outer_repeats=0), 0) == []
