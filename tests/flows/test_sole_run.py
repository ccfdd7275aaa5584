"""Two runs of one product at once: the second is refused in one sentence before anything starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.sole_run import sole_run
from zeromiss import cli
from zeromiss.errors import ZeromissError

HOLD = "import pathlib, sys; from tasks.sole_run import sole_run\nwith sole_run(sys.argv[1], pathlib.Path()): print('at work', flush=True); sys.stdin.read()"


@pytest.fixture
def other(tmp_path, monkeypatch):
    """Another process that runs the product `tiny` in the current folder."""
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "params.yaml").write_text("schema_version: 1\nprofiles: {}\nproducts: {tiny: {}}\n")
    monkeypatch.chdir(tmp_path)
    with subprocess.Popen([sys.executable, "-c", HOLD, "tiny"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}) as process:
        assert process.stdout.readline() == "at work\n"
        yield process
        process.kill()


@pytest.mark.parametrize("verb", ["run", "compare"])
def test_a_second_one_is_refused_before_a_flow_starts(other, tmp_path, monkeypatch, capsys, verb):
    from flows import compare, train

    started = []
    monkeypatch.setattr(train, "train", lambda *rest: started.append(rest))
    monkeypatch.setattr(compare, "compare", lambda *rest: started.append(rest))
    assert cli.main([verb, "tiny"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"zeromiss: tiny is at work already (process {other.pid} since ") and told.count("\n") == 1
    assert told.endswith("): wait until that run has ended, or stop it\n")
    assert started == []


def test_a_worker_refuses_what_no_server_counts(other, tmp_path, monkeypatch):
    from tasks.at_work import at_work

    monkeypatch.setattr("tasks.at_work._counted", lambda name: sole_run("nobody else", tmp_path))
    with pytest.raises(ZeromissError, match="tiny is at work already"):
        at_work(alone=True)(lambda product, root: "done")("tiny", str(tmp_path))


def test_another_product_and_one_whose_run_was_killed_can_be_run(other, tmp_path):
    with sole_run("a/b", tmp_path), sole_run("mini", tmp_path):
        pass
    other.kill()
    other.wait(10)
    with sole_run("tiny", tmp_path):
        pass
