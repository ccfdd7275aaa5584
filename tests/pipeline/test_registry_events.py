"""Events in a real store: who did what, in which order, and every move of an alias."""

import getpass
import socket
import subprocess

import pytest

from zeromiss.registry import events
from zeromiss.registry.events import move_alias, read_events, record_event
from zeromiss.registry.store import prepare


@pytest.fixture
def client(tracked):
    return prepare(tracked)


@pytest.fixture
def model(client, tracked):
    """A registered model with two versions."""
    client.create_registered_model("zeromiss-tiny")
    for _ in range(2):
        client.create_model_version("zeromiss-tiny", source=(tracked.root / "mlruns").as_uri())


def test_an_event_says_who_did_what_where_and_at_which_commit(client, tracked):
    record_event(client, "tiny", tracked, "audit_opening", {"version": "3", "missed": "0"})
    [event] = read_events(client, "tiny", tracked)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tracked.root, capture_output=True, text=True, check=True).stdout.strip()
    assert (event.kind, event.facts) == ("audit_opening", {"version": "3", "missed": "0"})
    assert (event.who, event.host, event.commit) == (getpass.getuser(), socket.gethostname(), commit)
    assert event.at.endswith("+00:00")
    run = client.get_run(event.run_id)
    assert (run.info.status, run.info.user_id) == ("FINISHED", getpass.getuser())


def test_events_come_oldest_first_and_by_kind(client, tracked):
    for number in range(3):
        record_event(client, "tiny", tracked, "audit_opening", {"number": str(number)})
    record_event(client, "tiny", tracked, "alias", {"number": "3"})
    assert [event.facts["number"] for event in read_events(client, "tiny", tracked)] == ["0", "1", "2", "3"]
    assert [event.facts["number"] for event in read_events(client, "tiny", tracked, "alias")] == ["3"]


def test_other_runs_are_no_events_and_a_product_without_runs_has_none(client, tracked, tiny):
    from zeromiss.registry.tracking import act_run

    assert read_events(client, "tiny", tracked) == []
    assert client.get_experiment_by_name("zeromiss-tiny") is None  # reading makes nothing
    with act_run("register", tiny, tracked):
        pass
    assert read_events(client, "tiny", tracked) == []


def test_all_pages_are_read(client, tracked, monkeypatch):
    monkeypatch.setattr(events, "_PAGE", 2)
    for number in range(5):
        record_event(client, "tiny", tracked, "alias", {"number": str(number)})
    assert [event.facts["number"] for event in read_events(client, "tiny", tracked)] == list("01234")


def test_an_event_that_was_deleted_is_still_listed(client, tracked):
    record_event(client, "tiny", tracked, "audit_opening", {"version": "1"})
    client.delete_run(read_events(client, "tiny", tracked)[0].run_id)
    assert [event.facts for event in read_events(client, "tiny", tracked)] == [{"version": "1"}]


def test_files_lie_with_the_event(client, tracked):
    import mlflow

    record_event(client, "tiny", tracked, "audit_opening", {}, files={"audit.json": {"images": {"a": "defect"}}})
    [event] = read_events(client, "tiny", tracked)
    assert mlflow.artifacts.load_dict(f"runs:/{event.run_id}/audit.json") == {"images": {"a": "defect"}}


def test_every_move_of_an_alias_is_recorded_and_a_standstill_is_not(client, tracked, model):
    move_alias(client, "tiny", tracked, "champion", "1", "the gate promoted it")
    move_alias(client, "tiny", tracked, "champion", "1", "again")
    move_alias(client, "tiny", tracked, "champion", "2", "a better one")
    assert str(client.get_model_version_by_alias("zeromiss-tiny", "champion").version) == "2"
    move_alias(client, "tiny", tracked, "champion", None, "taken out of service")
    move_alias(client, "tiny", tracked, "champion", None, "again")
    assert "champion" not in client.get_registered_model("zeromiss-tiny").aliases
    moves = [(one.facts["before"], one.facts["version"], one.facts["why"]) for one in read_events(client, "tiny", tracked, "alias")]
    assert moves == [("none", "1", "the gate promoted it"), ("1", "2", "a better one"), ("2", "none", "taken out of service")]


def test_a_move_that_fails_is_recorded_before_and_again_by_the_next_try(client, tracked, model, monkeypatch):
    def broken(*arguments):
        raise OSError("the store is gone")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="gone"):
        patch.setattr(type(client), "set_registered_model_alias", broken)
        move_alias(client, "tiny", tracked, "champion", "2", "a better one")
    move_alias(client, "tiny", tracked, "champion", "2", "a better one")
    assert [one.facts["version"] for one in read_events(client, "tiny", tracked, "alias")] == ["2", "2"]


def test_a_machine_that_knows_no_name_gives_the_users_number(monkeypatch):
    def unknown():
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(events.getpass, "getuser", unknown)
    monkeypatch.setattr(events.os, "getuid", lambda: 4711)
    assert events.user() == "user 4711"
