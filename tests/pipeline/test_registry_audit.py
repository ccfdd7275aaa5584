"""The audit of a version in a real store: intact as registered, and every thing that is changed afterwards is named."""

import json
import shutil
from types import SimpleNamespace

import pytest

from tests import registry_parts as parts
from zeromiss.cli import main
from zeromiss.errors import ZeromissError
from zeromiss.files import write_json
from zeromiss.registry import audit_command, promotion, publish
from zeromiss.registry.store import prepare

SCORES = {"d1": 0.9, "d2": 0.8, "d3": 0.7, "n1": 0.6, "n2": 0.1}
ROWS = [(name, f"sha-{name}", "defect" if name[0] == "d" else "normal", "audit") for name in SCORES] + [
    ("t1", "sha-t1", "normal", "train"), ("t2", "sha-t2", "normal", "train"), ("d9", "sha-d9", "defect", "table"),
]  # fmt: skip
CHANGED = {
    "changed": [
        {
            "path": "images/n1.png", "before": "defect", "label": "normal", "at": "2026-11-20T08:24:41.000001+00:00", "sha256": "sha-n1",
            "by": "Ann Lee", "why": "a shadow, no crack",
        }
    ],
    "unsure": [],
    "confirmed": [],
    "sentence": "1 label changed (1 to normal); by Ann Lee",
}  # fmt: skip
FILES = {"vqgan/model.safetensors": "weights", "classifier.skops": "classifier"}


@pytest.fixture(scope="module")
def three(registry_template, tmp_path_factory):
    """A workspace with three versions, the first promoted, the second promoted after it, the third refused; and how to restore it."""
    from zeromiss.inspection.inspector import Inspector
    from zeromiss.params import load_product
    from zeromiss.workspace import Workspace

    def load(cls, folder, *, model_name=None, model_version=None):
        scores = json.loads((folder / "bundle.json").read_text())["scores"]
        return SimpleNamespace(threshold=0.5, taught={}, inspect=lambda path: SimpleNamespace(score=scores[path.name]))

    folder = tmp_path_factory.mktemp("three")
    workspace = Workspace(root=folder / "repository")
    shutil.copytree(registry_template, workspace.root)
    product = load_product(workspace.params_file, "tiny")
    parts.version_raw(workspace)
    parts.write_manifest(workspace, ROWS)
    write_json(workspace.manifest("tiny") / "labels.json", CHANGED, schema_version=1)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "ZEROMISS_PARENT_RUN"):
            patch.delenv(name, raising=False)
        patch.setattr(Inspector, "load", classmethod(load))
        for word, changed in (("one", {}), ("two", {"n1": 0.2}), ("three", {"d1": 0.2})):
            parts.write_bundle(workspace, files=FILES | {"word": word}, scores=SCORES | changed)
            parts.register(product, workspace)
            promotion.promote(product, workspace)
    return workspace, parts.keep(workspace, folder / "kept")


@pytest.fixture
def stored(three, monkeypatch):
    """The workspace with three versions, restored afterwards."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "ZEROMISS_PARENT_RUN"):
        monkeypatch.delenv(name, raising=False)
    yield three[0]
    three[1]()


def audit(workspace, capsys, reference="tiny/3"):
    """Audit and return exit code and content."""
    capsys.readouterr()
    code = audit_command.run(reference, workspace, as_json=True)
    return code, json.loads(capsys.readouterr().out)


def findings(content):
    """What does not match: (check, name, how)."""
    return [(check["what"], one["name"], one["how"]) for check in content["checks"] for one in check["findings"]]


def folder_of(workspace, version="3"):
    return publish.download_bundle(prepare(workspace), "tiny", version)


def test_a_version_as_registered_is_intact_and_tells_its_whole_story(stored, capsys):
    code, content = audit(stored, capsys)
    assert (code, content["intact"], findings(content)) == (0, True, [])
    assert {check["what"]: (check["state"], check["compared"]) for check in content["checks"]} == {
        "bundle": ("intact", 4), "summary.json": ("intact", 1), "model": ("intact", content["checks"][2]["compared"]),
        "source": ("intact", 4), "threshold": ("intact", 9), "data version": ("intact", 2), "runs": ("intact", 8),
        "gate": ("intact", 4), "aliases": ("intact", 7), "decisions": ("intact", 5), "data/07_bundle/tiny": ("intact", 4),
    }  # fmt: skip
    assert content["checks"][2]["compared"] > 100  # the code that serves the model
    assert (content["aliases"], content["data"]["md5"]) == (["challenger"], "0123abcd.dir")
    assert content["data"]["counts"] == {"audit": {"defect": 3, "normal": 2}, "table": {"defect": 1}, "train": {"normal": 2}}
    assert content["data"]["images"] == 8
    assert content["data"]["labels"] == {"schema_version": 1} | CHANGED
    assert prepare(stored).get_model_version("zeromiss-tiny", "3").tags["labels"] == CHANGED["sentence"]
    assert (content["git"]["dirty"], content["git"]["here"]) == (False, True)
    assert content["git"]["commit"] == parts.git(stored.root, "rev-parse", "HEAD").decode().strip()
    assert content["source"] == {"complete": True, "missing": None, "files": ["labels.json", "manifest.parquet", "params.yaml", "tiny.dvc"]}
    assert (content["params"]["vqgan.codes"], content["params"]["selection.draws"]) == ("8", "500")
    assert [run["status"] for run in content["stages"]] == ["FINISHED"] * 7
    assert content["threshold"]["statement"] == "what it guarantees"
    assert content["gate"]["statement"].startswith("refused: 1 of 3 audit defects missed")
    assert set(content["bundle"]["files"]) == {*FILES, "word"}


def test_the_text_is_narrow_and_ends_with_intact(stored, capsys):
    assert audit_command.run("tiny@challenger", stored, as_json=False) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100
    assert "\nINTACT: everything that is stored of zeromiss-tiny version 3 matches.\n" in text
    assert "images        8: audit 2 normal + 3 defect; table 1 defect; train 2 normal (from" in text
    assert "  labels        1 label changed (1 to normal); by Ann Lee\n" in text
    assert "images/n1.png: defect -> normal, Ann Lee, 2026-11-20 08:24:41Z: a shadow, no crack" in " ".join(text.split())


def test_reading_changes_nothing_in_the_store_or_the_workspace(stored, capsys):
    def everything():
        return {path: path.stat().st_mtime_ns for path in stored.root.rglob("*") if path.is_file() and ".git" not in path.parts}

    before = everything()
    audit(stored, capsys)
    assert everything() == before


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda folder: (folder / "vqgan/model.safetensors").write_text("weightz"), ("bundle", "vqgan/model.safetensors", "changed")),
        (lambda folder: (folder / "classifier.skops").unlink(), ("bundle", "classifier.skops", "missing")),
        (lambda folder: (folder / "more.bin").write_text("x"), ("bundle", "more.bin", "extra")),
        (lambda folder: (folder / "bundle.json").unlink(), ("bundle", "bundle.json", "missing")),
        (lambda folder: (folder / "summary.json").write_text("{}"), ("summary.json", "summary.json", "changed")),
        (lambda folder: (folder.parents[1] / "pyfunc_model.py").write_text("x"), ("model", "pyfunc_model.py", "changed")),
        (lambda folder: (folder.parents[1] / "code/zeromiss/late.py").write_text("x"), ("model", "code/zeromiss/late.py", "extra")),
    ],
)
def test_a_file_that_is_not_as_it_was_is_named(stored, capsys, change, expected):
    change(folder_of(stored))
    code, content = audit(stored, capsys)
    assert (code, content["intact"], findings(content)) == (1, False, [expected])
    assert audit_command.run("tiny@challenger", stored, as_json=False) == 1
    assert f"NOT INTACT. 1 thing does not match: {expected[0]}: {expected[1]}" in capsys.readouterr().out


def test_an_edited_threshold_is_caught_in_the_bundle_and_in_the_tags(stored, capsys):
    path = folder_of(stored) / "bundle.json"
    content = json.loads(path.read_text())
    content["threshold"]["value"] = 0.9
    path.write_text(json.dumps(content))
    code, found = audit(stored, capsys)
    assert (code, findings(found)) == (1, [("bundle", "bundle.json", "changed"), ("threshold", "threshold.value", "changed")])
    content["threshold"]["value"] = 0.5
    path.write_text(json.dumps(content))
    assert audit(stored, capsys)[0] == 0
    prepare(stored).set_model_version_tag("zeromiss-tiny", "3", "threshold.value", "0.1")
    sentences = [one["sentence"] for check in audit(stored, capsys)[1]["checks"] for one in check["findings"]]
    assert sentences == ["the tag threshold.value says 0.1, bundle.json says 0.5", "the tag threshold.value says 0.1, summary.json says 0.5"]


def test_source_and_seals_are_compared_too(stored, capsys):
    client = prepare(stored)
    source = parts.artifacts(client, client.get_model_version("zeromiss-tiny", "3").run_id) / "source"
    (source / "params.yaml").write_text("another")
    (source / "tiny.dvc").write_text("outs: [unreadable")
    assert findings(audit(stored, capsys)[1]) == [
        ("source", "params.yaml", "changed"), ("source", "tiny.dvc", "changed"), ("data version", "source/tiny.dvc", "changed"),
    ]  # fmt: skip
    (source.parent / "seal/source.json").write_text('{"files": {}}')
    assert ("source", "seal/source.json", "changed") in findings(audit(stored, capsys)[1])


def test_a_run_that_is_gone_is_missed(stored, capsys):
    client = prepare(stored)
    tags = client.get_model_version("zeromiss-tiny", "3").tags
    client.delete_run(tags["run.selection"])
    client.set_model_version_tag("zeromiss-tiny", "3", "run.metrics", "0" * 32)
    code, content = audit(stored, capsys)
    assert (code, findings(content)) == (1, [("runs", "0" * 32, "missing"), ("runs", tags["run.selection"], "missing")])


def test_a_pointer_that_the_commit_does_not_hold_is_caught(stored, capsys):
    prepare(stored).set_model_version_tag("zeromiss-tiny", "3", "data.md5", "ffff.dir")
    assert findings(audit(stored, capsys)[1]) == [
        ("data version", "source/tiny.dvc", "changed"), ("data version", "the pointer in the commit", "changed"),
    ]  # fmt: skip


def test_decisions_and_the_aliases_way_are_told(stored, capsys):
    code, content = audit(stored, capsys, "tiny")
    assert (code, content["version"], content["aliases"], content["gate"]["outcome"]) == (0, "2", ["champion"], "promoted")
    assert [(move["alias"], move["before"], move["version"]) for move in content["history"]["moves"]] == [
        ("challenger", "none", "1"), ("champion", "none", "1"), ("challenger", "1", "none"),
        ("challenger", "none", "2"), ("champion", "1", "2"), ("challenger", "2", "none"), ("challenger", "none", "3"),
    ]  # fmt: skip
    assert content["gate"]["record"]["model"] == "zeromiss-tiny version 2"
    assert audit(stored, capsys, "tiny/3")[0] == 0


def test_a_moved_alias_is_caught_from_both_sides(stored, capsys):
    prepare(stored).set_registered_model_alias("zeromiss-tiny", "champion", "1")
    code, content = audit(stored, capsys, "tiny@champion")
    assert (code, content["version"], findings(content)) == (1, "1", [("aliases", "champion", "moved")])
    at = content["history"]["moves"][4]["at"][:19]
    sentence = f"the alias champion went from version 2 to version 1 after {at} without a record"
    assert content["checks"][8]["findings"][0]["sentence"] == sentence
    assert findings(audit(stored, capsys, "tiny/2")[1]) == [("aliases", "champion", "moved")]
    assert audit(stored, capsys, "tiny/3")[0] == 0


def test_a_champion_that_the_gate_refused_is_caught(stored, capsys):
    prepare(stored).set_registered_model_alias("zeromiss-tiny", "champion", "3")
    assert [one["sentence"] for one in audit(stored, capsys)[1]["checks"][8]["findings"]][1] == (
        "it bears the alias champion, but the gate did not promote it"
    )


def test_an_edited_decision_is_caught(stored, capsys):
    client = prepare(stored)
    client.set_model_version_tag("zeromiss-tiny", "3", "gate.outcome", "promoted")
    assert findings(audit(stored, capsys)[1]) == [("gate", "gate.outcome", "changed")]
    client.set_model_version_tag("zeromiss-tiny", "3", "gate.outcome", "refused")
    path = promotion.record_path("tiny", stored)
    path.write_text(path.read_text().replace("refused", "accepted"))
    assert findings(audit(stored, capsys)[1]) == [("gate", "mlruns/promotion/tiny.json", "changed")]


def test_an_older_version_has_gaps_that_are_named_and_no_mismatch(stored, capsys):
    client = prepare(stored)
    run_id = client.get_model_version("zeromiss-tiny", "3").run_id
    for name in ("source", "seal"):
        shutil.rmtree(parts.artifacts(client, run_id) / name)
    for name in ("source.complete", "seal.source", "seal.model", "registered.by", "registered.host"):
        client.delete_model_version_tag("zeromiss-tiny", "3", name)
    for run in client.search_runs([client.get_experiment_by_name("zeromiss-tiny").experiment_id], "tags.act = 'alias'"):
        client.set_tag(run.info.run_id, "act", "forgotten")
    code, content = audit(stored, capsys)
    assert (code, content["intact"]) == (0, True)
    states = {check["what"]: check["state"] for check in content["checks"]}
    assert [what for what, state in states.items() if state == "not stored"] == ["summary.json", "model", "source", "aliases"]
    assert (content["registered"]["by"], content["source"]["complete"], content["history"]["begins"]) == (None, None, None)
    assert audit_command.run("tiny/3", stored, as_json=False) == 0
    assert "not stored (registered by an older version of this program)" in capsys.readouterr().out


def test_what_the_registry_lost_is_missing(stored, capsys):
    shutil.rmtree(folder_of(stored).parents[1])
    code, content = audit(stored, capsys)
    assert code == 1
    assert findings(content)[0] == ("bundle", "bundle.json", "missing")
    assert ("model", "MLmodel", "missing") in findings(content)


def test_what_names_nothing_is_refused_with_exit_code_2(stored, capsys, monkeypatch):
    for reference in ("tiny/9", "tiny@best", "huge", "a b"):
        with pytest.raises(ZeromissError):
            audit_command.run(reference, stored, as_json=True)
    monkeypatch.chdir(stored.root)
    assert main(["audit", "tiny/9"]) == 2
    assert "zeromiss: zeromiss-tiny has no version 9: it has versions 1, 2, 3" in capsys.readouterr().err
