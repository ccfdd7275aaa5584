"""The command line: quick to answer, sentences and exit codes, tracebacks only when asked for."""

import os
import subprocess
import sys

import pytest

from zeromiss import cli, commands
from zeromiss.errors import ZeromissError


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from zeromiss import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'sklearn', 'mlflow', 'prefect', 'dvc', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for command in ("run", "ingest", "inspect", "promote", "stage", "product"):
        assert f"    {command} " in done.stdout


def test_outside_a_repository_one_sentence_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["promote", "board"]) == 2
    told = capsys.readouterr().err
    assert told == (
        f"zeromiss: no params.yaml with a dvc.yaml in {tmp_path} or above it: run zeromiss inside its repository\n"
    )


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (ZeromissError("the lamp is off: switch it on"), 2, "zeromiss: the lamp is off: switch it on\n"),
        (KeyboardInterrupt(), 130, "zeromiss: interrupted; start it again and it goes on from there\n"),
        (ValueError("two\nlines"), 2, "zeromiss: ValueError: two lines (run again with --debug for the trace)\n"),
    ],
)
def test_whatever_happens_is_told_in_one_line(monkeypatch, capsys, error, code, told):
    def fail(options):
        raise error

    monkeypatch.setattr(commands, "enter_workspace", fail)
    assert cli.main(["promote", "board"]) == code
    assert capsys.readouterr().err == told


def test_debug_shows_where_a_refusal_came_from(monkeypatch, capsys):
    def fail(options):
        raise ZeromissError("no")

    monkeypatch.setattr(commands, "enter_workspace", fail)
    assert cli.main(["promote", "board", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_an_unknown_command_exits_with_2(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["polish"])
    assert stopped.value.code == 2
    assert "invalid choice: 'polish'" in capsys.readouterr().err


def test_an_unknown_stage_is_refused(repository, monkeypatch, capsys):
    monkeypatch.chdir(repository)
    assert cli.main(["stage", "polish", "--product", "pcba"]) == 2
    assert "polish" in capsys.readouterr().err



@pytest.mark.parametrize(("given", "then"), [(None, "passive"), ("active", "active")])
def test_waiting_threads_sleep_unless_the_user_says_otherwise(monkeypatch, given, then):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    assert cli.main(["detectors"]) == 0
    assert os.environ["OMP_WAIT_POLICY"] == then
