"""SIGTERM: the stage is ended first, in good order, then DVC; the command line says so and exits as a shell would."""

import os
import signal
import threading
import time

import pytest

from zeromiss import cli, commands

STAGE = """
import pathlib, signal, sys, time
def stop(number, frame):
    pathlib.Path("stage").write_text("stopped")
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
pathlib.Path("ready").touch()
time.sleep(60)
"""
DVC = """
import pathlib, subprocess, sys
code = subprocess.call([sys.executable, "stage.py"])
pathlib.Path("dvc").write_text(str(code))
sys.exit(code)
"""


def when_ready(folder, act):
    """Do something once the stage runs."""
    deadline = time.monotonic() + 30
    while not (folder / "ready").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    act()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a process that stands for DVC and one that stands for a stage below it."""
    from tasks import pipeline

    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / "dvc.py").write_text(DVC)
    monkeypatch.setattr(pipeline, "PROCESS", tmp_path / "dvc.py")
    return tmp_path


def test_sigterm_ends_the_stage_and_then_dvc(folder):
    from tasks.pipeline import process

    threading.Thread(target=when_ready, args=(folder, lambda: os.kill(os.getpid(), signal.SIGTERM))).start()
    with pytest.raises(cli.Stopped), cli._stoppable():
        process("repro", "stage", folder, {})
    assert (folder / "stage").read_text() == "stopped"
    assert (folder / "dvc").read_text() == "143"  # it saw its stage end and could put its own things away


def test_a_stage_that_does_not_listen_is_killed(folder, monkeypatch):
    from tasks import pipeline

    (folder / "stage.py").write_text(STAGE.replace("stop)\n", "signal.SIG_IGN)\n", 1))
    monkeypatch.setattr(pipeline, "PATIENCE", 1.0)
    threading.Thread(target=when_ready, args=(folder, lambda: os.kill(os.getpid(), signal.SIGTERM))).start()
    with pytest.raises(cli.Stopped), cli._stoppable():
        pipeline.process("repro", "stage", folder, {})
    assert not (folder / "stage").exists()


@pytest.mark.parametrize("kind", ["alone", "with Prefect's server gone too"])
def test_the_command_line_says_so_and_exits_with_143(monkeypatch, capsys, kind):
    from prefect.exceptions import TerminationSignal

    def stopped(options):
        if kind == "alone":
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        try:
            raise TerminationSignal(signal.SIGTERM)
        except TerminationSignal:
            raise ConnectionError("all connection attempts failed")

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(commands, "enter_workspace", stopped)
    assert cli.main(["promote", "board"]) == 143
    assert capsys.readouterr().err == "zeromiss: stopped; start it again and it goes on from there\n"
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_stage_hands_the_cluster_down_to_its_process(monkeypatch, tmp_path):
    from tasks import pipeline

    seen = []
    monkeypatch.setattr(pipeline, "act", lambda verb, target, root, settings: seen.append(settings))
    pipeline.run_stage.fn("metrics@tiny", str(tmp_path), worker="cpu", parent="p", cluster="tcp://a:1")
    pipeline.run_stage.fn("metrics@tiny", str(tmp_path), worker="cpu", parent="p")
    assert seen == [{"ZEROMISS_PARENT_RUN": "p", "ZEROMISS_CLUSTER": "tcp://a:1"}, {"ZEROMISS_PARENT_RUN": "p"}]
