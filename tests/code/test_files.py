"""Files and tables: whole or not at all, versioned, sentences when they cannot be read."""

import hashlib
import json
import shutil
from types import SimpleNamespace

import pandas as pd
import pytest

from zeromiss import files
from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path, read_json, sha256_file, write_json
from zeromiss.tables import read_table, write_table


def test_a_failure_while_writing_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "kept.txt"
    path.write_text("before")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["kept.txt"]


def test_json_round_trip_carries_its_version(tmp_path):
    path = tmp_path / "new" / "a.json"
    write_json(path, {"value": 0.25}, schema_version=3)
    assert json.loads(path.read_text()) == {"schema_version": 3, "value": 0.25}
    assert read_json(path, schema_version=3)["value"] == 0.25


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"value": float("nan")}, schema_version=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "is missing: run the stage that writes it"),
        ("{", "is not valid JSON"),
        ('{"schema_version": 1}', "has schema version 1, this program reads 2: write it anew"),
    ],
)
def test_json_that_cannot_be_read_is_told_in_a_sentence(tmp_path, content, sentence):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ZeromissError, match=sentence):
        read_json(path, schema_version=2)


def test_sha256_of_a_file_is_that_of_its_bytes(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * 3_000_000)
    assert sha256_file(path) == hashlib.sha256(b"x" * 3_000_000).hexdigest()


def test_table_round_trip_and_version(tmp_path):
    path = tmp_path / "t.parquet"
    frame = pd.DataFrame({"a": [1.5, 2.5], "b": ["x", "y"]})
    write_table(path, frame, schema_version=4)
    pd.testing.assert_frame_equal(read_table(path, schema_version=4), frame)
    with pytest.raises(ZeromissError, match="has schema version 4, this program reads 5"):
        read_table(path, schema_version=5)


def test_table_that_is_no_parquet_is_told_in_a_sentence(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"nonsense")
    with pytest.raises(ZeromissError, match="is not a readable Parquet file"):
        read_table(tmp_path / "t.parquet", schema_version=1)
    with pytest.raises(ZeromissError, match="is missing"):
        read_table(tmp_path / "none.parquet", schema_version=1)


def test_a_full_disk_is_refused_before_anything_is_copied(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=files.SPARE + 999))
    with pytest.raises(ZeromissError, match="has 64 MiB free and this copy needs 65 MiB: make room, nothing was changed"):
        files.refuse_full_disk(tmp_path, 1000, act="this copy")
    assert files.refuse_full_disk(tmp_path, 999, act="this copy") is None
