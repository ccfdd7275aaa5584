"""Naming a registered model: what each form means, each way to be wrong, and that reading creates nothing."""

import json
import shutil

import pytest

from zeromiss.errors import ZeromissError
from zeromiss.registry import publish
from zeromiss.registry.reference import resolve
from zeromiss.registry.store import prepare
from zeromiss.workspace import Workspace

THRESHOLD = {
    "value": 0.4, "rule": "zfn", "n_defects": 63, "n_candidates": 12,
    "miss_rate_bound_95": 0.046, "next_defect_miss_bound": 0.0156, "bound_is": "descriptive",
}  # fmt: skip


@pytest.fixture
def register(tiny, tracked):
    """Return a function that registers a bundle of one word and returns its version."""

    def one(word):
        folder = tracked.bundle("tiny")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "bundle.json").write_text(json.dumps({"schema_version": 1, "word": word}))
        (folder / "summary.json").write_text(json.dumps({"schema_version": 3, "threshold": THRESHOLD}))
        return publish.register(tiny, tracked).version

    return one


def test_each_form_names_its_version(tracked, register):
    assert [register(word) for word in ("first", "second")] == ["1", "2"]
    assert resolve("tiny", tracked) == ("tiny", "2")  # no champion yet
    prepare(tracked).set_registered_model_alias("zeromiss-tiny", "champion", "1")
    assert resolve("tiny", tracked) == ("tiny", "1")
    assert resolve("tiny@challenger", tracked) == ("tiny", "2")
    assert resolve("tiny@champion", tracked) == ("tiny", "1")
    assert resolve("tiny/2", tracked) == ("tiny", "2")


@pytest.mark.parametrize("wrong", ["", "Tiny", "tiny@", "tiny/", "tiny/0", "tiny/x", "tiny@a/1", "tiny/1@a", "../tiny", "a b", "tiny@it's"])
def test_another_form_is_refused(tracked, wrong):
    with pytest.raises(ZeromissError, match="names no model: write PRODUCT, PRODUCT@ALIAS or PRODUCT/VERSION"):
        resolve(wrong, tracked)


def test_what_does_not_exist_is_refused_with_what_there_is(tracked, register):
    with pytest.raises(ZeromissError, match=r"no model of tiny is registered: there is no model at all; train one"):
        resolve("tiny", tracked)
    register("first")
    with pytest.raises(ZeromissError, match="zeromiss-tiny has no version 7: it has version 1"):
        resolve("tiny/7", tracked)
    with pytest.raises(ZeromissError, match=r"zeromiss-tiny has no alias best: name a version, it has version 1 \(e.g. tiny/1\)"):
        resolve("tiny@best", tracked)
    with pytest.raises(ZeromissError, match="no model of huge is registered: there are models of tiny;"):
        resolve("huge", tracked)
    prepare(tracked).delete_registered_model_alias("zeromiss-tiny", "challenger")
    with pytest.raises(ZeromissError, match="zeromiss-tiny has no champion or challenger: name a version"):
        resolve("tiny", tracked)


def test_where_there_is_no_store_none_is_made(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ZeromissError, match=r"mlflow.db does not exist, so no model is registered here"):
        resolve("tiny", Workspace(root=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_reading_changes_no_byte_of_the_store(tracked, register):
    register("first")
    database = tracked.root / "mlruns/mlflow.db"
    before = database.read_bytes()
    assert resolve("tiny/1", tracked) == ("tiny", "1")
    assert database.read_bytes() == before
    assert sorted(path.name for path in database.parent.iterdir()) == ["artifacts", "mlflow.db"]


def test_a_database_of_another_mlflow_is_refused_not_upgraded(tracked, register):
    import sqlite3

    register("first")
    elsewhere = tracked.root / "elsewhere"
    (elsewhere / "mlruns").mkdir(parents=True)
    shutil.copy(tracked.root / "mlruns/mlflow.db", elsewhere / "mlruns")
    with sqlite3.connect(elsewhere / "mlruns/mlflow.db") as database:
        database.execute("update alembic_version set version_num = 'of_long_ago'")
    with pytest.raises(ZeromissError, match="has the tables of another MLflow"):
        resolve("tiny/1", Workspace(root=elsewhere))
