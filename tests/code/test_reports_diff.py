"""What changed between two versions: exact lists, worked out by hand."""

import pandas as pd

from zeromiss.reports.diff import Judged, common_table, compare_figures, compare_images, compare_values, find_flips
from zeromiss.reports.diff_code import room_of


def at(score, threshold):
    return Judged(score=score, threshold=threshold)


def table(*rows):
    return pd.DataFrame(rows, columns=["path", "sha256", "label", "split"])


def test_flips_are_sorted_with_missed_defects_first():
    judged = [
        ("n1", "normal", at(0.6, 0.5), at(0.2, 0.3)),  # now passed
        ("n2", "normal", at(0.4, 0.5), at(0.3, 0.3)),  # at the threshold is abnormal: now a false alarm
        ("d1", "defect", at(0.5, 0.5), at(0.29, 0.3)),  # now missed, by 0.21
        ("d2", "defect", at(0.9, 0.5), at(0.1, 0.3)),  # now missed, by 0.8
        ("d3", "defect", at(0.1, 0.5), at(0.9, 0.3)),  # now found
        ("d4", "defect", at(0.9, 0.5), at(0.4, 0.3)),  # abnormal both times
        ("n3", "normal", at(0.1, 0.5), at(0.2, 0.3)),  # normal both times
    ]
    flips = find_flips(judged)
    assert [(flip.path, flip.kind) for flip in flips] == [
        ("d2", "now missed"), ("d1", "now missed"), ("n2", "now a false alarm"), ("d3", "now found"), ("n1", "now passed"),
    ]  # fmt: skip
    assert flips[0].content() == {
        "path": "d2", "label": "defect", "kind": "now missed",
        "before": {"verdict": "abnormal", "score": 0.9, "threshold": 0.5}, "after": {"verdict": "normal", "score": 0.1, "threshold": 0.3},
    }  # fmt: skip


def test_images_are_told_apart_by_content_not_by_name():
    before = table(("a", "1", "normal", "train"), ("b", "2", "normal", "table"), ("c", "3", "defect", "table"), ("e", "5", "normal", "mask"))
    after = table(("z", "1", "normal", "train"), ("b", "2", "defect", "table"), ("c", "4", "defect", "table"), ("e", "5", "normal", "audit"))
    assert compare_images(before, after) == {
        "added": [{"path": "c", "label": "defect", "split": "table"}],
        "removed": [{"path": "c", "label": "defect", "split": "table"}],
        "relabelled": [{"path": "b", "before": "normal", "after": "defect"}],
        "moved": [{"path": "e", "before": "mask", "after": "audit"}],
    }


def test_only_images_of_both_tables_are_common_and_none_whose_content_is_locked_away():
    before = table(("a", "1", "normal", "table"), ("b", "2", "defect", "table"), ("c", "3", "normal", "audit"), ("d", "4", "normal", "table"))
    after = table(
        ("a", "1", "defect", "table"), ("b", "2", "defect", "audit"), ("c", "3", "normal", "table"), ("d", "4", "normal", "table"),
        ("copy of d", "4", "normal", "audit"), ("e", "5", "normal", "table"),
    )  # fmt: skip
    assert common_table(before, after).to_dict("records") == [{"path": "a", "sha256": "1", "label": "defect"}]


def test_values_and_figures_that_one_side_lacks_are_null_there():
    assert compare_values({"a": "1", "b": "2"}, {"b": "3", "c": "4"}) == [
        {"key": "a", "before": "1", "after": None}, {"key": "b", "before": "2", "after": "3"}, {"key": "c", "before": None, "after": "4"},
    ]  # fmt: skip
    assert compare_figures({"fnr": 0.5, "family": "lr", "pro": None}, {"fnr": 0.25, "family": "rf", "pro": 0.5}) == [
        {"figure": "fnr", "before": 0.5, "after": 0.25, "difference": -0.25},
        {"figure": "family", "before": "lr", "after": "rf", "difference": None},
        {"figure": "pro", "before": None, "after": 0.5, "difference": None},
    ]


def test_files_belong_to_rooms():
    paths = ["src/zeromiss/metrics/mask.py", "src/zeromiss/params.py", "tests/code/test_cli.py", "params.yaml"]
    assert [room_of(path) for path in paths] == ["src/zeromiss/metrics", "src/zeromiss/params.py", "tests", "params.yaml"]
