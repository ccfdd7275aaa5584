"""What near-duplicates do to the figures: only their photographs change the fold, and a classifier that remembers gains by it."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from zeromiss.inspection.summary import NearDuplicates
from zeromiss.reports.words import near_duplicates
from zeromiss.selection.grouping import figures_by_grouping, parts_of, spread_groups
from zeromiss.selection.source import Source, read_source
from zeromiss.stage_params import SelectionParams

PARAMS = SelectionParams(families=("knn", "lr"), folds=3, outer_repeats=0, jobs=1)
NEAREST: Any = SimpleNamespace(winner="knn", best={"knn": SimpleNamespace(params={"n_neighbors": 1})})


def twins(pairs: int = 20) -> Source:
    """Pairs of photographs whose columns tell the pair, and nothing of the label: it alternates along the only column."""
    place_N = np.repeat(np.arange(pairs), 2)
    y_N = place_N % 2
    table = {
        "path": [f"{place}{side}.png" for place in range(pairs) for side in "ab"], "sha256": "0" * 64, "label": np.where(y_N, "defect", "normal"),
        "defect_type": np.where(y_N, "crack", ""), "part_id": [f"p{place}{side}" for place in range(pairs) for side in "ab"], "native_score": 0.0,
        "x": place_N + np.tile([0.0, 0.1], pairs),
    }  # fmt: skip
    return read_source(pd.DataFrame(table))


def groups(source: Source, count: int) -> list[dict[str, Any]]:
    """Return the first pairs as groups of duplicates.json."""
    rows = source.facts
    return [
        {
            "part_id": f"p{place}a",
            "images": [
                {"path": path, "photographed_part": f"p{path[:-4]}", "label": label}
                for path, label in zip(rows["path"], rows["label"], strict=True)
                if path[:-5] == str(place)
            ],
        }
        for place in range(count)
    ]


def test_a_classifier_that_remembers_gains_by_duplicates_in_other_folds() -> None:
    """The nearest neighbour of a photograph is its twin: with it in another fold the label is known, in the same one it is wrong."""
    source = twins()
    found = figures_by_grouping(source, groups(source, 20), NEAREST, PARAMS, seed=0)
    assert found is not None
    assert (found["groups"], found["images"], found["repeats"], found["folds"]) == (20, 40, 2, 3)
    assert found["spread"] == {"image_auroc": 1.0, "fpr_at_zero_missed": 0.0}
    assert found["grouped"]["image_auroc"] < 0.6 and found["grouped"]["fpr_at_zero_missed"] == 1.0
    assert NearDuplicates.model_validate(found).spread.image_auroc == 1.0


def test_it_is_the_same_whether_the_table_has_been_grouped() -> None:
    source = twins()
    joined = source.facts.assign(part_id=[f"p{path[:-5]}a" for path in source.facts["path"]])
    grouped = read_source(joined.join(source.features))
    told = groups(source, 20)
    assert figures_by_grouping(grouped, told, NEAREST, PARAMS, seed=0) == figures_by_grouping(source, told, NEAREST, PARAMS, seed=0)


def test_only_photographs_of_groups_change_their_fold() -> None:
    group_N = np.array(["a", "a", "a", "b", "c", "d", "e"], dtype=object)
    photographed_N = np.array(["a", "x", "y", "b", "c", "d", "e"], dtype=object)
    judged = [np.array([0, 1, 2, 3]), np.array([4, 5]), np.array([6])]
    folds = [(np.setdiff1d(np.arange(7), one), one) for one in judged]
    moved = spread_groups(folds, group_N, photographed_N)
    assert [fold[1].tolist() for fold in moved] == [[0, 3], [1, 4, 5], [2, 6]]
    assert all(sorted([*training, *part]) == list(range(7)) for training, part in moved)


def test_images_of_one_photographed_part_stay_together() -> None:
    group_N, photographed_N = np.array(["a"] * 4, dtype=object), np.array(["a", "x", "a", "x"], dtype=object)
    folds = [(np.array([], dtype=np.int64), np.arange(4)), (np.arange(4), np.array([], dtype=np.int64))]
    assert [part.tolist() for _, part in spread_groups(folds, group_N, photographed_N)] == [[0, 2], [1, 3]]


def test_without_two_photographs_of_a_part_in_the_table_there_is_nothing_to_say() -> None:
    source = twins()
    one = groups(source, 2)
    for group in one:
        group["images"] = group["images"][:1]  # the others train
    assert figures_by_grouping(source, [], NEAREST, PARAMS, seed=0) is None
    assert figures_by_grouping(source, one, NEAREST, PARAMS, seed=0) is None
    group_N, photographed_N = parts_of(source.facts, one)
    assert group_N.tolist() == photographed_N.tolist() == source.facts["part_id"].tolist()


def test_the_sentence_holds_both_figures() -> None:
    figures = {
        "groups": 1, "images": 3, "repeats": 2, "folds": 5, "grouped": {"image_auroc": 0.91234, "fpr_at_zero_missed": 0.5},
        "spread": {"image_auroc": 0.95, "fpr_at_zero_missed": 0.25},
    }  # fmt: skip
    assert near_duplicates(figures) == (
        "Near-duplicates: 3 images of the table are 1 group of photographs of one part each. With each group in one fold the winner has image AUROC "
        "0.9123 and FPR 50 % with no miss; with the photographs of a group in several folds 0.9500 and 25 % (cross-validation, 2 x 5 folds)."
    )
