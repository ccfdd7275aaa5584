"""Splits counted by hand, by part, and the sentence for each way there can be too few images."""

import hashlib
from collections import Counter

import pandas as pd
import pytest

from zeromiss.errors import ZeromissError
from zeromiss.images.split import assign_splits, share, shares
from zeromiss.stage_params import ManifestParams


def frame(*groups: tuple[int, str, str, int]) -> pd.DataFrame:
    """Draw up images: (number of parts, label, source_split, images a part) a group."""
    rows = [
        (f"images/{label}{group}_{part}_{shot}.png", label, f"{label}{group}_{part}", folder)
        for group, (parts, label, folder, shots) in enumerate(groups)
        for part in range(parts)
        for shot in range(shots)
    ]
    images = pd.DataFrame(rows, columns=["path", "label", "part_id", "source_split"])
    return images.assign(defect_type=images["label"].where(images["label"] == "defect", ""))


def of_types(*groups: tuple[int, str, int]) -> pd.DataFrame:
    """Draw up defects, (number of parts, type, images a part) a group, and 40 normal images."""
    drawn = frame((40, "normal", "", 1), *((parts, kind, "", shots) for parts, kind, shots in groups))
    kinds = drawn["label"].where(drawn["label"] != "normal", "")
    return drawn.assign(defect_type=kinds, label=drawn["label"].where(drawn["label"] == "normal", "defect"))


def locked(images: pd.DataFrame, split: pd.Series) -> dict[str, int]:
    """Count the audit set's defects by type."""
    return dict(sorted(Counter(images["defect_type"][(split == "audit") & (images["label"] == "defect")]).items()))


def counts(images: pd.DataFrame, split: pd.Series) -> dict[str, int]:
    """Count the images of each split and label, as `train normal`."""
    names = [f"{where} {label}" for where, label in zip(split, images["label"], strict=True)]
    return dict(sorted(Counter(names).items()))


@pytest.mark.parametrize(
    ("fraction", "count", "expected"),
    [
        (0.2, 313, 63),
        (0.5, 588, 294),
        (0.2, 294, 59),
        (0.5, 5, 3),
        (0.1, 25, 3),
        (0.0, 9, 0),
        (0.29, 100, 29),
        (0.15, 10, 2),
    ],
)
def test_a_share_is_rounded_half_up(fraction: float, count: int, expected: int) -> None:
    assert share(fraction, count) == expected


def test_the_solar_cells_with_an_audit_set() -> None:
    images = frame((588, "normal", "", 1), (313, "defect", "", 1))
    assert counts(images, assign_splits(images, params=ManifestParams(), mask=30, seed=0)) == {
        "audit defect": 63, "audit normal": 59, "mask normal": 30, "table defect": 250, "table normal": 205,
        "train normal": 294,
    }  # fmt: skip


def test_the_papers_counts_without_an_audit_set() -> None:
    images = frame((720, "normal", "", 1), (90, "defect", "", 1))
    split = assign_splits(images, params=ManifestParams(audit=0.0), mask=30, seed=0)
    assert counts(images, split) == {"mask normal": 30, "table defect": 90, "table normal": 330, "train normal": 360}


def test_no_mask_leaves_its_images_to_the_table() -> None:
    images = frame((20, "normal", "", 1), (10, "defect", "", 1))
    split = assign_splits(images, params=ManifestParams(), mask=0, seed=0)
    assert counts(images, split) == {
        "audit defect": 2, "audit normal": 2, "table defect": 8, "table normal": 8, "train normal": 10,
    }  # fmt: skip


def test_the_order_is_that_of_the_hashes() -> None:
    images = frame((10, "normal", "", 1), (8, "defect", "", 1))
    split = assign_splits(images, params=ManifestParams(audit=0.0), mask=2, seed=7)
    normals = images.index[images["label"] == "normal"]
    order = sorted(normals, key=lambda row: hashlib.sha256(f"7:{images['part_id'][row]}".encode()).hexdigest())
    assert [split[row] for row in order] == ["train"] * 5 + ["mask"] * 2 + ["table"] * 3


def test_the_paper_split_pools_all_folders() -> None:
    images = frame((10, "normal", "train", 1), (10, "normal", "test", 1), (8, "defect", "test", 1))
    split = assign_splits(images, params=ManifestParams(audit=0.0), mask=0, seed=1)
    assert (split == "train").sum() == 10
    assert set(images["source_split"][split == "train"]) == {"train", "test"}


def test_parts_go_whole_and_pass_a_count_by_less_than_one_part() -> None:
    images = frame((9, "normal", "", 3), (6, "defect", "", 2))
    split = assign_splits(images, params=ManifestParams(), mask=4, seed=0)
    assert (images.assign(split=split).groupby("part_id")["split"].nunique() == 1).all()
    # 27 normals: 14 train, reached by 5 parts (15); of 12 left 2 are audited: 1 part (3); mask 4 of 9: 2 parts (6)
    # 12 defects: 2 are audited (2.4 rounded): 1 part (2)
    assert counts(images, split) == {
        "audit defect": 2, "audit normal": 3, "mask normal": 6, "table defect": 10, "table normal": 3,
        "train normal": 15,
    }  # fmt: skip


def test_a_part_with_a_defect_never_trains_and_keeps_its_normal_images() -> None:
    images = frame((10, "normal", "", 1), (8, "defect", "", 1))
    extra = images[images["label"] == "defect"].assign(label="normal", path=lambda rows: "x" + rows["path"])
    images = pd.concat([images, extra], ignore_index=True)
    split = assign_splits(images, params=ManifestParams(audit=0.25), mask=1, seed=0)
    # 10 clean normals: 5 train; of 5 left 1 audited (1.25); 1 mask; 3 table. 8 mixed parts: 2 audited, 6 table
    assert counts(images, split) == {
        "audit defect": 2, "audit normal": 3, "mask normal": 1, "table defect": 6, "table normal": 9,
        "train normal": 5,
    }  # fmt: skip


def test_the_same_seed_draws_the_same_whatever_the_order() -> None:
    images = frame((40, "normal", "", 1), (20, "defect", "", 1))
    split = assign_splits(images, params=ManifestParams(), mask=5, seed=3)
    shuffled = images.sample(frac=1.0, random_state=0)
    again = assign_splits(shuffled, params=ManifestParams(), mask=5, seed=3)
    assert again.loc[images.index].tolist() == split.tolist()
    assert assign_splits(images, params=ManifestParams(), mask=5, seed=4).tolist() != split.tolist()


def test_one_more_image_moves_few_others() -> None:
    images = frame((200, "normal", "", 1), (100, "defect", "", 1))
    before = assign_splits(images, params=ManifestParams(), mask=30, seed=0)
    more = pd.concat([images, frame((0, "", "", 0), (1, "normal", "", 1))], ignore_index=True)
    after = assign_splits(more, params=ManifestParams(), mask=30, seed=0)
    assert (after[:300] != before).sum() <= 3  # at most one at each cut between normal splits


def test_official_keeps_the_folders_and_takes_the_mask_from_training() -> None:
    images = frame((50, "normal", "train", 1), (20, "normal", "test", 1), (15, "defect", "test", 1))
    split = assign_splits(images, params=ManifestParams(split="official"), mask=10, seed=0)
    assert counts(images, split) == {
        "audit defect": 3, "audit normal": 4, "mask normal": 10, "table defect": 12, "table normal": 16,
        "train normal": 40,
    }  # fmt: skip
    assert set(split[images["source_split"] == "train"]) == {"train", "mask"}


def test_official_without_audit_is_the_sets_own_test_folder() -> None:
    images = frame((50, "normal", "train", 1), (20, "normal", "test", 1), (15, "defect", "test", 1))
    split = assign_splits(images, params=ManifestParams(split="official", audit=0.0), mask=0, seed=0)
    assert (split == images["source_split"].map({"train": "train", "test": "table"})).all()


def refusal(images: pd.DataFrame, params: ManifestParams, mask: int) -> str:
    """Return the sentence a split is refused with."""
    with pytest.raises(ZeromissError) as caught:
        assign_splits(images, params=params, mask=mask, seed=0)
    return str(caught.value)


def test_too_few_normals_for_the_mask() -> None:
    images = frame((40, "normal", "", 1), (20, "defect", "", 1))
    assert refusal(images, ManifestParams(), 30) == (
        "manifest.mask asks for 30 normal images but 16 are left after training and audit: lower manifest.train, "
        "manifest.audit or manifest.mask, add normal images, or set metrics.fixed_position to false"
    )
    official = frame((5, "normal", "train", 1), (5, "normal", "test", 1), (9, "defect", "test", 1))
    assert refusal(official, ManifestParams(split="official"), 6) == (
        "manifest.mask asks for 6 normal images but 5 are left in the source's train folder: lower manifest.mask, "
        "add normal images, or set metrics.fixed_position to false"
    )


def test_too_few_normals_to_train_or_for_the_table() -> None:
    few = frame((2, "normal", "", 1), (9, "defect", "", 1))
    assert refusal(few, ManifestParams(), 0) == (
        "only 1 normal image would train the network and at least 2 are needed: add normal images or raise "
        "manifest.train"
    )
    tight = frame((20, "normal", "", 1), (9, "defect", "", 1))
    assert refusal(tight, ManifestParams(), 7) == (
        "only 1 normal image would be left for the metric table and at least 2 are needed: add normal images or "
        "lower manifest.mask or manifest.audit"
    )
    official = frame((5, "normal", "train", 1), (5, "normal", "test", 1), (9, "defect", "test", 1))
    assert refusal(official, ManifestParams(split="official"), 4) == (
        "only 1 normal image would train the network and at least 2 are needed: add some or lower manifest.mask"
    )


def test_official_needs_folders_that_can_decide() -> None:
    unknown = frame((5, "normal", "", 1))
    assert refusal(unknown, ManifestParams(split="official"), 0) == (
        "images/normal0_0_0.png comes from no train or test folder, which manifest.split official needs: "
        "set manifest.split to paper"
    )
    wrong = frame((5, "normal", "train", 1), (1, "defect", "train", 1))
    assert refusal(wrong, ManifestParams(split="official"), 0) == (
        "images/defect1_0_0.png is a defect in the train folder, where only normal images may lie: "
        "move it to the test folder or set manifest.split to paper"
    )


@pytest.mark.parametrize(
    ("fraction", "images", "given"),
    [
        (0.2, {"a": 30, "b": 20, "c": 10}, {"a": 6, "b": 4, "c": 2}),  # 12 of 60, every share whole
        (0.2, {"a": 31, "b": 22, "c": 7}, {"a": 6, "b": 5, "c": 1}),  # 6.2, 4.4, 1.4: 12 of 60; tie of b and c goes to b
        (0.2, {"a": 33, "b": 23, "c": 8}, {"a": 7, "b": 4, "c": 2}),  # 6.6, 4.6, 1.6 = 12.8: 13, two more than 6 + 4 + 1
        (0.2, {"a": 36, "b": 2, "c": 2}, {"a": 6, "b": 1, "c": 1}),  # 7.2, 0.4, 0.4: 8; a gives one up for c, b's came by its remainder
        (0.2, {"a": 4, "b": 4, "c": 2}, {"a": 1, "b": 1, "c": 0}),  # 0.8, 0.8, 0.4: 2 for three types
        (0.2, {"a": 38, "b": 2}, {"a": 7, "b": 1}),  # 7.6, 0.4: 8, and 8 of a would leave b unjudged
        (0.2, {"a": 39, "b": 1}, {"a": 8, "b": 0}),  # the only part of b stays where the threshold is set
        (0.0, {"a": 39, "b": 9}, {"a": 0, "b": 0}),
        (0.2, {"a": 313}, {"a": 63}),
        (0.2, {"a": 2, "b": 1}, {"a": 1, "b": 0}),  # 0.4, 0.2: 0.6 is rounded to 1
    ],
)  # fmt: skip
def test_every_type_gives_its_share(fraction: float, images: dict[str, int], given: dict[str, int]) -> None:
    found = shares(fraction, images, images)
    assert found == given
    assert sum(found.values()) == share(fraction, sum(images.values()))


def test_the_audit_set_is_stratified_by_type_of_defect_in_the_order_of_the_hashes() -> None:
    images = of_types((31, "bridge", 1), (22, "crack", 1), (7, "hole", 1))
    split = assign_splits(images, params=ManifestParams(), mask=5, seed=7)
    assert locked(images, split) == {"bridge": 6, "crack": 5, "hole": 1}
    for kind, given in (("bridge", 6), ("crack", 5), ("hole", 1)):
        rows = images.index[images["defect_type"] == kind]
        order = sorted(rows, key=lambda row: hashlib.sha256(f"7:{images['part_id'][row]}".encode()).hexdigest())
        assert [split[row] for row in order] == ["audit"] * given + ["table"] * (len(rows) - given)


def test_one_type_is_drawn_as_if_types_were_not_known() -> None:
    images = of_types((50, "bridge", 2))
    unknown = images.assign(defect_type="")
    order = sorted(set(images["part_id"][40:]), key=lambda part: hashlib.sha256(f"3:{part}".encode()).hexdigest())
    for one in (images, unknown):
        split = assign_splits(one, params=ManifestParams(), mask=5, seed=3)
        assert set(one["part_id"][(split == "audit") & (one["label"] == "defect")]) == set(order[:10])  # 20 of 100 images


def test_a_part_with_several_types_goes_whole_and_counts_for_each() -> None:
    images = of_types((10, "bridge", 2))
    second = images.index[images["path"].str.endswith("_1.png")]
    images.loc[second, "defect_type"] = "crack"  # every part shows one bridge and one crack
    split = assign_splits(images, params=ManifestParams(), mask=5, seed=0)
    assert locked(images, split) == {"bridge": 2, "crack": 2}  # 4 of 20, by 2 parts of 10
    assert (images.assign(split=split).groupby("part_id")["split"].nunique() == 1).all()


def test_a_rare_type_that_shares_its_parts_is_reached() -> None:
    images = of_types((20, "bridge", 2))
    rows = images.index[(images["defect_type"] == "bridge") & images["path"].str.endswith("_1.png")][:2]
    images.loc[rows, "defect_type"] = "crack"  # 38 bridges and 2 cracks: 7.6 and 0.4 of 40, so 7 and 1
    split = assign_splits(images, params=ManifestParams(), mask=5, seed=0)
    assert locked(images, split)["crack"] == 1
    assert locked(images, split)["bridge"] in (7, 8)  # parts of two images pass a count by one at most


def test_one_more_image_of_a_type_moves_few_others() -> None:
    images = of_types((41, "bridge", 1), (33, "crack", 1), (17, "hole", 1), (9, "scratch", 1))
    before = assign_splits(images, params=ManifestParams(), mask=5, seed=0)
    more = pd.concat([images, images.iloc[-1:].assign(path="new.png", part_id="new")], ignore_index=True)
    after = assign_splits(more, params=ManifestParams(), mask=5, seed=0)
    assert (after[: len(images)] != before).sum() <= 3  # one at the cut of its type, and one passed between two others
