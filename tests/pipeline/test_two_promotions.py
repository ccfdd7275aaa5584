"""Two processes promote the same challenger at the same instant, time after time: one wins, and the other is told."""

import multiprocessing
import shutil

from tests import promotion_parts as models
from tests import registry_parts as parts
from zeromiss.registry.decisions import read_log
from zeromiss.registry.events import move_alias
from zeromiss.registry.publish import find_alias
from zeromiss.registry.store import TRACKING_URI, prepare, tracking_uri
from zeromiss.workspace import Workspace

ROUNDS = 6


def test_one_wins_and_the_other_is_told_each_time(tiny, tracked, tmp_path, monkeypatch):
    """The two work in folders of their own, so that no lock of one folder helps: all they share is the store."""
    parts.write_manifest(tracked, models.ROWS)
    other = tmp_path / "other"
    shutil.copytree(tracked.root, other, ignore=shutil.ignore_patterns("mlruns"))
    client = prepare(tracked)
    for word in ("two", "one"):  # made here, so that their artifacts lie in a place both can reach
        models.candidate(tiny, tracked, word)
    monkeypatch.setenv(TRACKING_URI, tracking_uri(tracked))
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    roots = (str(tracked.root), str(other))
    processes = [context.Process(target=models.promote_in_turns, args=(root, barrier, ROUNDS, results)) for root in roots]
    for process in processes:
        process.start()
    try:
        told = _rounds(client, tracked, barrier, results)
    finally:
        for process in processes:
            process.join(30)
            process.terminate()
    assert all("somebody else was first" in one for one in told if one)
    log = read_log(client, "tiny")
    assert log.faults == ()
    assert [(one.kind, one.facts["version"]) for one in log.entries] == [("promotion", _turn(number)) for number in range(ROUNDS)]


def _turn(number):
    """Return the version that is challenger in a round."""
    return "21"[number % 2]


def _rounds(client, tracked, barrier, results):
    """Let the two meet in each round, over two models in turn; return what the losers were told, empty where nothing waited any more."""
    told = []
    for number in range(ROUNDS):
        move_alias(client, "tiny", tracked, "challenger", _turn(number), "its turn")
        barrier.wait(300)
        barrier.wait(300)
        outcomes = sorted(results.get(timeout=60)[1:3] for _ in range(2))
        won = [outcome for outcome, _ in outcomes if outcome == "promoted"]
        lost = [words for outcome, words in outcomes if outcome in ("told", "stays champion")]
        assert (len(won), len(lost)) == (1, 1), outcomes
        told += lost
        assert find_alias(client, "tiny", "champion") == _turn(number)
        assert find_alias(client, "tiny", "challenger") is None
    return told
