"""The model card says what the version's tags and summary say, and leaves out what they lack."""

from zeromiss.registry.card import card

TAGS = {
    "threshold.value": "0.25", "threshold.rule": "zfn", "threshold.n_defects": "63", "threshold.miss_rate_bound_95": "0.046",
    "threshold.bound_is": "descriptive", "git.commit": "a" * 40, "data.md5": "b" * 32 + ".dir",
    "registered.by": "ada", "registered.host": "loom", "source.complete": "true",
}  # fmt: skip
RATES = {"accuracy": 0.875, "precision": 0.5, "fpr": 0.125, "fnr": 0.0}
SUMMARY = {"n_normal": 20, "n_defects": 63, "composite": {"family": "lr", "image_auroc": 0.9375, "paper": {"std": RATES | {"fnr": 0.25}, "zfn": RATES}}}


def test_the_card_holds_threshold_figures_origin_and_use():
    blocks = card("tiny", TAGS, SUMMARY).split("\n\n")
    assert blocks[0] == (
        "tiny: abnormal at a score of 0.25 or above (rule zfn, 63 known defects, miss rate below 0.046 with 95 % confidence, "
        "descriptive). Commit aaaaaaaaaaaa, data bbbbbbbbbbbb."
    )
    assert blocks[1] == "Family lr, image AUROC 0.9375, on 20 normal and 63 defect images, on which it was also chosen:"
    assert blocks[2].splitlines() == [
        "| | accuracy | precision | fpr | fnr |", "|---|---|---|---|---|",
        "| at 0.5 | 0.8750 | 0.5000 | 0.1250 | 0.2500 |", "| no known defect missed (ZFN) | 0.8750 | 0.5000 | 0.1250 | 0.0000 |",
    ]  # fmt: skip
    assert blocks[3] == "Registered by ada on loom; its source is stored."
    assert "`zeromiss audit tiny/VERSION`" in blocks[4]


def test_what_is_missing_is_left_out_or_said():
    text = card("tiny", TAGS | {"source.complete": "false", "source.missing": "there is no git commit"}, {})
    assert "Family" not in text
    assert "it cannot be made again: there is no git commit." in text
