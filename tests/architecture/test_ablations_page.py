"""Every figure of docs/ablations.md comes from the committed result of `zeromiss ablate`."""

import numpy as np
import pytest
from benchmarks import ablations


def test_the_page_is_what_the_committed_result_says():
    found = ablations.read_found()
    assert "solar_cell" in found
    assert ablations.PAGE.read_text(encoding="utf-8") == ablations.page(found)


def test_the_committed_figures_are_those_of_their_folds():
    """Means and verdicts follow from the folds that are committed with them."""
    for content in ablations.read_found().values():
        full = content["full"]["folds"]
        for row in content["variants"]:
            assert list(row["folds"]) == list(full)
            for name, difference in row["differences"].items():
                paired = [row["folds"][fold][name] - full[fold][name] for fold in full]
                assert difference["mean"] == pytest.approx(np.mean(paired), abs=1e-12)
                assert (difference["low"] <= 0 <= difference["high"]) == (difference["verdict"] == "noise")


def test_the_sentence_counts_noise():
    def row(*verdicts):
        names = ("fpr_at_zero_missed", "image_auroc")
        return {"variant": "no_mask", "differences": {name: {"verdict": said} for name, said in zip(names, verdicts, strict=True)}}

    assert ablations.sentence({"intervals": 2, "variants": [row("noise", "noise")]}).startswith("All 2 differences are noise")
    told = ablations.sentence({"intervals": 2, "variants": [row("noise", "worse")]})
    assert told == "1 of 2 differences are noise; the others: no_mask (image AUROC: worse)."
