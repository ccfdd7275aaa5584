"""Signals: the stage is ended first, in good order, then DVC, and nothing goes on, whoever does not listen or is killed."""

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from zeromiss import cli, commands, stopping

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
    with pytest.raises(stopping.Stopped), stopping.stoppable():
        process("repro", "stage", folder, {})
    assert (folder / "stage").read_text() == "stopped"
    assert (folder / "dvc").read_text() == "143"  # it saw its stage end and could put its own things away


def test_a_stage_that_does_not_listen_is_killed(folder, monkeypatch):
    from tasks import pipeline

    (folder / "stage.py").write_text(STAGE.replace("stop)\n", "signal.SIG_IGN)\n", 1))
    monkeypatch.setattr(stopping, "PATIENCE", 1.0)
    threading.Thread(target=when_ready, args=(folder, lambda: os.kill(os.getpid(), signal.SIGTERM))).start()
    with pytest.raises(stopping.Stopped), stopping.stoppable():
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


DEAF = """
import os, pathlib, signal, subprocess, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
if len(sys.argv) > 2:
    subprocess.Popen([sys.executable, __file__, "below"])
with open("pids.txt", "a") as pids:
    pids.write(f"{os.getpid()}\\n")
while True:
    time.sleep(0.1)
"""  # a stage that hears no signal, and a process below it
RUN = """
import pathlib, sys
from zeromiss import cli, commands, stopping
from tasks.pipeline import process
stopping.PATIENCE = float(sys.argv[1])
commands._detectors = lambda options: process("repro", "start@tiny", pathlib.Path(), {})
sys.argv[1:] = ["detectors"]
sys.exit(cli.main())
"""  # a command that runs a stage of DVC's


@pytest.fixture
def at_work(small, request):
    """A command that runs a stage at a terminal of its own; the terminal, and the processes of the stage."""
    (small / "stage.py").write_text(DEAF)
    ours, theirs = pty.openpty()
    started = subprocess.Popen([sys.executable, "-c", RUN, "5" if request.node.callspec.params["kind"] == "SIGTERM" else "0.5"], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, preexec_fn=_take_terminal, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])})
    os.close(theirs)
    until = time.monotonic() + 60
    while not ((small / "pids.txt").exists() and len((small / "pids.txt").read_text().split()) == 2) and time.monotonic() < until:
        time.sleep(0.05)
    tree = [psutil.Process(int(pid)) for pid in (small / "pids.txt").read_text().split()]
    tree += [one for one in psutil.Process(started.pid).children(recursive=True) if one not in tree]
    assert len(tree) >= 3  # DVC's process too
    yield started, ours, tree
    for one in filter(stopping._lives, tree):
        one.kill()
    started.kill()
    started.wait(10)


def _take_terminal():
    """Make standard input the terminal that controls this session, as a shell's window does."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.parametrize(("kind", "code"), [("SIGTERM", 143), ("Ctrl-C twice", 130), ("closed terminal", 129), ("SIGTERM twice, then SIGKILL", -9)])
def test_the_whole_tree_ends_within_ten_seconds_and_can_be_started_again(at_work, kind, code):
    started, terminal, tree = at_work
    since = time.monotonic()
    if kind == "Ctrl-C twice":
        os.write(terminal, b"\x03\x03")
    elif kind == "closed terminal":
        os.close(terminal)
    else:
        for name in kind.replace(", then", " then").split(" then "):
            for _ in range(2 if "twice" in name else 1):
                started.send_signal(getattr(signal, name.split()[0]))
                time.sleep(0.2 if "twice" in name else 0.0)
    while (alive := [one for one in tree if stopping._lives(one)]) and time.monotonic() < since + 10:
        time.sleep(0.05)
    assert alive == []
    assert started.wait(max(0.1, since + 10 - time.monotonic())) == code
    from tasks.pipeline import process

    Path("stage.py").write_text("import pathlib; pathlib.Path('data/02_manifest/tiny').mkdir(parents=True)")
    assert process("repro", "start@tiny", Path.cwd(), {}) == 0  # no lock of DVC's is in the way
