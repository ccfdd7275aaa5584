"""The flow promote with a person in it: paused on a real Prefect server, answered from a shell, or on the command's own flags."""

import threading
import time

import pytest

from tests import promotion_parts as models
from tests import registry_parts as parts
from zeromiss.errors import ZeromissError

YES = {"approve": True, "by": "Ann", "why": "looked at 40 parts"}


@pytest.fixture
def waiting(small, monkeypatch):
    """The small repository with a challenger, whose promotion a person approves."""
    from zeromiss.inspection.inspector import Inspector
    from zeromiss.params import load_product
    from zeromiss.workspace import Workspace

    monkeypatch.setattr(Inspector, "load", classmethod(models.load_table))
    params = small / "params.yaml"
    params.write_text(params.read_text().replace("promotion: {chance: 0.5, min_passed: 0}", "promotion: {chance: 0.5, min_passed: 0, mode: approve, wait_hours: 0.05}"))
    workspace = Workspace(root=small)
    parts.write_manifest(workspace, models.ROWS)
    models.candidate(load_product(params, "tiny"), workspace, "one")
    return workspace


def champion(workspace):
    from zeromiss.registry.publish import find_alias
    from zeromiss.registry.store import prepare

    return find_alias(prepare(workspace), "tiny", "champion")


@pytest.mark.usefixtures("prefect_server")
def test_the_flow_pauses_for_a_person_and_a_shell_answers(waiting, monkeypatch, capsys):
    from flows import promote
    from tasks.answers import paused_run

    monkeypatch.setattr(promote, "POLL", 1)
    failed = []

    def flow():
        try:
            promote.promote("tiny", str(waiting.root))
        except BaseException as error:  # told below
            failed.append(error)

    runner = threading.Thread(target=flow)
    runner.start()
    end = time.monotonic() + 150
    while paused_run("tiny") is None and runner.is_alive() and time.monotonic() < end:
        time.sleep(0.5)
    assert failed == []
    assert champion(waiting) is None
    assert promote.run("tiny", waiting.root, answer=YES) == 0
    runner.join(60)
    assert failed == []
    assert champion(waiting) == "1"
    assert "approved by Ann: looked at 40 parts" in capsys.readouterr().out
    assert paused_run("tiny") is None


@pytest.mark.usefixtures("prefect_server")
def test_without_a_server_the_command_asks_for_its_flags_and_takes_them(waiting, monkeypatch, capsys):
    from flows import promote

    monkeypatch.setattr(promote, "asks_through_a_server", lambda: False)
    with pytest.raises(ZeromissError, match="version 1 passed the gate, and promotion.mode is approve: decide with zeromiss promote tiny --approve"):
        promote.run("tiny", waiting.root)
    told = capsys.readouterr().out
    assert "passed the gate and waits for approval: 0 of 3 audit defects missed" in told  # what the person decides on
    assert "met: false_alarms: 1 of 2 normal audit images raise a false alarm" in told
    assert champion(waiting) is None
    assert promote.run("tiny", waiting.root, answer=YES | {"approve": False}) == 0
    assert "refused by Ann: looked at 40 parts" in capsys.readouterr().out
    assert champion(waiting) is None


def test_an_answer_that_nobody_asked_for_is_refused(small):
    from flows import promote

    with pytest.raises(ZeromissError, match="promotion.mode is auto, so that the gate decides alone"):
        promote.run("tiny", small, answer=YES)


@pytest.mark.parametrize(
    "words", [["--approve"], ["--approve", "--by", "Ann"], ["--by", "Ann", "--why", "so"], ["--refuse", "--why", "so"], ["--by", "Ann"]]
)
def test_half_an_answer_is_refused(small, capsys, words):
    from zeromiss.cli import main

    assert main(["promote", "tiny", *words]) == 2
    assert "give all three or none" in capsys.readouterr().err


@pytest.mark.usefixtures("prefect_server")
def test_a_rollback_on_a_server_is_a_flows_run(waiting):
    from flows.rolling_back import rollback
    from zeromiss.params import load_product
    from zeromiss.registry import promotion
    from zeromiss.registry.decisions import read_log
    from zeromiss.registry.store import prepare

    product = models.asking(load_product(waiting.params_file, "tiny"), mode="auto")
    parts.version_raw(waiting)
    promotion.promote(product, waiting)
    for word in ("two", "three"):
        models.candidate(product, waiting, word)
        promotion.promote(product, waiting)
    done = rollback("tiny", str(waiting.root), None, "Ann", "dim")
    assert (done["before"], done["version"]) == ("3", "2")
    assert champion(waiting) == "2"
    assert read_log(prepare(waiting), "tiny").entries[-1].facts["why"] == "dim"
