"""Detectors alone and stacked on the same outer folds: by hand, against the honest protocol itself, and refusals."""

import numpy as np
import pytest

from tests.systems_parts import DEFECTS, NORMALS, QUICK, SECONDS, drawn_table, found_composites
from zeromiss.errors import ZeromissError
from zeromiss.selection import protocol
from zeromiss.selection.composites import best_accuracy, fast_members, judge_native, judge_systems, native_figures, systems
from zeromiss.selection.honest import judge_outer_folds
from zeromiss.selection.honest_rates import honest_figures
from zeromiss.selection.source import read_source


@pytest.mark.parametrize(
    ("y", "scores", "best"),
    [
        ([0, 0, 1, 1], [1.0, 2.0, 3.0, 4.0], 1.0),
        ([0, 1, 0, 1, 1], [1.0, 2.0, 3.0, 4.0, 5.0], 0.8),  # at 2: one false alarm
        ([1, 1, 0], [1.0, 2.0, 3.0], 2 / 3),  # all called abnormal
        ([0, 0, 1], [3.0, 3.0, 3.0], 2 / 3),  # equal scores are not parted: nothing called abnormal
        ([0, 1, 0, 0], [5.0, 5.0, 1.0, 2.0], 0.75),
    ],
)
def test_the_best_accuracy_by_hand(y, scores, best):
    assert best_accuracy(np.array(y), np.array(scores)) == pytest.approx(best)


def test_the_best_accuracy_is_that_of_the_best_of_all_thresholds():
    random = np.random.default_rng(0)
    y_N, score_N = random.integers(0, 2, 80), random.integers(0, 12, 80).astype(float)
    tried = [np.mean((score_N >= threshold) == (y_N == 1)) for threshold in (*score_N, np.inf)]
    assert best_accuracy(y_N, score_N) == pytest.approx(max(tried))


def test_native_figures_by_hand():
    """Normals 1, 2, 5; defects 3, 6: 5 of 6 pairs in order; at the lowest defect 3 one of three normals is a false alarm."""
    found = native_figures(np.array([0, 0, 1, 0, 1]), np.array([1.0, 2.0, 3.0, 5.0, 6.0]))
    assert found["image_auroc"] == pytest.approx(5 / 6)
    assert found["average_precision"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert found["fpr_at_zero_missed"] == pytest.approx(1 / 3)
    assert found["std_accuracy"] == pytest.approx(0.8) and found["zfn_accuracy"] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("base", "speed", "members"),
    [
        ("padim", 2.0, ("padim",)),  # 50 + 60 ms are more than twice 50
        ("padim", 2.2, ("padim", "cpcae")),
        ("vqgan", 2.0, ("vqgan", "padim", "cpcae")),  # 310 ms of 400
        ("vqgan", 1.25, ("vqgan", "padim")),
        ("vqgan", 1.0, ("vqgan",)),
    ],
)
def test_members_by_speed_alone(base, speed, members):
    assert fast_members(SECONDS, base, speed) == members


def test_the_systems_that_are_judged():
    named = {one.name: one for one in systems(SECONDS, 1.25)}
    assert list(named) == [*(f"{kind}.{name}" for kind in ("native", "columns") for name in SECONDS), "stack", "score_stack", "first_stack"]
    assert named["stack"].detectors == tuple(SECONDS) and named["stack"].seconds_per_image == pytest.approx(0.31)
    assert named["first_stack"].detectors == ("vqgan", "padim") and named["columns.padim"].seconds_per_image == 0.05
    assert [one.name for one in systems(SECONDS, 2.0)][6:] == ["stack", "score_stack"]  # all fit around the first: the same as the stack
    assert [one.name for one in systems({"vqgan": 0.2}, 2.0)] == ["native.vqgan", "columns.vqgan"]
    assert [one.name for one in systems(SECONDS, 2.2)][6:] == ["stack", "score_stack", "fast_stack"]


def test_a_native_score_is_judged_at_the_lowest_defect_of_the_inner_part():
    y_N, score_N = np.array([0, 0, 0, 1, 1, 1, 0, 1]), np.array([1.0, 4.0, 2.0, 3.0, 6.0, 5.0, 7.0, 0.5])
    fold = judge_native(y_N, score_N, {"0-0": (np.array([0, 1, 3, 4]), np.array([2, 5, 6, 7]))})["0-0"]
    assert fold["threshold"] == 3.0 and fold["train_share"] == 0.5 and fold["scores"] == [2.0, 5.0, 7.0, 0.5]
    assert fold["figures"] == {"fpr": 0.5, "fnr": 0.5, "accuracy": 0.5, "image_auroc": 0.25, "fpr_at_zero_missed": 1.0}


def test_a_columns_composite_is_what_the_honest_protocol_says_of_it(tmp_path):
    found = found_composites(tmp_path)["systems"]["columns.vqgan"]
    source = read_source(drawn_table()[0], ("vqgan",))
    outer = judge_outer_folds(source, QUICK.model_copy(update={"outer_repeats": 2}), 0)
    theirs = honest_figures(outer, outer["threshold"].to_numpy())
    assert (found["missed"], found["defects"]) == (theirs["missed"], 2 * DEFECTS)
    for name in ("fpr", "fnr", "accuracy"):
        assert found["figures"][name] == pytest.approx(theirs[name])
    assert found["columns"] == 3 and found["winners"] == {"lda": 4}


def test_the_same_outer_folds_and_paired_differences(tmp_path):
    found = found_composites(tmp_path)
    settings, judged = found["settings"], found["systems"]
    assert (settings["n_normals"], settings["n_defects"], settings["outer_repeats"], settings["outer_folds"]) == (NORMALS, DEFECTS, 2, 2)
    assert {tuple(entry["folds"]) for entry in judged.values()} == {("0-0", "0-1", "1-0", "1-1")}
    assert list(found["differences"]) == ["stack", "score_stack"]
    assert list(found["differences"]["stack"]) == [name for name in judged if judged[name]["kind"] != "stack"]
    assert (judged["stack"]["columns"], judged["score_stack"]["columns"]) == (7, 3)
    one, other = judged["stack"]["folds"], judged["native.padim"]["folds"]
    by_hand = np.mean([one[fold]["image_auroc"] - other[fold]["image_auroc"] for fold in one])
    difference = found["differences"]["stack"]["native.padim"]["image_auroc"]
    assert difference["mean"] == pytest.approx(by_hand) and difference["low"] <= by_hand <= difference["high"]
    assert by_hand > 0.2 and difference["verdict"] in ("better", "noise")  # padim's native score knows nothing, the stack a lot
    for entry in judged.values():
        for figure in entry["figures"].values():
            assert 0.0 <= figure["low"] <= figure["mean"] <= figure["high"] <= 1.0
    assert judged["columns.padim"]["figures"]["image_auroc"]["mean"] > judged["native.padim"]["figures"]["image_auroc"]["mean"]


def test_in_table_figures_of_a_composite_are_those_of_the_pool_it_was_chosen_on(tmp_path):
    from zeromiss.selection.select import select

    found = found_composites(tmp_path)["systems"]["stack"]["in_table"]
    chosen = select(read_source(drawn_table()[0]), QUICK, 0, pool="folds")
    judgement = chosen.judgements[chosen.winner]
    assert found["winner"] == "lda" and found["image_auroc"] == pytest.approx(judgement.image_auroc)
    assert found["zfn_accuracy"] == pytest.approx(judgement.zfn.accuracy) and found["fpr_at_zero_missed"] == pytest.approx(judgement.zfn.fpr)


def test_finished_folds_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("zeromiss.selection.digest._sources", lambda code: [])  # someone may be editing the code
    first, counted, whole = found_composites(tmp_path), [], protocol.judge_or_refuse
    monkeypatch.setattr(protocol, "judge_or_refuse", lambda *task: (counted.append(1), whole(*task))[1])
    (tmp_path / "columns.padim/folds.json").unlink()
    assert found_composites(tmp_path) == first and len(counted) == 5  # four outer folds and the table of the one that was lost


def test_a_system_that_cannot_be_judged_is_left_out(tmp_path, monkeypatch):
    def refusing(source, fold, params, seed):
        if list(source.features) == ["padim.image.score", "padim.image.other1"]:
            raise ZeromissError("no classifier could be fitted")
        return whole(source, fold, params, seed)

    whole = protocol.judge_fold
    monkeypatch.setattr(protocol, "judge_fold", refusing)
    found = found_composites(tmp_path)
    assert found["left_out"] == {"columns.padim": "no classifier could be fitted"}
    assert "columns.padim" not in found["systems"] and "columns.padim" not in found["differences"]["stack"]


def test_native_scores_of_other_images_are_refused(tmp_path):
    table, natives = drawn_table()
    with pytest.raises(ZeromissError, match="native scores are of other images"):
        judge_systems(table, natives.iloc[::-1], systems(SECONDS, 2.0), QUICK, seed=0, folder=tmp_path)


def test_too_few_defects_for_the_outer_folds_are_refused(tmp_path):
    table, natives = drawn_table()
    with pytest.raises(ZeromissError, match="the comparison's 2 outer folds find too few parts.*or lower selection.outer_folds"):
        judge_systems(table.iloc[: NORMALS + 1], natives.iloc[: NORMALS + 1], systems(SECONDS, 2.0), QUICK, seed=0, folder=tmp_path)
