"""The stages `selection` and `threshold` over files: what they write, log and refuse."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.workspace_parts import no_duplicates
from zeromiss.errors import ZeromissError
from zeromiss.files import read_json
from zeromiss.params import Product, resolve_product
from zeromiss.selection.store import load_classifier
from zeromiss.stage_params import FAMILIES, VOTE
from zeromiss.stages import selection, threshold
from zeromiss.tables import read_table, write_table
from zeromiss.workspace import Workspace



class _Log:
    """A RunLog that remembers."""

    def __init__(self) -> None:
        self.numbers: dict[str, float] = {}
        self.names: dict[str, str] = {}
        self.files: list[str] = []

    def metrics(self, values: dict[str, float], *, step: int | None = None) -> None:
        self.numbers |= values

    def artifact(self, path: Path) -> None:
        assert path.is_file()
        self.files.append(path.name)

    def tags(self, values: dict[str, str]) -> None:
        self.names |= values


def _table(normals: int = 16, defects: int = 14, columns: int = 8) -> pd.DataFrame:
    random = np.random.default_rng(0)
    y_N = np.array([0] * normals + [1] * defects)
    facts = pd.DataFrame(
        {
            "path": [f"images/{number}.png" for number in range(len(y_N))],
            "sha256": "0" * 64,
            "label": np.where(y_N, "defect", "normal"),
            "defect_type": np.where(y_N, "crack", ""),
            "part_id": [f"p{number}" for number in range(len(y_N))],
            "native_score": y_N * 1e9,  # would give the answer away, were it a feature
        }
    )
    features = random.normal(size=(len(y_N), columns)) + 0.8 * y_N[:, None]
    return facts.join(pd.DataFrame(features, columns=[f"vqgan.image.c{number}" for number in range(columns)]))


def _product(
    selection_params: dict[str, Any] | None = None, threshold_params: dict[str, Any] | None = None, manifest: dict[str, Any] | None = None
) -> Product:
    sections = {
        "source": {"kind": "elpv"},
        "selection": {"draws": 1, "trees": 4, "jobs": 1} | (selection_params or {}),
        "threshold": threshold_params or {},
        "manifest": manifest or {},
    }
    return resolve_product({"products": {"toy": sections}, "profiles": {"quick": {}}}, "toy", origin=Path("params.yaml"))


def _workspace(root: Path, table: pd.DataFrame) -> Workspace:
    workspace = Workspace(root=root)
    write_table(workspace.metrics("toy") / "table.parquet", table, schema_version=1)
    write_table(workspace.metrics("toy") / "native.parquet", table[["path", "label"]].assign(vqgan=np.arange(len(table)) % 7), schema_version=2)
    sizes = pd.DataFrame({"path": table.loc[table["label"] == "defect", "path"], "side": 4.0 + np.arange((table["label"] == "defect").sum())})
    write_table(workspace.metrics("toy") / "defect_sizes.parquet", sizes, schema_version=1)
    properties = table[["path", "part_id"]].assign(group=table["label"], stratum=np.arange(len(table)) % 3, log_odds=0.1 * (np.arange(len(table)) % 5))
    write_table(workspace.manifest("toy") / "properties.parquet", properties, schema_version=1)
    no_duplicates(workspace, "toy")
    return workspace


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, _Log]:
    """Both stages, all families and their vote, on 30 images."""
    workspace, log = _workspace(tmp_path_factory.mktemp("selection"), _table()), _Log()
    selection.run(_product(), workspace, log)
    threshold.run(_product(), workspace, log)
    return workspace, log


def test_the_files_are_complete(done: tuple[Workspace, _Log]) -> None:
    """Seven files of the selection, four of the threshold, nothing half-written beside them."""
    workspace, _ = done
    folder = workspace.selection("toy")
    names = ["calibration.json", "candidates.parquet", "classifier.skops", "families.json", "features.json", "oof.parquet", "unseen_types.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert [path.name for path in folder.parent.iterdir()] == ["toy"]
    assert sorted(path.name for path in workspace.threshold("toy").iterdir()) == ["curves.json", "hardest.json", "roc.json", "threshold.json"]


def test_every_draw_is_in_the_candidates(done: tuple[Workspace, _Log]) -> None:
    """One a family here, with parameters that can be read back."""
    table = read_table(done[0].selection("toy") / "candidates.parquet", schema_version=1)
    columns = ["family", "draw", "params", "mean_score", "std_score", "seconds", "error", "folds", "dropped"]
    assert list(table.columns) == columns
    assert (table["folds"] == 5).all() and (table["dropped"] == "").all()  # the only draw of its family is judged on every fold
    assert tuple(table["family"]) == FAMILIES
    assert (table["error"] == "").all() and table["mean_score"].between(0, 1).all()
    assert all(isinstance(json.loads(params), dict) for params in table["params"])


def test_out_of_fold_probabilities_give_the_families_figures(done: tuple[Workspace, _Log]) -> None:
    """Counted anew from the file: accuracy at 0.5 and at the lowest defect."""
    workspace, _ = done
    pool = read_table(workspace.selection("toy") / "oof.parquet", schema_version=1)
    families = read_json(workspace.selection("toy") / "families.json", schema_version=1)
    assert len(pool) == (len(FAMILIES) + 1) * 30 and pool["probability"].between(0, 1).all()
    for family, rows in pool.groupby("family"):
        entry = families["families"][family]
        defect = rows["label"] == "defect"
        lowest = rows.loc[defect, "probability"].min()
        assert entry["std"]["accuracy"] == pytest.approx(((rows["probability"] >= 0.5) == defect).mean())
        assert entry["zfn"]["accuracy"] == pytest.approx(((rows["probability"] >= lowest) == defect).mean())
        assert entry["zfn"]["fnr"] == 0.0 and entry["status"] == "ok"
    best = max(entry["zfn"]["accuracy"] for entry in families["families"].values())
    assert families["families"][families["winner"]]["zfn"]["accuracy"] == best
    assert families["n_candidates"] == len(FAMILIES) + 1 and families["scoring"] == "accuracy"


def test_the_classifier_reads_the_features_alone(done: tuple[Workspace, _Log]) -> None:
    """Neither labels nor the native score are among its columns."""
    workspace, _ = done
    columns = read_json(workspace.selection("toy") / "features.json", schema_version=1)["columns"]
    assert columns == [f"vqgan.image.c{number}" for number in range(8)]
    probability = load_classifier(workspace.selection("toy") / "classifier.skops").predict_proba(_table()[columns])
    assert probability.shape == (30, 2) and np.isfinite(probability).all()


def test_the_threshold_is_the_winners_lowest_defect(done: tuple[Workspace, _Log]) -> None:
    """With K from the selection and bounds by hand for 14 defects."""
    workspace, _ = done
    pool = read_table(workspace.selection("toy") / "oof.parquet", schema_version=1)
    winner = read_json(workspace.selection("toy") / "families.json", schema_version=1)["winner"]
    lowest = pool.loc[(pool["family"] == winner) & (pool["label"] == "defect"), "probability"].min()
    facts = read_json(workspace.threshold("toy") / "threshold.json", schema_version=1)
    assert facts["value"] == lowest
    assert (facts["rule"], facts["n_defects"], facts["n_candidates"], facts["bound_is"]) == ("zfn", 14, 15, "descriptive")
    assert facts["next_defect_miss_bound"] == pytest.approx(1 / 15)
    assert facts["miss_rate_bound_95"] == pytest.approx(1 - (0.05 / 15) ** (1 / 14))
    assert [entry["defect_type"] for entry in facts["types"]] == ["crack"]


def test_what_is_logged(done: tuple[Workspace, _Log]) -> None:
    """Each family's figures, the winner, the threshold, the files."""
    workspace, log = done
    facts = read_json(workspace.threshold("toy") / "threshold.json", schema_version=1)
    assert all(f"{family}.{kind}.accuracy" in log.numbers for family in (*FAMILIES, VOTE) for kind in ("std", "zfn"))
    assert all(np.isfinite(value) for value in log.numbers.values())
    assert log.numbers["threshold.value"] == facts["value"]
    assert log.names["winner"] in (*FAMILIES, VOTE) and log.names["threshold.bound_is"] == "descriptive"
    assert log.files == [
        "calibration.json", "unseen_types.json", "candidates.parquet", "oof.parquet", "families.json",
        "threshold.json", "hardest.json", "curves.json", "roc.json",
    ]  # fmt: skip


def test_a_second_run_gives_the_same_tables(done: tuple[Workspace, _Log], tmp_path: Path) -> None:
    """But for the seconds; two families suffice, since families do not touch each other."""
    again = _workspace(tmp_path, _table())
    selection.run(_product({"families": ["et", "lr"]}), again, _Log())
    for name in ("candidates.parquet", "oof.parquet"):
        first = read_table(done[0].selection("toy") / name, schema_version=1)
        second = read_table(again.selection("toy") / name, schema_version=1)
        first = first[first["family"].isin(["et", "lr"])].reset_index(drop=True)
        pd.testing.assert_frame_equal(first.drop(columns="seconds", errors="ignore"), second.drop(columns="seconds", errors="ignore"), check_exact=True)


def test_nothing_but_progress_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output stays empty; the bar goes to standard error with a rate and the time left."""
    selection.run(_product({"families": ["nb"]}), _workspace(tmp_path, _table()), _Log())
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "leave one part out: 100%" in printed.err and "fold/s" in printed.err


def test_the_honest_protocol_is_written_where_asked_for(done: tuple[Workspace, _Log], tmp_path: Path) -> None:
    """Two outer folds judge each image once; without repeats the entry is null and there is no table."""
    assert read_json(done[0].selection("toy") / "families.json", schema_version=1)["honest"] is None
    workspace = _workspace(tmp_path, _table())
    log = _Log()
    selection.run(_product({"families": ["nb", "lda"], "folds": 3, "outer_folds": 2, "outer_repeats": 1}), workspace, log)
    written = read_json(workspace.selection("toy") / "families.json", schema_version=1)
    honest = written["honest"]
    assert 0 < written["honest_seconds"] < written["seconds"] and "outer.parquet" in log.files
    outer = read_table(workspace.selection("toy") / "outer.parquet", schema_version=1)
    assert list(outer.columns) == ["repeat", "fold", "path", "part_id", "label", "defect_type", "family", "probability", "threshold"]
    defects = outer[outer["label"] == "defect"]
    missed = defects["probability"] < defects["threshold"]
    assert (honest["repeats"], honest["folds"], honest["defects"], honest["missed"]) == (1, 2, 14, int(missed.sum()))
    assert honest["fnr"]["mean"] == pytest.approx(missed.groupby(defects["fold"]).mean().mean())
    assert honest["fpr"]["low"] <= honest["fpr"]["mean"] <= honest["fpr"]["high"]


def test_the_honest_protocol_refuses_before_the_search(tmp_path: Path) -> None:
    """Eight defects suffice for the search, not for outer folds around it; nothing is fitted first."""
    with pytest.raises(ZeromissError, match="the honest protocol of 5 outer folds finds too few parts: SMOTE.*or leave it out"):
        selection.run(_product({"families": ["nb"], "outer_repeats": 1}), _workspace(tmp_path, _table(normals=20, defects=8)), _Log())
    assert not Workspace(root=tmp_path).selection("toy").exists()


def test_a_refused_table_leaves_what_was_there(tmp_path: Path) -> None:
    """Too few defects for the folds: one sentence, and the old result stays."""
    workspace = _workspace(tmp_path, _table(defects=4))
    kept = workspace.selection("toy") / "families.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("old")
    with pytest.raises(ZeromissError, match="selection.folds is 5, but the defects come from 4 parts"):
        selection.run(_product(), workspace, _Log())
    assert kept.read_text() == "old" and len(list(kept.parent.parent.iterdir())) == 1


def test_no_defects_no_selection(tmp_path: Path) -> None:
    """Told before anything is fitted."""
    with pytest.raises(ZeromissError, match="the metric table has no defects"):
        selection.run(_product(), _workspace(tmp_path, _table(defects=0)), _Log())


def test_a_missing_table_names_its_stage(tmp_path: Path) -> None:
    """The file, and what to do."""
    with pytest.raises(ZeromissError, match="table.parquet is missing: run the stage that writes it"):
        selection.run(_product(), Workspace(root=tmp_path), _Log())


def test_the_margin_reaches_the_file(done: tuple[Workspace, _Log]) -> None:
    """Half of the lowest probability; restored afterwards, since the workspace is shared."""
    workspace, _ = done
    before = read_json(workspace.threshold("toy") / "threshold.json", schema_version=1)
    threshold.run(_product(threshold_params={"rule": "margin", "margin": 0.5}), workspace, _Log())
    after = read_json(workspace.threshold("toy") / "threshold.json", schema_version=1)
    threshold.run(_product(), workspace, _Log())
    assert after["value"] == pytest.approx(before["value"] / 2) and after["rule"] == "margin"


def test_a_rule_on_outer_folds_reaches_the_file(tmp_path: Path) -> None:
    """Fourteen outer-judged defects carry a target of 0.2 (rank 3) and not one of 0.05, which needs 19."""
    workspace = _workspace(tmp_path, _table())
    chosen = {"families": ["nb", "lda"], "folds": 3, "outer_folds": 2, "outer_repeats": 1}
    selection.run(_product(chosen), workspace, _Log())
    log = _Log()
    threshold.run(_product(chosen, {"rule": "conformal", "target": 0.2}), workspace, log)
    facts = read_json(workspace.threshold("toy") / "threshold.json", schema_version=1)
    assert (facts["rule"], facts["rank"], facts["defects_behind"], facts["bound_is"]) == ("conformal", 3, 14, "valid")
    assert facts["value"] == pytest.approx(min(1.0, facts["multiplier"] * facts["zfn_threshold"]))
    assert facts["honest"]["defects"] == 14 and log.names["threshold.guarantee"] == facts["guarantee"]
    with pytest.raises(ZeromissError, match="threshold.target: .* needs 19 defects; there are 14"):
        threshold.run(_product(chosen, {"rule": "conformal", "target": 0.05}), workspace, _Log())


def test_the_umbrella_rests_on_defects_that_the_selection_never_saw(tmp_path: Path) -> None:
    """Twenty defects put aside are scored by the classifier in use and by that of each outer fold; without them the same one is chosen."""
    table = _table()
    aside = _table(normals=0, defects=20).assign(path=[f"aside/{number}.png" for number in range(20)], part_id=[f"a{number}" for number in range(20)])
    chosen = {"families": ["nb", "lda"], "folds": 3, "outer_folds": 2, "outer_repeats": 1}
    workspace, plain = _workspace(tmp_path / "with", table), _workspace(tmp_path / "without", table)
    write_table(workspace.metrics("toy") / "threshold.parquet", aside, schema_version=1)
    rule, log = {"rule": "umbrella", "target": 0.2}, _Log()
    product = _product(chosen, rule, manifest={"threshold": 0.5})
    selection.run(product, workspace, log)
    selection.run(_product(chosen), plain, _Log())
    for name in ("oof.parquet", "outer.parquet", "calibration.json"):
        assert (workspace.selection("toy") / name).read_bytes() == (plain.selection("toy") / name).read_bytes(), name
    scored = read_table(workspace.selection("toy") / "threshold_set.parquet", schema_version=1)
    assert scored.groupby(["repeat", "fold"], dropna=False).size().tolist() == [20, 20, 20] and "threshold_set.parquet" in log.files
    columns = [name for name in aside if name.startswith("vqgan.")]
    expected, alike = (load_classifier(one.selection("toy") / "classifier.skops").predict_proba(aside[columns])[:, 1] for one in (workspace, plain))
    np.testing.assert_array_equal(expected, alike)
    np.testing.assert_allclose(scored.loc[scored["fold"].isna(), "probability"], expected)
    threshold.run(product, workspace, log)
    facts = read_json(workspace.threshold("toy") / "threshold.json", schema_version=1)
    assert (facts["rank"], facts["defects_behind"], facts["bound_is"]) == (1, 20, "valid")  # P(Bin(20, 0.2) <= 0) is 1.2 %, <= 1 6.9 %
    assert facts["value"] == pytest.approx(expected.min()) and facts["miss_rate_bound"] <= 0.2
    assert log.numbers["threshold.escapes.per_million_defective"] == pytest.approx(1e6 * facts["miss_rate_bound"])
    with pytest.raises(ZeromissError, match="threshold.rule umbrella: a miss rate below 0.05 with 95 % confidence needs 59 defects, none missed; there are 20"):
        threshold.run(_product(chosen, rule | {"target": 0.05}, manifest={"threshold": 0.5}), workspace, _Log())


def test_the_curves_hold_every_score_and_are_logged(done: tuple[Workspace, _Log]) -> None:
    """Without outer folds they rest on the leave-one-out pool, whose lowest defect misses none."""
    workspace, log = done
    found = read_json(workspace.threshold("toy") / "curves.json", schema_version=1)
    pool = read_table(workspace.selection("toy") / "oof.parquet", schema_version=1)
    winner = read_json(workspace.selection("toy") / "families.json", schema_version=1)["winner"]
    own = pool[pool["family"] == winner]
    score_N, defect_N = own["probability"].to_numpy(), (own["label"] == "defect").to_numpy()
    assert (found["protocol"], found["repeats"]) == ("leave-one-out", 1)
    assert found["passed"]["PG0"]["mean"] == pytest.approx((score_N[~defect_N] < score_N[defect_N].min()).mean())
    assert set(found["matched"]) == {"composite", "vqgan", "properties"}
    same = (np.flatnonzero(defect_N)[:, None] % 3) == (np.flatnonzero(~defect_N)[None] % 3)
    right = (score_N[defect_N][:, None] > score_N[~defect_N]) + 0.5 * (score_N[defect_N][:, None] == score_N[~defect_N])
    assert found["matched"]["composite"]["matched"]["mean"] == pytest.approx(right[same].mean())
    sizes = found["by_size"]
    assert sizes["n_defects"] == 14 and sizes["found"]["zero missed"] == [1.0] * 14 and "all 14" in sizes["curves"]["zero missed"]["sentence"]
    assert sizes["found"]["5 % false alarms"] == (score_N[defect_N] > score_N[~defect_N].max()).tolist()  # of 16 normal images none may raise an alarm
    roc = read_json(workspace.threshold("toy") / "roc.json", schema_version=1)
    assert roc["repeats"] == [] and (roc["plain"]["fpr"][-1], roc["plain"]["tpr"][-1]) == (1.0, 1.0)
    assert {"curves.json", "roc.json", "unseen_types.json"} <= set(log.files)
    assert {"PG0", "PG2", "PG5", "composite.matched_auroc"} <= set(log.numbers)
    unseen = read_json(workspace.selection("toy") / "unseen_types.json", schema_version=1)
    assert unseen["types"] == [] and unseen["sentence"] == "the defects are of one type, crack: no type can be left out"


def test_in_outer_folds_a_defect_is_found_at_its_own_folds_threshold(tmp_path: Path) -> None:
    """Two repeats: the share of them that found a defect, and a ROC curve of each."""
    workspace = _workspace(tmp_path, _table())
    chosen = {"families": ["nb", "lda"], "folds": 3, "outer_folds": 2, "outer_repeats": 2}
    selection.run(_product(chosen), workspace, _Log())
    threshold.run(_product(chosen), workspace, _Log())
    outer = read_table(workspace.selection("toy") / "outer.parquet", schema_version=1)
    outer = outer[outer["label"] == "defect"]
    hits = (outer["probability"] >= outer["threshold"]).groupby(outer["path"]).mean()
    sizes = read_json(workspace.threshold("toy") / "curves.json", schema_version=1)["by_size"]
    assert sizes["found"]["zero missed"] == [hits[f"images/{number}.png"] for number in range(16, 30)]
    assert len(read_json(workspace.threshold("toy") / "roc.json", schema_version=1)["repeats"]) == 2


def test_a_rule_on_outer_folds_refuses_a_selection_without_them(done: tuple[Workspace, _Log]) -> None:
    """One made before the key was set."""
    with pytest.raises(ZeromissError, match="threshold.rule budget rests on defects that outer folds judged"):
        threshold.run(_product({"outer_repeats": 1}, {"rule": "budget", "budget_ppm": 100.0}), done[0], _Log())


def test_a_pool_without_the_winner_is_refused(done: tuple[Workspace, _Log], tmp_path: Path) -> None:
    """Files of two runs don't make a threshold."""
    workspace = Workspace(root=tmp_path)
    pool = read_table(done[0].selection("toy") / "oof.parquet", schema_version=1)
    families = read_json(done[0].selection("toy") / "families.json", schema_version=1)
    write_table(workspace.selection("toy") / "oof.parquet", pool[pool["family"] != families["winner"]], schema_version=1)
    (workspace.selection("toy") / "families.json").write_text(json.dumps(families))
    with pytest.raises(ZeromissError, match="has no row of the winner"):
        threshold.run(_product(), workspace, _Log())
