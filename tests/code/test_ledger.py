"""Append-only data sets: the same row adds nothing, two at once lose nothing, and no kill leaves a half part."""

import multiprocessing
import os
import signal
import time
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from zeromiss.errors import ZeromissError
from zeromiss.inspection import ledger
from zeromiss.inspection.ledger import append, read

KEY = ("sha256", "model_version")


def rows(names, *, day=3, hour=12, version="1", **more):
    """Rows of one moment; `more`: columns of one value."""
    at = datetime(2031, 5, day, hour, tzinfo=UTC)
    return pa.table({
        "sha256": list(names), "model_version": [version] * len(names),
        "time": pa.array([at] * len(names), pa.timestamp("us", tz="UTC")), **{name: [value] * len(names) for name, value in more.items()},
    })  # fmt: skip


def test_the_same_image_judged_again_by_the_same_version_adds_no_row(tmp_path):
    assert append(tmp_path, rows("abca"), key=KEY) == 3
    assert append(tmp_path, rows("cd", day=9), key=KEY) == 1
    assert append(tmp_path, rows("a", version="2"), key=KEY) == 1
    found = read(tmp_path)
    assert list(zip(found["sha256"].to_pylist(), found["model_version"].to_pylist(), found["day"].to_pylist(), strict=True)) == [
        ("a", "1", "2031-05-03"), ("b", "1", "2031-05-03"), ("c", "1", "2031-05-03"), ("a", "2", "2031-05-03"), ("d", "1", "2031-05-09"),
    ]  # fmt: skip


def test_rows_lie_by_the_day_of_their_time_and_other_programs_read_them(tmp_path):
    append(tmp_path, pa.concat_tables([rows("a", day=3, hour=23), rows("b", day=4, hour=0)]), key=KEY)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["day=2031-05-03", "day=2031-05-04"]
    assert ds.dataset(tmp_path, partitioning="hive").to_table(filter=ds.field("day") == "2031-05-04")["sha256"].to_pylist() == ["b"]
    assert read(tmp_path, since="2031-05-04")["sha256"].to_pylist() == ["b"]


def test_metrics_that_only_one_version_has_are_null_in_the_others_rows(tmp_path):
    append(tmp_path, rows("a", old=0.5), key=KEY)
    append(tmp_path, rows("a", version="2", new=0.25), key=KEY)
    found = read(tmp_path)
    assert (found["old"].to_pylist(), found["new"].to_pylist()) == ([0.5, None], [None, 0.25])


def test_an_empty_data_set_and_a_window_without_rows_are_empty(tmp_path):
    assert read(tmp_path / "none").num_rows == 0
    append(tmp_path, rows("a"), key=KEY)
    assert read(tmp_path, since="2032-01-01").num_rows == 0


def _append_some(folder, start):
    """Append ten parts, half of whose rows another process appends too."""
    for number in range(10):
        append(folder, rows([f"{start + number}", f"shared {number}"]), key=KEY)


def test_two_at_once_lose_nothing_and_add_nothing_twice(tmp_path):
    context = multiprocessing.get_context("spawn")
    started = [context.Process(target=_append_some, args=(tmp_path, start)) for start in (0, 100)]
    for one in started:
        one.start()
    for one in started:
        one.join(60)
    assert [one.exitcode for one in started] == [0, 0]
    expected = sorted([f"{start + number}" for start in (0, 100) for number in range(10)] + [f"shared {number}" for number in range(10)])
    assert sorted(read(tmp_path)["sha256"].to_pylist()) == expected


def _hang_while_writing(folder):
    """Begin a part and never end it."""

    def write(table, path):
        path.write_bytes(b"PAR1 half")
        time.sleep(600)

    ledger.pq.write_table = write
    append(folder, rows("b"), key=KEY)


def test_a_kill_in_the_middle_of_a_part_leaves_no_half_part_and_no_lock(tmp_path):
    append(tmp_path, rows("a"), key=KEY)
    process = multiprocessing.get_context("spawn").Process(target=_hang_while_writing, args=(tmp_path,))
    process.start()
    until = time.monotonic() + 30
    while not list(tmp_path.glob("day=*/.*.partial")) and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    assert list(tmp_path.glob("day=*/.*.partial"))
    assert read(tmp_path)["sha256"].to_pylist() == ["a"]
    assert append(tmp_path, rows("b"), key=KEY) == 1
    assert sorted(read(tmp_path)["sha256"].to_pylist()) == ["a", "b"]
    assert not list(tmp_path.glob("day=*/.*.partial"))


def test_a_broken_part_and_one_of_another_schema_are_named(tmp_path):
    append(tmp_path, rows("a"), key=KEY)
    part = next(tmp_path.glob("day=*/part-*.parquet"))
    pq.write_table(rows("a"), part)
    with pytest.raises(ZeromissError, match=r"part-\w+\.parquet has schema version none, this program reads 1"):
        read(tmp_path)
    part.write_bytes(b"PAR1")
    with pytest.raises(ZeromissError, match=r"part-\w+\.parquet is not a readable Parquet file"):
        append(tmp_path, rows("b"), key=KEY)


def parts(folder):
    """Return the rows of each part, by its path."""
    return {str(path.relative_to(folder)): pq.read_metadata(path).num_rows for path in sorted(folder.glob("day=*/*"))}


def test_who_brings_few_rows_lets_a_part_grow_until_it_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "_FULL", 4)
    assert [append(tmp_path, rows(names), key=KEY, grow=True) for names in ("ab", "bc", "abc", "def", "g")] == [2, 1, 0, 3, 1]
    assert list(parts(tmp_path).values()) in ([6, 1], [1, 6])  # 2, 3, 6: full; then another
    append(tmp_path, rows("h", day=4), key=KEY, grow=True)
    append(tmp_path, rows("i", mean=0.5), key=KEY, grow=True)  # another day, other columns: parts of their own
    assert sorted(parts(tmp_path).values()) == [1, 1, 1, 6]
    assert sorted(read(tmp_path)["sha256"].to_pylist()) == list("abcdefghi")
    assert append(tmp_path, rows("abcdefghi"), key=KEY) == 0


def test_a_part_that_cannot_grow_stays_as_it_was(tmp_path, monkeypatch):
    append(tmp_path, rows("ab"), key=KEY, grow=True)
    before = {path: path.read_bytes() for path in tmp_path.glob("day=*/*")}

    def half(table, path):
        path.write_bytes(b"PAR1 half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full, pytest.raises(OSError, match="No space"):
        full.setattr(pq, "write_table", half)
        append(tmp_path, rows("c"), key=KEY, grow=True)
    assert {path: path.read_bytes() for path in tmp_path.glob("day=*/*")} == before
    assert append(tmp_path, rows("c"), key=KEY, grow=True) == 1 and list(parts(tmp_path).values()) == [3]
