"""The log of decisions in a real store: written once, in one order, and a line that is removed or changed shows."""

import json
import sqlite3
from contextlib import closing

import pytest

from zeromiss.errors import ZeromissError
from zeromiss.registry.decisions import append, read_log, refuse_outrun
from zeromiss.registry.events import read_events
from zeromiss.registry.store import prepare


@pytest.fixture
def client(tracked):
    return prepare(tracked)


def write(client, tracked, *kinds):
    """Append entries of these kinds about versions 1, 2, ... and return the log."""
    log = read_log(client, "tiny")
    for kind in kinds:
        log = append(client, "tiny", tracked, kind, {"version": str(log.last + 1), "before": "none", "why": "so", "by": "Ann"}, after=log)
    return log


def alter(tracked, statement, *values):
    """Change the database behind MLflow's back."""
    with closing(sqlite3.connect(tracked.root / "mlruns/mlflow.db")) as database, database:
        assert database.execute(statement, values).rowcount == 1


def test_there_is_no_log_before_the_first_decision(client, tracked):
    assert read_log(client, "tiny").entries == ()
    assert client.get_experiment_by_name("zeromiss-tiny decisions") is None  # reading makes nothing


def test_entries_stand_in_order_and_each_holds_the_hash_of_the_one_before(client, tracked):
    written = write(client, tracked, "promotion", "refusal", "rollback")
    log = read_log(client, "tiny")
    assert log == written
    assert [(one.number, one.kind, one.facts["version"]) for one in log.entries] == [(1, "promotion", "1"), (2, "refusal", "2"), (3, "rollback", "3")]
    assert [one.before for one in log.entries] == ["none", log.entries[0].digest, log.entries[1].digest]
    assert (log.head, log.last, log.faults) == (log.entries[2].digest, 3, ())
    assert log.champion() == log.entries[2]
    assert read_events(client, "tiny", tracked) == []  # the log's run is no event


def test_of_two_that_saw_the_same_log_one_writes(client, tracked):
    seen = write(client, tracked, "promotion")
    append(client, "tiny", tracked, "refusal", {"version": "2", "why": "1 of 3 missed"}, after=seen)
    with pytest.raises(ZeromissError, match=r"somebody else was first: version 2 was refused: 1 of 3 missed \(.* on .*\); nothing was changed"):
        append(client, "tiny", tracked, "promotion", {"version": "3", "before": "1"}, after=seen)
    assert [one.kind for one in read_log(client, "tiny").entries] == ["promotion", "refusal"]
    with pytest.raises(ZeromissError, match="somebody else was first"):
        refuse_outrun(read_log(client, "tiny"), seen, "tiny")


def test_the_first_entry_of_two_at_once_stands_in_one_log(client, tracked):
    empty = read_log(client, "tiny")
    append(client, "tiny", tracked, "promotion", {"version": "1", "before": "none"}, after=empty)
    with pytest.raises(ZeromissError, match="somebody else was first: version 1 became champion"):
        append(client, "tiny", tracked, "promotion", {"version": "1", "before": "none"}, after=empty)
    assert len(read_log(client, "tiny").entries) == 1


def test_mlflow_refuses_to_change_an_entry(client, tracked):
    from mlflow.exceptions import MlflowException

    log = write(client, tracked, "promotion")
    with pytest.raises(MlflowException, match="Changing param values is not allowed"):
        client.log_param(log.run_id, "000001", "another")


@pytest.mark.parametrize("number", [1, 2])
def test_a_removed_line_shows_and_the_log_goes_on(client, tracked, number):
    write(client, tracked, "promotion", "refusal", "promotion")
    alter(tracked, "delete from params where key = ?", f"{number:06}")
    log = read_log(client, "tiny")
    assert log.faults == (f"entry {number + 1} does not follow the one before it: a line was removed or changed", *(
        f"entry {later} does not follow the one before it: a line was removed or changed" for later in range(number + 2, 4)))  # fmt: skip
    assert append(client, "tiny", tracked, "refusal", {"version": "4", "why": "so"}, after=log).last == 4


def test_a_changed_line_shows(client, tracked):
    log = write(client, tracked, "promotion", "refusal")
    text = client.get_run(log.run_id).data.params["000001"]
    alter(tracked, "update params set value = ? where key = '000001'", text.replace('"by": "Ann"', '"by": "Bob"'))
    assert read_log(client, "tiny").faults == ("entry 2 does not follow the one before it: a line was removed or changed",)
    alter(tracked, "update params set value = 'x' where key = '000001'")
    assert read_log(client, "tiny").faults[0] == "entry 000001 cannot be read"


def test_a_deleted_log_is_told_and_not_written_on(client, tracked):
    log = write(client, tracked, "promotion")
    client.delete_run(log.run_id)
    gone = read_log(client, "tiny")
    assert gone.faults == (f"the run {log.run_id}, which holds the log, was deleted in MLflow: mlflow runs restore brings it back",)
    with pytest.raises(ZeromissError, match=f"bring it back with mlflow runs restore --run-id {log.run_id}"):
        append(client, "tiny", tracked, "refusal", {"version": "2", "why": "so"}, after=gone)


def test_an_entry_that_mlflow_would_cut_is_refused(client, tracked):
    with pytest.raises(ZeromissError, match="give a shorter reason"):
        append(client, "tiny", tracked, "refusal", {"version": "1", "why": "€" * 1000}, after=read_log(client, "tiny"))


def test_an_entry_says_who_where_and_at_which_commit(client, tracked):
    entry = write(client, tracked, "promotion").entries[0]
    content = entry.content()
    assert (content["hash"], content["hash_before"], content["version"], content["why"]) == (entry.digest, "none", "1", "so")
    assert len(content["commit"]) == 40
    assert json.loads(json.dumps(content)) == content
