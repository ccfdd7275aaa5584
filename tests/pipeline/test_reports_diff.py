"""Two registered versions with another threshold, parameter, image set and commit: every difference is known beforehand."""

import json
import re
import shutil

import pytest

from tests import registry_parts as parts
from tests.inspection_parts import grey_file, mean_inspector
from zeromiss.errors import ZeromissError
from zeromiss.files import sha256_file
from zeromiss.params import load_product
from zeromiss.registry.store import model_name, prepare
from zeromiss.reports import diff_command
from zeromiss.workspace import Workspace

GREY = {"d_low": 100, "d_high": 200, "n_low": 50, "n_mid": 101, "n_gone": 102, "n_lost": 103, "d_locked": 104, "t1": 10, "n_new": 105}
BEFORE = {
    "d_low": "table", "d_high": "table", "n_low": "table", "n_mid": "table", "n_gone": "table", "n_lost": "table", "d_locked": "audit", "t1": "train",
}  # fmt: skip
AFTER = {name: split for name, split in BEFORE.items() if name != "n_gone"} | {"n_new": "table", "d_locked": "table"}


@pytest.fixture(scope="module")
def two(registry_template, tmp_path_factory):
    """A workspace with two versions of a model whose score is the mean brightness: thresholds 0.5 and then 0.3."""
    workspace = Workspace(root=tmp_path_factory.mktemp("two") / "repository")
    shutil.copytree(registry_template, workspace.root)
    raw = workspace.raw("tiny")
    for name, value in GREY.items():
        grey_file(raw / f"{name}.png", value)
    digests = {name: sha256_file(raw / f"{name}.png") for name in GREY}

    def version(splits, labels=None, **bundle):
        rows = [
            (f"{name}.png", digests[name], (labels or {}).get(name, "defect" if name[0] == "d" else "normal"), split)
            for name, split in splits.items()
        ]
        parts.write_manifest(workspace, rows)
        parts.write_bundle(workspace, files={"classifier.skops": str(bundle)}, **bundle)
        return parts.register(load_product(workspace.params_file, "tiny"), workspace)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "ZEROMISS_PARENT_RUN"):
            patch.delenv(name, raising=False)
        parts.version_raw(workspace)
        version(BEFORE, value=0.5, accuracy=0.75)
        workspace.params_file.write_text(workspace.params_file.read_text().replace("codes: 8,", "codes: 16,"))
        (workspace.root / "src/zeromiss/metrics").mkdir(parents=True)
        (workspace.root / "src/zeromiss/metrics/mask.py").write_text("")
        parts.version_raw(workspace, parts.POINTER.replace("0123abcd", "4567cdef"), message="Another mask, more codes")
        version(AFTER, {"n_low": "defect"}, value=0.3, accuracy=0.875)
    (raw / "n_lost.png").write_bytes((raw / "t1.png").read_bytes())
    return workspace


@pytest.fixture
def compared(two, monkeypatch):
    """The workspace, with bundles that judge by brightness and their threshold."""
    from zeromiss.inspection.inspector import Inspector

    def load(cls, folder, *, model_name=None, model_version=None):
        return mean_inspector(threshold=json.loads((folder / "bundle.json").read_text())["threshold"]["value"])

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(Inspector, "load", classmethod(load))
    yield two
    shutil.rmtree(two.diff("tiny"), ignore_errors=True)


def diff(workspace, capsys, before="tiny/1", after="tiny/2"):
    capsys.readouterr()
    assert diff_command.run(before, after, workspace, as_json=True) == 0
    return json.loads(capsys.readouterr().out)


def test_every_difference_is_told(compared, capsys):
    found = diff(compared, capsys)
    assert found["params"] == [{"key": "vqgan.codes", "before": "8", "after": "16"}]
    assert {one["figure"]: one["difference"] for one in found["metrics"] if one["before"] != one["after"]} == {"composite.paper.zfn.accuracy": 0.125}
    assert [one for one in found["threshold"] if one["before"] != one["after"]] == [
        {"figure": "value", "before": 0.5, "after": 0.3, "difference": pytest.approx(-0.2)}
    ]
    assert found["data"] == {
        "before": "0123abcd.dir", "after": "4567cdef.dir", "note": "",
        "added": [{"path": "n_new.png", "label": "normal", "split": "table"}],
        "removed": [{"path": "n_gone.png", "label": "normal", "split": "table"}],
        "relabelled": [{"path": "n_low.png", "before": "normal", "after": "defect"}],
        "moved": [{"path": "d_locked.png", "before": "audit", "after": "table"}],
    }  # fmt: skip
    assert [one["subject"] for one in found["code"]["commits"]] == ["Another mask, more codes"]
    assert found["code"]["undone"] == []
    assert found["code"]["files"] == {"data": ["data/01_raw/tiny.dvc"], "params.yaml": ["params.yaml"], "src/zeromiss/metrics": ["src/zeromiss/metrics/mask.py"]}


def test_the_flips_are_those_between_the_thresholds_and_none_of_an_audit_set(compared, capsys):
    verdicts = diff(compared, capsys)["verdicts"]
    assert (verdicts["judged"], verdicts["missing"], verdicts["not_judged"]) == (4, 1, 0)  # n_lost has another content now
    assert [(flip["path"], flip["kind"]) for flip in verdicts["flips"]] == [("n_mid.png", "now a false alarm"), ("d_low.png", "now found")]
    assert verdicts["flips"][1]["before"] == {"verdict": "normal", "score": pytest.approx(100 / 255), "threshold": 0.5}
    back = diff(compared, capsys, "tiny/2", "tiny/1")
    assert [(flip["path"], flip["kind"]) for flip in back["verdicts"]["flips"]] == [("d_low.png", "now missed"), ("n_mid.png", "now passed")]
    assert [one["subject"] for one in back["code"]["undone"]] == ["Another mask, more codes"]


def test_the_page_holds_its_pictures_and_fetches_nothing(compared, capsys):
    page = (compared.root / diff(compared, capsys)["verdicts"]["page"]).read_text(encoding="utf-8")
    assert compared.diff("tiny") / "1-2.html" == compared.root / "data/13_diff/tiny/1-2.html"
    assert len(re.findall(r'<img src="data:image/jpeg;base64,', page)) == 4
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert "<b>1 now a false alarm</b>" in page
    assert "<b>0 now missed</b>" in page


def test_the_text_is_narrow_and_names_the_flips(compared, capsys):
    assert diff_command.run("tiny/2", "tiny/1", compared, as_json=False) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100
    assert "4 images of both metric tables, none of an audit set: 2 flip (1 now missed, 0 now a false alarm," in text
    assert "  now missed         0.3922 >= 0.3000 -> 0.3922 <  0.5000  d_low.png\n" in text
    assert "pictures: data/13_diff/tiny/2-1.html" in text


def test_a_version_against_itself_differs_in_nothing(compared, capsys):
    found = diff(compared, capsys, "tiny/2", "tiny@challenger")
    assert found["params"] == found["verdicts"]["flips"] == found["code"]["commits"] == []
    assert found["verdicts"]["note"] == "both versions hold the same bundle, so no verdict differs"
    assert found["verdicts"]["page"] is None
    assert not compared.diff("tiny").exists()


def test_what_cannot_be_compared_is_said(compared, capsys):
    client = prepare(compared)
    version = client.get_model_version(model_name("tiny"), "1")
    manifest = parts.artifacts(client, version.run_id) / "source/manifest.parquet"
    kept = manifest.read_bytes()
    manifest.unlink()
    try:
        found = diff(compared, capsys)
        client.set_model_version_tag("zeromiss-tiny", "1", "git.commit", "0" * 40)
        code = diff(compared, capsys)["code"]
    finally:
        manifest.write_bytes(kept)
        client.set_model_version_tag("zeromiss-tiny", "1", "git.commit", version.tags["git.commit"])
    note = "the list of images is not stored with version 1 (registered by an older program), and the workspace's is another"
    assert (found["verdicts"]["note"], found["verdicts"]["flips"], found["data"]["note"], found["data"]["added"]) == (note, [], note, None)
    assert (code["commits"], code["note"]) == (None, "commit 000000000000 is not in this repository: fetch it")


def test_models_of_two_products_are_refused(compared, capsys, monkeypatch):
    monkeypatch.setattr(diff_command, "resolve", lambda reference, workspace: (reference.split("/")[0], "1"))
    with pytest.raises(ZeromissError, match="tiny/1 and other/1 are models of two products, tiny and other"):
        diff_command.run("tiny/1", "other/1", compared, as_json=True)
