"""What the services' commands do with processes, ports and programs, without any service."""

import json
import signal
import socket
import subprocess
import sys
import time

import pytest

from tasks.services.__main__ import main
from tasks.services.part import Part
from tasks.services.postgres import find_programs
from tasks.services.process import identify, is_alive, session_left, start, stop
from tasks.services.settings import HOST, PORTS, open_settings, read_settings, write_environment
from zeromiss.errors import ZeromissError

SERVER = "import http.server, sys; http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), http.server.BaseHTTPRequestHandler).serve_forever()"


def free_port():
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def listens(port):
    """Return whether something accepts connections on a port."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def part(folder, *words, port=None, seconds=20.0, answers=None):
    """A part that runs Python with `words`."""
    return Part(
        name="thing", folder=folder, command=lambda: [sys.executable, *words], environment={}, port=port, seconds=seconds,
        answers=answers or (lambda since: listens(port)),
    )  # fmt: skip


@pytest.fixture
def server(tmp_path):
    """A part that is a small server, stopped at the end."""
    port = free_port()
    one = part(tmp_path, "-c", SERVER, str(port), port=port)
    yield one
    one.down()


def test_a_part_starts_once_and_stops(server):
    assert server.begin() == f"thing is started on 127.0.0.1:{server.port}"
    server.finish()
    first = server._known()
    assert server.begin() == f"thing is running on 127.0.0.1:{server.port}"
    assert server._known() == first
    assert server.state() == (True, f"thing is running on 127.0.0.1:{server.port} (process {first.pid})")
    assert server.down() == "thing is stopped"
    assert server.down() == "thing was not running"
    assert not listens(server.port)


def test_a_killed_part_is_started_again(server):
    server.begin()
    server.finish()
    first = server._known()
    stop(first, polite=signal.SIGKILL, seconds=10)
    assert server.state() == (False, f"thing is not running: it was process {first.pid}, see {server.log}")
    assert server.begin().startswith("thing was not there any more and is started again")
    server.finish()
    assert server._known() != first


def test_what_a_killed_part_left_is_ended_before_it_starts_again(tmp_path):
    port = free_port()
    words = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {SERVER!r}, '{port}']); time.sleep(600)"
    one = part(tmp_path, "-c", words, port=port)
    one.begin()
    one.finish()
    first = one._known()
    child = next(pid for pid in session_left(first) if pid != first.pid)
    subprocess.run(["kill", "-9", str(first.pid)], check=True)
    end = time.monotonic() + 10
    while is_alive(first) and time.monotonic() < end:
        time.sleep(0.05)
    assert listens(port) and session_left(first) == [child]
    one.begin()
    one.finish()
    assert child not in session_left(one._known()) and identify(child) is None
    assert one.down() == "thing is stopped"


def test_another_process_with_the_number_is_left_alone(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    try:
        real = identify(other.pid)
        one = part(tmp_path, "-c", "pass", port=free_port())
        one._note.parent.mkdir()
        for note in ({"ticks": real.ticks - 1, "boot": real.boot}, {"ticks": real.ticks, "boot": "another boot"}):
            one._note.write_text(json.dumps({"pid": other.pid, "time": 0.0} | note))
            assert one.state()[0] is False
            assert one.down() == "thing was not running"
            assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_one_that_does_not_listen_to_reason_is_killed(tmp_path):
    words = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    child = start([sys.executable, "-c", words], log=tmp_path / "log", environment={}, folder=tmp_path, user=None)
    known = identify(child.pid)
    while "deaf" not in (tmp_path / "log").read_text():
        time.sleep(0.05)
    assert stop(known, polite=signal.SIGTERM, seconds=0.5) is False
    assert not is_alive(known)


def test_a_part_that_ends_is_told_with_the_end_of_its_log(tmp_path):
    one = part(tmp_path, "-c", "import sys, time; time.sleep(0.2); print('old'); print('the table is of another version'); sys.exit(3)", port=free_port())
    one.begin()
    with pytest.raises(ZeromissError, match=r"(?s)thing ended before it answered: see .*thing.log.*old\n    the table is of another version"):
        one.finish()


def test_a_part_that_never_answers_is_told(tmp_path):
    def refuses(since):
        raise OSError("nobody there")

    one = part(tmp_path, "-c", "import time; time.sleep(600)", seconds=0.5, answers=refuses)
    one.begin()
    with pytest.raises(ZeromissError, match=r"thing does not answer after 0 s \(nobody there\)"):
        one.finish()
    assert one.state()[1].endswith("and does not answer: nobody there")
    one.down()


def test_a_taken_port_is_told_before_anything_starts(tmp_path):
    with socket.socket() as holder:
        holder.bind((HOST, 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(ZeromissError, match=f"port {port} of thing is taken by another process: choose another one with make services-up PORTS=thing=0"):
            part(tmp_path, "-c", "pass", port=port).begin()
    assert not (tmp_path / "logs").exists()


def test_ports_and_passwords_are_kept(tmp_path):
    first = open_settings(tmp_path, {"s3": 0, "mlflow": 5999})
    assert first.ports["mlflow"] == 5999 and first.ports["prefect"] == PORTS["prefect"]
    assert open_settings(tmp_path, {}) == first == read_settings(tmp_path)
    assert len(set(first.secrets.values())) == 3 and (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600
    file = write_environment(first)
    said = subprocess.run(["sh", "-c", f". {file} && echo $MLFLOW_TRACKING_URI $AWS_SECRET_ACCESS_KEY"], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["http://127.0.0.1:5999", first.secrets["s3_secret"]] and file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["mlflow=x"], "PORTS has 'mlflow=x': write part=number"),
        (["minio=1"], "know no part minio"),
        (["mlflow=70000"], "70000 is no port for mlflow"),
        (["mlflow=4200"], "two parts have the same port"),
    ],
)
def test_ports_that_cannot_be_are_refused(tmp_path, capsys, words, sentence):
    assert main(["up", "--folder", str(tmp_path / "set"), "--ports", *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "set/secrets.json").exists()


def test_down_and_status_before_any_start(tmp_path, capsys):
    assert main(["down", "--folder", str(tmp_path / "none")]) == 0
    assert main(["status", "--folder", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().out.count("nothing was ever started") == 2 and not (tmp_path / "none").exists()


def test_postgresql_that_is_not_there_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ZeromissError, match="PostgreSQL's server is not on this machine: install it .*apt-get install postgresql"):
        find_programs(None, places=(f"{tmp_path}/*/bin",))
    for major in ("9.6", "15", "16"):
        folder = tmp_path / major / "bin"
        folder.mkdir(parents=True)
        for name in ("initdb", "postgres"):
            (folder / name).write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {major}.4 (Debian)'\n")
            (folder / name).chmod(0o755)
    assert find_programs(None, places=(f"{tmp_path}/*/bin",)) == tmp_path / "16/bin"
    assert find_programs("15", places=(f"{tmp_path}/*/bin",)) == tmp_path / "15/bin"
    with pytest.raises(ZeromissError, match="PostgreSQL 14, which wrote the data"):
        find_programs("14", places=(f"{tmp_path}/*/bin",))


def test_two_starts_at_once_are_told_apart(tmp_path, capsys):
    from tasks.worktree import reserved

    folder = tmp_path / "set"
    open_settings(folder, {})
    with reserved(folder / "run", "a test"):
        assert main(["down", "--folder", str(folder)]) == 2
    assert "another start or stop of the services is at work in" in capsys.readouterr().err
    assert main(["down", "--folder", str(folder)]) == 0
