"""The kind of machine, told so that two that compute other bits have other names."""

import os

import pytest

from zeromiss.registry.machine import machine, threads

LISTED = """processor\t: 0
cpu family\t: 6
model\t\t: 85
model name\t: Example CPU @ 2.00GHz
stepping\t: 7
flags\t\t: fpu sse2 avx avx2 {wide}

processor\t: 1
model name\t: Another
"""


def test_the_first_processor_is_named_with_its_widest_vectors(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    listed = tmp_path / "cpuinfo"
    listed.write_text(LISTED.format(wide="avx512f avx512bw"))
    assert machine(listed=listed) == {
        "machine.cpu": "Example CPU @ 2.00GHz, family 6, model 85, stepping 7, avx512f", "machine.threads": "3"
    }  # fmt: skip
    listed.write_text(LISTED.format(wide=""))
    assert machine(listed=listed)["machine.cpu"] == "Example CPU @ 2.00GHz, family 6, model 85, stepping 7, avx2"


def test_a_machine_without_a_list_has_a_name_too(tmp_path):
    assert machine(listed=tmp_path / "none")["machine.cpu"] != ""


@pytest.mark.parametrize(("setting", "expected"), [("5", 5), ("4,2", 4), ("", None), ("many", None), ("0", None)])
def test_threads_are_those_that_openmp_would_start(monkeypatch, setting, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", setting)
    assert threads() == (expected or len(os.sched_getaffinity(0)))
