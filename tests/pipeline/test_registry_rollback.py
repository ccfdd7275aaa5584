"""Rollback and history in a real store: who is champion again, what is refused, and that audits stay intact."""

import json
import shutil

import pytest

from tests import promotion_parts as models
from tests import registry_parts as parts
from zeromiss.errors import ZeromissError
from zeromiss.registry import audit_command, history, promotion
from zeromiss.registry.decisions import read_log
from zeromiss.registry.publish import download_bundle, find_alias, register
from zeromiss.registry.rollback import rollback
from zeromiss.registry.store import prepare

WHO = {"by": "Ann", "why": "false alarms since noon"}


@pytest.fixture(scope="module")
def promoted(registry_template, tmp_path_factory):
    """A workspace with three champions, one after the other, and a fourth version that was refused; and how to restore it."""
    from zeromiss.inspection.inspector import Inspector
    from zeromiss.params import load_product
    from zeromiss.workspace import Workspace

    folder = tmp_path_factory.mktemp("promoted")
    workspace = Workspace(root=folder / "repository")
    shutil.copytree(registry_template, workspace.root)
    product = load_product(workspace.params_file, "tiny")
    parts.version_raw(workspace)
    parts.write_manifest(workspace, models.ROWS)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setattr(Inspector, "load", classmethod(models.load_table))
        for word, changed in (("one", {}), ("two", {}), ("three", {}), ("four", {"d1": 0.2})):
            models.candidate(product, workspace, word, stages=True, **changed)
            promotion.promote(product, workspace)
    return workspace, parts.keep(workspace, folder / "kept")


@pytest.fixture
def store(promoted, monkeypatch):
    """The workspace, restored afterwards."""
    from zeromiss.inspection.inspector import Inspector

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(Inspector, "load", classmethod(models.load_table))
    yield promoted[0]
    promoted[1]()


def back(store, to=None):
    done = rollback("tiny", store, to=to, **WHO)
    return done["before"], done["version"]


def intact(store, capsys, reference):
    capsys.readouterr()
    code = audit_command.run(reference, store, as_json=True)
    content = json.loads(capsys.readouterr().out)
    return code, [(check["what"], one["sentence"]) for check in content["checks"] for one in check["findings"]]


def test_one_rollback_after_the_other_goes_back_through_the_champions(store, capsys):
    assert back(store) == ("3", "2")
    assert find_alias(prepare(store), "tiny", "champion") == "2"
    assert intact(store, capsys, "tiny") == (0, [])
    assert intact(store, capsys, "tiny/3") == (0, [])
    assert back(store) == ("2", "1")
    with pytest.raises(ZeromissError, match="version 1 is the first champion of tiny that is recorded: name another with --to"):
        back(store)
    assert back(store, to="3") == ("1", "3")
    assert back(store) == ("3", "1")  # who was champion before it came back
    assert intact(store, capsys, "tiny") == (0, [])
    assert find_alias(prepare(store), "tiny", "challenger") == "4"


@pytest.mark.parametrize(
    ("to", "words"),
    [("4", "the gate never promoted version 4 of tiny"), ("3", "version 3 is the champion of tiny"), ("9", "zeromiss-tiny has no version 9")],
)
def test_a_version_that_cannot_be_champion_is_refused(store, to, words):
    with pytest.raises(ZeromissError, match=words):
        back(store, to=to)
    assert find_alias(prepare(store), "tiny", "champion") == "3"


def test_a_version_that_is_not_as_it_was_is_refused_and_another_taken(store):
    (download_bundle(prepare(store), "tiny", "2") / "word").write_text("changed")
    with pytest.raises(ZeromissError, match=r"version 2 of tiny is not as it was promoted \(bundle: .*word.*nothing was changed"):
        back(store)
    assert len(read_log(prepare(store), "tiny").entries) == 4
    assert back(store, to="1") == ("3", "1")


def test_the_same_model_registered_again_does_not_undo_a_rollback(store):
    from zeromiss.params import load_product

    product = load_product(store.params_file, "tiny")
    parts.write_bundle(store, files=models.FILES | {"word": "three"}, scores=models.SCORES)
    back(store)
    assert register(product, store).version == "3"  # as a scheduled run would that finds nothing changed
    record = promotion.read_record(promotion.promote(product, store))
    assert record["outcome"] == "refused"
    assert "it was taken out of service: by Ann at" in record["statement"]
    assert find_alias(prepare(store), "tiny", "champion") == "2"


def test_history_tells_every_decision_in_order(store, capsys):
    back(store)
    capsys.readouterr()
    assert history.run("tiny", store, as_json=True) == 0
    content = json.loads(capsys.readouterr().out)
    assert [(one["number"], one["kind"], one["version"]) for one in content["decisions"]] == [
        (1, "promotion", "1"), (2, "promotion", "2"), (3, "promotion", "3"), (4, "refusal", "4"), (5, "rollback", "2"),
    ]  # fmt: skip
    assert (content["intact"], content["champion"], content["challenger"]) == (True, "2", "4")
    assert history.run("tiny", store, as_json=False) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "rollback: version 2 became champion again (before: 3), by Ann: false alarms since noon" in text
    assert "refusal: version 4 was refused: 1 of 3 audit defects missed" in text


def test_a_line_that_is_removed_shows_in_history_and_in_every_audit(store, capsys):
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(store.root / "mlruns/mlflow.db")) as database, database:
        assert database.execute("delete from params where key = '000004'").rowcount == 1  # the last one: no hash after it misses it
    code, findings = intact(store, capsys, "tiny/4")
    assert (code, findings) == (1, [("decisions", "the tag gate.entry names entry 4 of the log, which is not there as it was")])
    with closing(sqlite3.connect(store.root / "mlruns/mlflow.db")) as database, database:
        assert database.execute("delete from params where key = '000002'").rowcount == 1
    assert history.run("tiny", store, as_json=False) == 1
    assert "THE LOG DOES NOT HOLD: entry 3 does not follow the one before it" in capsys.readouterr().out
    assert intact(store, capsys, "tiny/1")[0] == 1
    assert back(store) == ("3", "2")  # a line cannot be mended, and a bad champion must not stay because of it


def test_a_record_that_was_edited_is_not_what_the_log_names(store, capsys):
    client = prepare(store)
    path = parts.artifacts(client, client.get_model_version("zeromiss-tiny", "3").run_id) / "promotion/tiny.json"
    path.write_text(path.read_text().replace('"n_normals": 2', '"n_normals": 200'))
    code, findings = intact(store, capsys, "tiny/3")
    assert code == 1
    assert ("decisions", "the record of the decision is not the one that entry 3 of the log was written about") in findings


def test_history_of_nothing_is_refused(store):
    with pytest.raises(ZeromissError, match="no model of other is registered"):
        history.run("other", store, as_json=False)
