"""`zeromiss labels`: what it shows of made-up scores, what it records, and each thing that it refuses in one sentence."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.workspace_parts import NO_LABELS
from zeromiss.cli import main
from zeromiss.files import sha256_file, write_json
from zeromiss.images.labels import read_changes
from zeromiss.images.raw import Entry, index_text
from zeromiss.reports.thumbnails import thumbnail
from zeromiss.tables import write_table
from zeromiss.workspace import Workspace

PARAMS = """schema_version: 1
profiles: {quick: {}}
products:
  bolt: {profile: quick, source: {kind: elpv}}
  nut: {profile: quick, source: {kind: elpv}}
"""
SCORES = {"n0": 0.1, "n1": 0.2, "n2": 0.9, "d0": 0.5, "d1": 0.9, "d2": 0.1}  # as in test_label_issues: n2 comes first, then d2
SAID = ("--by", "Ann Lee", "--why", "a shadow")


def entry(name: str) -> Entry:
    """An image of the index: defects begin with d, d2 has a mask."""
    defect = name.startswith("d")
    return Entry(
        path=f"images/{name}.png", label="defect" if defect else "normal", defect_type="crack" if defect else "", part_id=name,
        mask="masks/d2.png" if name == "d2" else "", source_split="",
    )  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A product whose table of six images is scored in two repeats, with two images of the holdout set, and another product."""
    made = Workspace(root=tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    entries = [entry(name) for name in (*SCORES, "n8", "d9")]
    raw = made.raw("bolt")
    for number, one in enumerate(entries):
        (raw / one.path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (80, 40), (20 * number, 60, 60)).save(raw / one.path)
    (raw / "masks").mkdir()
    mask = np.zeros((40, 80), dtype=np.uint8)
    mask[15:25, 30:50] = 255
    Image.fromarray(mask).save(raw / "masks/d2.png")
    (raw / "index.csv").write_text(index_text(entries))
    made.raw("nut").mkdir(parents=True)
    (made.raw("nut") / "index.csv").write_text(index_text([entry("n77")]))
    facts = pd.DataFrame([{"path": one.path, "part_id": one.part_id, "label": one.label, "defect_type": one.defect_type, "mask": one.mask or None} for one in entries])
    write_table(made.manifest("bolt") / "manifest.parquet", facts.assign(split=["table"] * 6 + ["audit"] * 2), schema_version=2)
    write_json(made.manifest("bolt") / "labels.json", NO_LABELS, schema_version=1)
    pool = facts.head(6).drop(columns="mask").assign(family="lr", probability=list(SCORES.values()))
    write_json(made.selection("bolt") / "families.json", {"winner": "lr"}, schema_version=1)
    write_table(made.selection("bolt") / "oof.parquet", pool, schema_version=1)
    outer = pd.concat([pool.assign(repeat=repeat, fold=0, threshold=0.1) for repeat in (0, 1)], ignore_index=True)
    write_table(made.selection("bolt") / "outer.parquet", outer, schema_version=1)
    monkeypatch.chdir(tmp_path)
    return made


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that is refused with exit code 2, and return its one sentence."""
    assert main(["labels", *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("zeromiss: ") and told.err.count("\n") == 1
    return told.err.removeprefix("zeromiss: ").strip()


def test_labels_in_the_order_of_confident_learning_both_ways(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["labels", "bolt", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["rank"], one["path"]) for one in found["normals"]] == [(1, "images/n2.png"), (4, "images/n1.png"), (5, "images/n0.png")]
    assert [(one["rank"], one["path"]) for one in found["defects"]] == [(2, "images/d2.png"), (3, "images/d0.png"), (6, "images/d1.png")]
    first = found["normals"][0]
    assert (first["score"], first["score_std"], first["contradicted"], first["fpr"]) == (0.9, 0.0, 2, None)
    assert first["margin"] == pytest.approx(-0.9)
    assert found["defects"][0]["fpr"] == 1.0 and found["defects"][1]["fpr"] == pytest.approx(1 / 3)
    assert found["thresholds"] == pytest.approx({"normal": 0.6, "defect": 0.5})
    assert (found["protocol"], found["repeats"], found["contradicted"]) == ("nested cross-validation", 2, {"normal": 1, "defect": 1})
    assert (found["not_scored"], found["waiting"], found["page"]) == ({"audit": 2}, [], "data/08_report/bolt.labels.html")


def test_the_page_is_one_file_that_fetches_nothing(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["labels", "bolt", "--count", "2"]) == 0
    text, page = capsys.readouterr().out, workspace.labels_page("bolt").read_text(encoding="utf-8")
    assert page.count('<img src="data:image/jpeg;base64,') == 4 and "http" not in page and "<script" not in page
    assert page.index("images/d2.png") < page.index("images/d0.png") < page.index("images/n2.png") < page.index("images/n1.png")
    assert "images/d1.png" not in page and str(workspace.root) not in page
    assert "   2  score 0.1      SD 0         FPR   100 %  2 of 2  images/d2.png (crack)\n" in text
    assert max(map(len, text.splitlines())) <= 100 and "Pictures:  data/08_report/bolt.labels.html\n" in text


def test_without_outer_folds_the_leave_one_out_scores_serve_and_that_is_said(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    (workspace.selection("bolt") / "outer.parquet").unlink()
    assert main(["labels", "bolt"]) == 0
    assert "there are no outer folds" in " ".join(capsys.readouterr().out.split())


def test_the_marked_defect_is_in_outline_and_nothing_of_it_is_hidden(workspace: Workspace) -> None:
    raw = workspace.raw("bolt")
    plain, marked = thumbnail(raw / "images/d2.png", 160), thumbnail(raw / "images/d2.png", 160, raw / "masks/d2.png")
    drawn_HW = (plain != marked).any(axis=2)
    assert plain.shape == (40, 80, 3) and drawn_HW.any()  # an image is never enlarged
    assert not drawn_HW[15:25, 30:50].any() and not drawn_HW[:10].any() and not drawn_HW[:, 56:].any()


def test_what_people_say_is_recorded_and_shown_until_the_next_run(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["labels", "bolt", "--set", "images/d2.png=normal", "--set", "n2.png=normal", *SAID]) == 0
    assert capsys.readouterr().out == (
        "images/d2.png: defect -> normal (in the split table)\n"
        "images/n2.png: stays normal, confirmed (in the split table)\n"
        "recorded in data/01_labels/bolt.csv: commit it to git; zeromiss run bolt applies it\n"
    )
    first, second = read_changes(workspace.labels("bolt"))
    assert (first.path, first.label, first.by, first.why) == ("images/d2.png", "normal", "Ann Lee", "a shadow")
    assert first.sha256 == sha256_file(workspace.raw("bolt") / "images/d2.png") and second.path == "images/n2.png"
    assert main(["labels", "bolt", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["path"] for one in found["waiting"]] == ["images/d2.png", "images/n2.png"]
    assert found["defects"][0]["said"]["by"] == "Ann Lee"
    assert main(["labels", "bolt"]) == 0
    text, page = capsys.readouterr().out, " ".join(workspace.labels_page("bolt").read_text(encoding="utf-8").split())
    assert "Recorded since: 2 labels; zeromiss run bolt applies them." in text and "[normal, says Ann Lee]" in text
    assert "<strong>normal</strong>, says Ann Lee: a shadow" in page and "<strong>confirmed</strong>, says Ann Lee: a shadow" in page


def test_a_label_of_the_holdout_set_may_change_but_that_is_told(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["labels", "bolt", "--set", "d9.png=unsure", *SAID]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "NOTE: 1 image of the holdout set (images/d9.png): models were evaluated on the set with the old label" in told
    assert main(["labels", "bolt", "--set", "d9.png=defect", *SAID, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["path"], one["before"], one["label"], one["split"]) for one in found["recorded"]] == [("images/d9.png", "unsure", "defect", "audit")]
    assert len(found["notes"]) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("bolt", "--set", "d2.png=normal", "--why", "x"), 'a label is changed in somebody\'s name and for a reason: add --by, as in --by "Ann Lee"'),
        (("bolt", "--set", "d2.png=normal", "--by", "Ann", "--why", " "), "a label is changed in somebody's name and for a reason: add --why, as in"),
        (("bolt", "--by", "Ann"), "--by and --why go with a label that is changed: add --set"),
        (("bolt", "--set", "d2.png=good", *SAID), "--set d2.png=good: write FILE=normal, FILE=defect or FILE=unsure"),
        (("bolt", "--set", "d2.png", *SAID), "--set d2.png: write FILE=normal"),
        (("bolt", "--set", "=normal", *SAID), "--set =normal: write FILE=normal"),
        (("bolt", "--set", "d7.png=normal", *SAID), "d7.png is no image of bolt: give a path of "),
        (("bolt", "--set", "n77.png=defect", *SAID), "n77.png is no image of bolt, but one of nut: "),
        (("bolt", "--set", "d1.png=normal", "--set", "images/d1.png=unsure", *SAID), "--set says both normal and unsure of images/d1.png"),
        (("bolt", "--set", "d1.png=normal", "--count", "3", *SAID), "--count is for showing labels, --set for changing them"),
        (("bolt", "--count", "0"), "--count 0: ask for one image or more"),
        (("screw",), "unknown product 'screw'"),
        (("screw", "--set", "d1.png=normal", *SAID), "unknown product 'screw'"),
        (("nut",), "families.json is missing: run the stage that writes it"),
    ],
)
def test_what_is_refused(workspace: Workspace, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str) -> None:
    assert sentence in refused(capsys, *arguments)
    assert not workspace.labels("bolt").exists()


def test_one_wrong_file_among_several_changes_nothing(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert "d7.png is no image" in refused(capsys, "bolt", "--set", "d1.png=unsure", "--set", "d7.png=unsure", *SAID)
    assert not workspace.labels("bolt").exists()
