"""The page of benchmark results says what the committed files say, and the shared timing counts rightly."""

import sys
import time

import pytest
from benchmarks import measure, run


def test_the_page_is_written_from_the_committed_files():
    assert (run.FOLDER / "RESULTS.md").read_text(encoding="utf-8") == run.page(run.read())


def test_every_benchmark_is_listed_and_measured():
    shared = {"measure", "run", "results", "parts", "comparison", "comparison_page", "ablations", "systems", "systems_page", "seeds"}
    assert {path.stem for path in run.FOLDER.glob("*.py")} - shared == set(run.ORDER)
    assert {path.stem for path in run.RESULTS.glob("*.json")} == set(run.ORDER)


def test_paired_times_both_in_turn_after_the_warmup():
    calls = []
    times = measure.paired(lambda: calls.append("ours"), lambda: calls.append("theirs"), rounds=2)
    assert calls == ["ours", "theirs", "ours", "theirs", "theirs", "ours"]
    assert len(times.ours) == len(times.theirs) == 2


def test_speedup_is_the_median_of_the_rounds():
    times = measure.Paired(ours=(1.0, 2.0, 1.0), theirs=(3.0, 8.0, 7.0))
    figure = measure.speedup(times, what="step", against="peer", least=4.5)
    assert figure.value == pytest.approx(4.0)
    assert figure.spread == (3.0, 7.0)
    assert figure.met is False


def test_alone_tells_seconds_and_peak_memory_of_a_process():
    start = time.perf_counter()
    seconds, memory = measure.alone([sys.executable, "-c", "x = bytearray(200 << 20)"])
    assert 0 < seconds < time.perf_counter() - start
    assert 200 << 20 < memory < 300 << 20


def test_alone_tells_why_a_process_failed():
    with pytest.raises(RuntimeError, match="no such thing"):
        measure.alone([sys.executable, "-c", "raise SystemExit('no such thing')"])
