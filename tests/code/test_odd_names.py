"""File names that are no UTF-8, hold control characters or fill all 255 bytes: each such image costs at most its own verdict."""

import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.inspection_parts import grey_file, mean_inspector
from zeromiss.files import printable, short_name
from zeromiss.inspection.batch import inspect_paths
from zeromiss.inspection.ledger import read
from zeromiss.inspection.merge import merge_folders
from zeromiss.inspection.rows import keep_folder

NAMES = [b"a.png", b"\xff\xfe.png", b"line\nbreak\t.png", b"x" * 226 + b".png", b"y" * 251 + b".png", "\u6f22".encode() * 83 + b".png", b"z" * 255]
SHOWN = ["a.png", r"\xff\xfe.png", r"line\nbreak\t.png", "x" * 226 + ".png", "y" * 251 + ".png", "\u6f22" * 83 + ".png", "z" * 255]


@pytest.fixture
def folder(tmp_path):
    """An image under each name, and a file of each kind of name that is no image."""
    (tmp_path / "in").mkdir()
    for number, name in enumerate(NAMES):
        grey_file(tmp_path / "it.png", 40 + number).rename(tmp_path / "in" / os.fsdecode(name))
    (tmp_path / "in" / os.fsdecode(b"broken\xff.png")).write_bytes(b"no picture")
    return tmp_path / "in"


def test_every_image_has_its_verdict_and_every_file_can_be_written(folder, tmp_path):
    result = inspect_paths(mean_inspector(), [folder], out=tmp_path / "out", progress=False)
    rows = {row["path"]: row for row in pq.read_table(tmp_path / "out" / "verdicts.parquet").to_pylist()}
    assert sorted(rows) == sorted([str(folder / name) for name in SHOWN] + [str(folder / r"broken\xff.png")])
    broken = rows.pop(str(folder / r"broken\xff.png"))
    assert broken["verdict"] == "error" and r"broken\xff.png" in broken["error"]
    for number, name in enumerate(SHOWN):
        row = rows[str(folder / name)]
        assert row["score"] == pytest.approx((40 + number) / 255, abs=1e-6) and (tmp_path / "out" / row["overlay"]).is_file()
    assert [Path(verdict.path).is_file() for verdict in result.verdicts] == [True] * len(NAMES)  # a program finds the file
    told = [json.dumps(verdict.to_json(), ensure_ascii=False).encode() for verdict in result.verdicts]
    assert sorted(json.loads(line)["path"] for line in told) == sorted(rows)
    assert keep_folder(tmp_path / "set", tmp_path / "out") == len(NAMES)
    assert sorted(read(tmp_path / "set")["name"].to_pylist()) == sorted(SHOWN)


def test_parts_of_a_job_are_put_together_under_the_names_that_one_machine_gives(folder, tmp_path):
    alone = inspect_paths(mean_inspector(), [folder], out=tmp_path / "alone", progress=False).folder
    part = inspect_paths(mean_inspector(), [folder], out=tmp_path / "part", progress=False).folder
    merged = merge_folders([part], tmp_path / "merged").folder
    assert sorted(os.listdir(alone / "overlays")) == sorted(os.listdir(merged / "overlays"))
    assert pq.read_table(alone / "verdicts.parquet").equals(pq.read_table(merged / "verdicts.parquet"))


def test_a_single_file_costs_its_own_verdict_alone(folder):
    result = inspect_paths(mean_inspector(), [folder / os.fsdecode(b"broken\xff.png")], progress=False)
    assert [error.path for error in result.errors] == [str(folder / r"broken\xff.png")]
    result.errors[0].error.encode()  # can be written anywhere


@pytest.mark.parametrize(
    ("name", "shown"),
    [("plain.png", "plain.png"), (os.fsdecode(b"\x80a"), r"\x80a"), ("\ud800", r"\ud800"), ("a\r\x00", r"a\r\x00"), ("\u00e9\u3000\u6f22", "\u00e9\u3000\u6f22")],
)
def test_names_are_shown_as_text_that_can_be_encoded(name, shown):
    assert printable(name) == shown
    shown.encode()


def test_long_names_are_shortened_and_stay_different():
    first, second = (short_name("\u00e9" * 120 + end + ".jpeg", max_bytes=60) for end in "ab")
    assert first != second and first.endswith(".jpeg") and len(first.encode()) <= 60 and first.startswith("\u00e9" * 20)
    assert short_name("a" * 60, max_bytes=60) == "a" * 60
    assert len(short_name("a." + "b" * 300).encode()) == 180
