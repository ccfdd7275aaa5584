"""What each variant changes, and what a difference says: by hand, against the real column names."""

import math

import numpy as np
import pytest

from zeromiss.ablation.compare import judge
from zeromiss.ablation.text import render
from zeromiss.ablation.variants import kept_columns, pick, varied, variants, why_not
from zeromiss.errors import ZeromissError
from zeromiss.image_size import ImageSize
from zeromiss.metrics.aggregates import AGGREGATES
from zeromiss.metrics.columns import PATCH_METRICS, feature_columns, variation_columns
from zeromiss.params import Product
from zeromiss.selection.digest import digest
from zeromiss.selection.honest_rates import Interval, fold_interval
from zeromiss.selection.paired import Difference, paired_difference


def product(**sections):
    """Return a product of drawn boards."""
    empty = dict.fromkeys(("manifest", "vqgan", "metrics", "selection", "threshold", "promotion", "inspection"), {})
    return Product.model_validate({"name": "tiny", "profile": "quick", "source": {"kind": "pcba"}} | empty | sections)


def named(name, of=None):
    """Return one of a product's variants."""
    return pick(of or product(), [name])[0]


def test_the_difference_by_hand():
    """0.1, 0.2, 0.3 higher: mean 0.2, s 0.1; t(0.975, 2) = 4.3027; variance factor 1/3 + 1/4 at a training share of 0.8."""
    found = paired_difference([0.5, 0.7, 0.4], [0.4, 0.5, 0.1], 0.8)
    reach = 4.302653 * 0.1 * math.sqrt(1 / 3 + 0.25)
    assert (found.mean, found.low, found.high) == pytest.approx((0.2, 0.2 - reach, 0.2 + reach), abs=1e-6)
    assert found.is_noise  # 0.2 - 0.329 lies below 0


def test_pairing_takes_out_what_both_share():
    """Folds that differ much, differences that don't: unpaired, nothing would be told from these four folds."""
    full_F = np.array([0.1, 0.9, 0.3, 0.7])
    found = paired_difference(full_F + [0.05, 0.06, 0.05, 0.06], full_F, 0.75)
    assert not found.is_noise and found.low > 0.04
    assert paired_difference(full_F, full_F, 0.75) == Difference(mean=0.0, low=0.0, high=0.0)


def test_a_rate_by_hand_is_clipped():
    """0.1, 0.2, 0.3: the same reach of 0.329, of which no rate goes below 0."""
    found = fold_interval([0.1, 0.2, 0.3], 0.8)
    assert (found.mean, found.low, found.high) == pytest.approx((0.2, 0.0, 0.2 + 4.302653 * 0.1 * math.sqrt(1 / 3 + 0.25)), abs=1e-6)
    assert fold_interval([1.0, 1.0], 0.8) == Interval(mean=1.0, low=1.0, high=1.0)


@pytest.mark.parametrize(("mine", "full"), [([0.1], [0.2]), ([0.1, 0.2], [0.3])])
def test_unpaired_values_are_refused(mine, full):
    with pytest.raises(ValueError, match="two folds or more"):
        paired_difference(mine, full, 0.8)


@pytest.mark.parametrize(
    ("figure", "mean", "reach", "luck", "said"),
    [
        ("fpr_at_zero_missed", 0.10, 0.11, None, "noise"),
        ("fpr_at_zero_missed", 0.10, 0.05, None, "worse"),
        ("fnr", -0.10, 0.05, None, "better"),
        ("image_auroc", -0.10, 0.05, None, "worse"),
        ("accuracy", 0.10, 0.05, None, "better"),
        ("image_auroc", -0.10, 0.05, -0.12, "retrain"),
        ("image_auroc", -0.10, 0.05, 0.12, "retrain"),
        ("image_auroc", -0.10, 0.05, 0.03, "worse"),
        ("image_auroc", -0.10, 0.20, 0.12, "noise"),
    ],
)
def test_what_a_difference_says(figure, mean, reach, luck, said):
    lucky = None if luck is None else Difference(mean=luck, low=luck - 1, high=luck + 1)
    assert judge(figure, Difference(mean=mean, low=mean - reach, high=mean + reach), lucky) == said


def test_the_columns_that_each_variant_leaves_out():
    """Counted on the columns that the metrics stage writes for a product of fixed positions."""
    columns = feature_columns("vqgan", masked=True)
    dropped = {name: set(columns) - set(kept_columns(named(name), columns)) for name in ("no_mask", "no_patches", "no_fid", "no_critic", "no_added")}
    assert dropped["no_mask"] == set(columns) - set(feature_columns("vqgan", masked=False))
    assert dropped["no_patches"] == {f"vqgan.patch.{metric}.{name}{end}" for metric in PATCH_METRICS for name in AGGREGATES for end in ("", ".masked")}
    assert dropped["no_fid"] == {f"vqgan.patch.fid.{name}{end}" for name in AGGREGATES for end in ("", ".masked")}
    assert dropped["no_critic"] == {"vqgan.image.critic", "vqgan.image.critic_hat"}
    assert dropped["no_added"] == {f"vqgan.image.{values}.{name}" for values in ("map", "context") for name in AGGREGATES}
    assert kept_columns(named("no_smote"), columns) == columns
    varied_columns = variation_columns("vqgan", ("gaussian", "whitened"), 3)
    assert kept_columns(named("no_variation"), columns + varied_columns) == columns
    assert [name for name in columns if name not in dropped["no_patches"]] == kept_columns(named("no_patches"), columns)


def test_the_parameters_that_each_variant_changes():
    own = product(size=192, vqgan={"codes": 64}, selection={"smote_below": 0.3})
    assert varied(own, named("no_smote", own)).selection.smote_below == 0.0
    assert varied(own, named("half_codes", own)).vqgan.codes == 32
    assert varied(own, named("double_codes", own)).vqgan.codes == 128
    assert varied(own, named("half_size", own)).size == ImageSize(96, 96)
    assert varied(own, named("crops", own)).metrics.mode == "crops"
    assert varied(own, named("other_seed", own)) == own and named("other_seed", own).network_seed == 1
    assert varied(own, named("half_codes", own)).model_copy(update={"vqgan": own.vqgan}) == own  # and nothing else
    assert [variant.name for variant in variants(own) if variant.trained] == ["other_seed", "half_codes", "double_codes", "half_size"]


def test_a_product_of_crops_is_compared_with_dense():
    assert varied(product(metrics={"mode": "crops"}), named("dense", product(metrics={"mode": "crops"}))).metrics.mode == "dense"


@pytest.mark.parametrize(("size", "half"), [(256, 128), (384, 192), (224, 128), (100, 64), (64, 32), ([256, 100], [128, 64])])
def test_half_the_size_is_a_multiple_of_32(size, half):
    assert varied(product(size=size), named("half_size", product(size=size))).size == ImageSize.of(half)


def test_the_smallest_size_has_no_half():
    assert "half_size" not in [variant.name for variant in variants(product(size=32))]


def test_an_unknown_variant_is_refused_with_the_known_ones():
    with pytest.raises(ZeromissError, match="unknown variant 'no_luck': tiny has no_mask, no_patches, no_fid, no_critic, no_added, no_variation, no_smote, crops"):
        pick(product(), ["no_mask", "no_luck"])


def test_a_setting_that_cannot_be_is_refused_by_its_key():
    with pytest.raises(ZeromissError, match=r"variant half_codes of tiny: vqgan.codes: .*greater than or equal to 2"):
        varied(product(vqgan={"codes": 2}), named("half_codes", product(vqgan={"codes": 2})))


def test_what_does_not_act_says_why():
    plain, y_N = feature_columns("vqgan", masked=False), np.array([0] * 60 + [1] * 40)
    assert "none of the columns that it leaves out" in why_not(named("no_mask"), product(), plain, y_N)
    assert why_not(named("no_mask"), product(), feature_columns("vqgan", masked=True), y_N) is None
    assert why_not(named("no_patches"), product(), ["vqgan.patch.fid.sum"], y_N) == "no_patches would leave no column of the metric table of tiny"
    told = why_not(named("no_smote"), product(), plain, y_N)
    assert told == "SMOTE does not act here: the rarer class makes up 40.0 % of the metric table, and selection.smote_below is 0.4"
    assert why_not(named("no_smote"), product(), plain, np.array([0] * 61 + [1] * 39)) is None


def test_a_digest_tells_values_tables_and_code_apart():
    import pandas as pd

    table = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    code = ("ablation/compare.py",)
    assert digest(1, table, code=code) == digest(1, table.copy(), code=code)
    others = [digest(2, table, code=code), digest(1, table * 2, code=code), digest(1, table.rename(columns={"a": "c"}), code=code)]
    others += [digest(1, table.iloc[::-1], code=code), digest(1, table, code=("ablation",))]
    assert len({digest(1, table, code=code), *others}) == 6


def test_the_text_fits_a_terminal_and_says_what_is_noise():
    wide = {"mean": -1.0, "low": -2.234, "high": 0.234}
    figures = ("fpr_at_zero_missed", "image_auroc", "fpr", "fnr", "accuracy")
    row = {"variant": "double_codes", "change": "512 codes, not 256", "trained": True, "differences": dict.fromkeys(figures, wide | {"verdict": "retrain"})}
    content = {
        "product": "tiny", "n_normals": 205, "n_defects": 250, "confidence": 0.95, "intervals": 40, "variants": [row],
        "settings": {"outer_repeats": 2, "outer_folds": 5, "families": ["lr"], "draws": 3},
        "full": {"figures": dict.fromkeys(figures, {"mean": 1.0, "low": 1.0, "high": 1.0})},
        "left_out": [{"variant": "crops", "reason": "crops would take about 5 hours"}],
        "not_asked": ["no_mask", "no_fid"],
    }  # fmt: skip
    text = render(content)
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "double_codes -100.0 +/- 123.4 retrain" in text and "full system  100.0 [100.0, 100.0]" in text
    assert "left out: crops: crops would take about 5 hours" in text and "not asked for: no_mask, no_fid" in text
    assert "Of 40 such intervals, 2.0 would leave 0 out by chance alone" in " ".join(text.split())
