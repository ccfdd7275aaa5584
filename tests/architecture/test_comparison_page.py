"""docs/comparison.md says what the committed figures say, and the study chooses as the selection does."""

import numpy as np
import pandas as pd
import pytest
from benchmarks import comparison, comparison_page

from zeromiss.selection.scoring import SCORING
from zeromiss.selection.select import select
from zeromiss.selection.source import Source, read_source


def test_the_page_is_what_the_committed_figures_say(repository):
    result = comparison_page.read_result()
    assert (repository / "docs" / "comparison.md").read_text(encoding="utf-8") == comparison_page.page(result)


def test_every_data_set_was_judged_at_every_seed():
    result = comparison_page.read_result()
    assert [name for name, entry in result["data"].items() if entry["group"] is None] == ["solar_cell", "pcba", "papers_all"]
    assert sum(entry["group"] == "papers_all" for entry in result["data"].values()) == 11 and len(result["seeds"]) == 5
    wanted = {(seed, family, scoring) for seed in result["seeds"] for family in ("lr", "et", "wmw") for scoring in SCORING}
    for entry in result["data"].values():
        assert {(run["seed"], run["family"], run["scoring"]) for run in entry["runs"]} == wanted
        assert len(entry["runs"]) == len(wanted)


def _source() -> Source:
    random = np.random.default_rng(0)
    y_N = np.repeat([0, 1], 40)
    table = pd.DataFrame(random.normal(size=(80, 6)) + 0.8 * y_N[:, None], columns=[f"c{number}" for number in range(6)])
    names = [f"images/{'ab'[number % 2]}_{number:03}.png" for number in range(80)]
    facts = {"path": names, "sha256": "", "label": np.where(y_N, "defect", "normal"), "defect_type": "", "part_id": names, "native_score": 0.0}
    return read_source(table.assign(**facts))


@pytest.mark.parametrize("scoring", SCORING)
def test_the_study_chooses_what_the_selection_chooses(scoring: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same draw, threshold and probabilities as `select` with this scoring, though draws are judged once for all three."""
    monkeypatch.setattr(comparison, "DRAWS", 4)
    monkeypatch.setattr(comparison, "SETTINGS", comparison.SETTINGS.model_copy(update={"trees": 5, "folds": 3, "draws": 4, "jobs": 1}))
    source, training_N, judged_M = _source(), np.arange(0, 80, 2), np.arange(1, 80, 2)
    found = comparison.judge_outer_fold(source, training_N, judged_M, 3)
    for family in comparison.FAMILIES:
        params = comparison.SETTINGS.model_copy(update={"families": (family,), "scoring": scoring})
        chosen = select(source.take(training_N), params, 3, pool="folds")
        probability_M, threshold = found[f"{family} {scoring}"]
        assert threshold == chosen.judgements[family].zfn_threshold
        assert np.array_equal(probability_M, chosen.classifier.predict_proba(source.take(judged_M).features)[:, 1])


def test_images_are_told_by_the_names_without_numbers():
    """Two kinds of forty images each."""
    kinds = comparison.kinds(_source())
    assert {name: len(source.y_N) for name, source in kinds.items()} == {"a": 40, "b": 40}


def test_a_paired_difference_by_hand():
    """1, 2 and 3 points: mean 2, standard error 1 / sqrt(3), t of two degrees of freedom 4.303."""
    difference = comparison_page.paired(np.array([2.0, 4.0, 6.0]), np.array([1.0, 2.0, 3.0]))
    assert difference.mean == 2.0 and difference.high - difference.mean == pytest.approx(4.303 / np.sqrt(3), abs=1e-3)
    assert difference.is_noise and not comparison_page.paired(np.array([2.0, 2.1, 2.0]), np.zeros(3)).is_noise
