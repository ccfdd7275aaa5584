"""Fits, the simulated line and the page of docs/scaling.md, against numbers worked out by hand and by queueing theory."""

import numpy as np
import pytest
from benchmarks.growth.fit import fit_line
from benchmarks.growth.line import latencies, p99, workers_needed
from benchmarks.growth.page import _CHAIN, _GROWTH, page, training_hours


def test_a_straight_line_is_found_again():
    line = fit_line([10, 20, 40], [2.0 + 0.5 * size for size in (10, 20, 40)])
    assert (line.fixed, line.each, line.r2) == pytest.approx((2.0, 0.5, 1.0))
    assert line.exponent < 1  # the fixed part weighs


def test_an_exponent_is_found_again_and_a_bend_lowers_r2():
    line = fit_line([10, 20, 40], [size**2 for size in (10, 20, 40)])
    assert line.exponent == pytest.approx(2.0)
    assert 0.8 < line.r2 < 1 and line.fixed == 0


def test_waiting_by_hand():
    arrival_N, service_N = np.array([0.0, 1.0, 2.0]), np.array([2.0, 2.0, 2.0])
    assert latencies(arrival_N, service_N, 1).tolist() == [2.0, 3.0, 4.0]
    assert latencies(arrival_N, service_N, 2).tolist() == [2.0, 2.0, 2.0]
    assert latencies(np.array([0.0, 0.0, 0.0]), np.array([3.0, 1.0, 1.0]), 2).tolist() == [3.0, 1.0, 2.0]


def test_the_mean_wait_is_that_of_queueing_theory():
    random, load = np.random.default_rng(0), 0.7  # Pollaczek and Khinchine, constant service of 1 s: wait = load / (2 (1 - load))
    arrival_N = np.cumsum(random.exponential(1 / load, 200_000))
    waited = latencies(arrival_N, np.ones(200_000), 1).mean() - 1
    assert waited == pytest.approx(load / (2 * (1 - load)), rel=0.05)


def test_enough_workers_and_not_one_more():
    services = [0.2, 0.25, 0.3]
    workers = workers_needed(services, rate=10.0)
    assert workers >= 3  # 2.5 are busy
    assert p99(services, rate=10.0, workers=workers) < 1.0 <= p99(services, rate=10.0, workers=workers - 1)
    assert p99(services, rate=10.0, workers=workers) == p99(services, rate=10.0, workers=workers)


def test_workers_that_are_busy_all_the_time_are_not_enough():
    assert workers_needed([0.1], rate=100.0, limit=1e9) == 11  # ten would be busy without a pause: the queue never ends


def test_no_number_of_workers_answers_in_time_where_one_image_takes_longer():
    with pytest.raises(ValueError, match="no number of cores answers within 1.0 s"):
        workers_needed([1.5, 1.6], rate=1.0)


def figures():
    """Return figures of round numbers."""
    values = {"stored: photo": 1e5, "stored: verdict row": 5e3, "stored: table row": 3e3, "inspection on one core: mean": 0.25}
    for step, unit in [*((step, "image") for step in _CHAIN), *((step, unit) for step, (unit, _) in _GROWTH.items())]:
        values |= {f"{step}: fixed": 1.5, f"{step}: each {unit}": 0.02, f"{step}: R2 of the line": 0.99, f"{step}: exponent": 0.8}
    for name, cores in (("one factory", 4), ("one hundred factories", 270)):
        values |= {f"line: cores for {name}": cores, f"line: p99 latency of {name}": 0.75}
    for state, memory in (("off", 22.6), ("on", 7.1)):
        values[f"paper profile: memory of a step, checkpointing {state}"] = memory
        values |= {f"paper profile: hours on one {card}, checkpointing {state}": 10.0 for card in ("a6000", "h100")}
    return [{"what": what, "value": value, "note": ""} for what, value in values.items()]


def row(text, name):
    """Return the cells of the page's row that begins with `name`."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name}")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_the_page_multiplies_out_what_was_measured():
    text = page(figures())
    assert row(text, "images a second, a day") == ["10, 864,000", "1,000, 86,400,000"]
    assert row(text, "cores busy") == ["2.5", "250.0"]
    assert row(text, "cores that keep") == ["4", "270"]
    assert row(text, "photos a day") == ["86.4 GB, 31.5 TB", "8.64 TB, 3.15 PB"]
    assert row(text, "verdict rows") == ["4.32 GB, 1.58 TB", "432 GB, 158 TB"]
    assert row(text, "metric tables") == ["30 MB, 3 GB".split(", ")[0], "3 GB"]
    assert row(text, "trainings a year") == ["120", "12,000"]
    assert row(text, "GPU hours a year, paper profile, h100") == ["1,200 (0.1 cards)", "120,000 (13.7 cards)"]
    assert row(text, "extraction of") == ["1.5 s", "20 ms", "image", "0.990", "0.80"]
    assert "22.6 GiB" in text and "7.1 GiB" in text


def test_the_hours_of_a_training_by_hand():
    values = {"training step: fixed": 0.1, "training step: each megapixel": 1.0}
    assert training_hours(values) == pytest.approx(700 * (0.1 + 4 * 96 * 96 / 1e6) / 3600)


def test_the_page_is_a_screen_or_two():
    assert len(page(figures()).splitlines()) < 100
