"""The thread that keeps the rows of served verdicts: in batches, by version, never lost to a disk that is mended in time."""

import logging
import threading
import time
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest

from zeromiss.inspection.ledger import read
from zeromiss.serving import keeping
from zeromiss.serving.keeping import Keeper
from zeromiss.serving.meters import Meters

NEVER = 3600.0  # seconds: only the last write comes


def row(sha256, *, version="1", **metrics):
    """The row of a verdict."""
    facts = {"sha256": sha256, "name": f"part {sha256}", "time": datetime(2031, 5, 3, 12, tzinfo=UTC), "model_version": version}
    return facts | {"score": 0.5, "threshold": 0.4, "verdict": "abnormal", "seconds": 0.1} | metrics


def wait_for(ask, seconds=60.0):
    """Ask until the answer is true."""
    end = time.monotonic() + seconds
    while not ask():
        assert time.monotonic() < end
        time.sleep(0.01)


def figures(meters):
    """Return the figures of rows: kept, dropped, waiting, failing."""
    found = dict(line.rsplit(" ", 1) for line in meters.text().decode().splitlines() if line.startswith("zeromiss_rows"))
    return [float(found[f"zeromiss_rows_{name}"]) for name in ("kept_total", "dropped_total", "waiting", "failing")]


def test_the_last_rows_are_written_when_it_closes_each_version_with_its_metrics(tmp_path, caplog):
    meters = Meters()
    keeper = Keeper(tmp_path / "rows", meters, seconds=NEVER)
    keeper.add(row("a", mean=0.25), ("mean",))
    keeper.add(row("a", version="2", most=0.75), ("most",))
    keeper.add(row("b", mean=0.5), ("mean",))
    keeper.add(row("a", mean=0.25), ("mean",))  # the same image again
    assert keeper.state().waiting == 3 and not (tmp_path / "rows").exists()
    keeper.close(60.0)
    found = read(tmp_path / "rows").select(["sha256", "model_version", "mean", "most"]).to_pylist()
    assert sorted(tuple(one.values()) for one in found if one["model_version"] == "1") == [("a", "1", 0.25, None), ("b", "1", 0.5, None)]
    assert [tuple(one.values()) for one in found if one["model_version"] == "2"] == [("a", "2", None, 0.75)]
    assert keeper.state().model_dump() == {"kept": 3, "waiting": 0, "dropped": 0, "problem": ""}
    assert figures(meters) == [3, 0, 0, 0] and not caplog.records


def test_few_rows_again_and_again_make_one_part(tmp_path):
    keeper = Keeper(tmp_path, Meters(), seconds=0.02)
    for number in range(5):
        keeper.add(row(str(number), mean=0.5), ("mean",))
        wait_for(lambda kept=number + 1: keeper.state().kept == kept)
    keeper.add(row("0", mean=0.5), ("mean",))  # known from before
    keeper.close(60.0)
    assert [pq.read_metadata(part).num_rows for part in tmp_path.glob("day=*/*")] == [5]
    assert keeper.state().kept == 5 and keeper.state().waiting == 0


def test_a_disk_that_fails_is_told_once_and_its_rows_are_written_when_it_is_mended(tmp_path, caplog):
    place, meters = tmp_path / "rows", Meters()
    place.write_text("a file where the data set should be")
    keeper = Keeper(place, meters, seconds=0.02)
    for name in "abc":
        keeper.add(row(name, mean=0.5), ("mean",))
        wait_for(lambda: keeper.state().problem)
    time.sleep(0.2)  # several more tries
    assert keeper.state().waiting == 3 and "File exists" in keeper.state().problem and figures(meters) == [0, 0, 3, 1]
    place.unlink()
    wait_for(lambda: keeper.state().kept == 3)
    wait_for(lambda: not keeper.state().problem)
    keeper.close(60.0)
    assert read(place)["sha256"].to_pylist() == list("abc") and figures(meters) == [3, 0, 0, 0]
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]


def test_of_too_many_that_wait_the_oldest_go_and_are_counted(tmp_path, caplog):
    place, meters = tmp_path / "rows", Meters()
    place.write_text("")
    keeper = Keeper(place, meters, seconds=NEVER, most=3)
    for name in "abcde":
        keeper.add(row(name, mean=0.5), ("mean",))
    assert (keeper.state().waiting, keeper.state().dropped) == (3, 2)
    keeper.close(60.0)
    assert figures(meters) == [0, 2, 3, 1]
    assert "the rows of 3 verdicts were not written and are lost (FileExistsError" in caplog.text
    place.unlink()
    another = Keeper(place, Meters(), seconds=NEVER, most=3)
    for name in "abcde":
        another.add(row(name, mean=0.5), ("mean",))
    another.close(60.0)
    assert read(place)["sha256"].to_pylist() == list("cde")


@pytest.mark.parametrize("works", [True, False])
def test_a_disk_that_hangs_delays_no_row_and_the_bound_holds(tmp_path, monkeypatch, works):
    """One row is being written, four more come, of which three have room: of those that wait the oldest goes; nobody waits for the disk."""
    began, may = threading.Event(), threading.Event()
    usual = keeping.keep

    def hang(*args, **more):
        began.set()
        assert may.wait(60)
        if not works and not tmp_path.joinpath("tried").exists():
            tmp_path.joinpath("tried").touch()
            raise OSError(5, "Input/output error")
        return usual(*args, **more)

    monkeypatch.setattr(keeping, "keep", hang)
    keeper = Keeper(tmp_path / "rows", Meters(), seconds=0.05, most=4)
    keeper.add(row("a", mean=0.5), ("mean",))
    assert began.wait(60)
    for name in "abcde":
        keeper.add(row(name, mean=0.5), ("mean",))
    assert (keeper.state().waiting, keeper.state().dropped) == (4, 1)
    keeper.close(0.05)
    assert keeper.state().waiting == 4  # it did not wait longer
    may.set()
    keeper._thread.join(60)
    assert read(tmp_path / "rows")["sha256"].to_pylist() == list("acde")
    assert keeper.state().kept == 4
