"""A server under load: a new champion takes over without a failed request, a broken one is refused, SIGTERM drains."""

import signal
import threading
import time
from contextlib import contextmanager

import httpx
import pytest

from tests.pipeline.conftest import registry_template  # noqa: F401  (a fixture)
from tests.serving_parts import THRESHOLDS, as_json, crown, make_versions, refused, served, set_serving, spoil, wait_for
from zeromiss.inspection.inspector import Inspector
from zeromiss.inspection.ledger import read
from zeromiss.registry import publish
from zeromiss.registry.store import prepare

CLIENTS = 4
WAIT = 180.0  # seconds


@pytest.fixture(scope="module")
def made(registry_template, tmp_path_factory):
    """A workspace with three versions, the third one spoilt, and the images they were made with."""
    workspace, images = make_versions(tmp_path_factory.mktemp("swapped"), registry_template, count=3)
    spoil(workspace, "3")
    return workspace, images


@contextmanager
def load(client, path):
    """Yield the answers that some clients, each with one connection, get without a pause while the block runs."""
    answers, stop = [], threading.Event()

    def ask():
        with httpx.Client(base_url=client.base_url, timeout=60.0, trust_env=False) as mine:
            while not stop.is_set():
                try:
                    answer = mine.post("/inspect", json=as_json(path))
                    answers.append((answer.status_code, answer.json()))
                except httpx.HTTPError as error:
                    answers.append((0, repr(error)))

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def until(answers, condition, seconds=180.0):
    """Wait until a later answer meets a condition."""
    end = time.monotonic() + seconds
    while not any(condition(*one) for one in answers[-CLIENTS:]):
        assert time.monotonic() < end, answers[-1:]
        time.sleep(0.01)


def test_a_new_champion_takes_over_and_a_broken_one_does_not(made):
    """Version 1, 2, the spoilt 3, 1 again, all the time under load: every request is answered by a version that was whole."""
    workspace, images = made
    crown(workspace, "1")
    set_serving(workspace, poll_seconds=0.1)
    inspector = Inspector.load(publish.download_bundle(prepare(workspace), "tiny", "1"))
    expected = inspector.inspect(images[5]).score
    with served(workspace) as client, load(client, images[5]) as answers:
        until(answers, lambda status, answer: status == 200)
        crown(workspace, "2")
        until(answers, lambda status, answer: status == 200 and answer["model"]["version"] == "2")
        assert client.get("/version").json()["threshold"] == THRESHOLDS[1]
        crown(workspace, "3")
        spoilt = wait_for(lambda: client.get("/health").json()["refused"], WAIT)
        health = client.get("/health")
        metrics = client.get("/metrics").text
        before = len(answers)
        crown(workspace, "1")
        until(answers, lambda status, answer: status == 200 and answer["model"]["version"] == "1")
        wait_for(lambda: client.get("/health").json()["refused"] is None, WAIT)
    assert spoilt["version"] == "3"
    assert spoilt["why"].startswith("zeromiss-tiny version 3 is not as it was sealed: classifier.skops has changed (SHA-256 differs)")
    assert health.status_code == 200 and health.json()["ready"] and health.json()["model"]["version"] == "2"
    for line in ('zeromiss_swaps_total{outcome="refused"} 1.0', 'zeromiss_swaps_total{outcome="taken"} 1.0', "zeromiss_champion_refused 1.0"):
        assert line in metrics
    assert 'version="1"} 1.0' not in [line for line in metrics.splitlines() if line.startswith("zeromiss_model_info")][0]
    assert {status for status, _ in answers} == {200}, [one for one in answers if one[0] != 200][:3]
    assert {(answer["model"]["version"], answer["threshold"]) for _, answer in answers} == {("1", THRESHOLDS[0]), ("2", THRESHOLDS[1])}
    assert {answer["score"] for _, answer in answers} == {expected}  # to the bit: the versions differ by their thresholds
    assert 0 < before < len(answers)


def test_a_champion_that_is_gone_leaves_the_old_one(made):
    workspace, images = made
    crown(workspace, "2")
    set_serving(workspace, poll_seconds=0.1)
    with served(workspace) as client:
        crown(workspace, None)
        said = wait_for(lambda: client.get("/health").json()["registry"], WAIT)
        assert said == "zeromiss-tiny has no champion any more: version 2 stays in charge"
        assert client.post("/inspect", json=as_json(images[0])).json()["model"]["version"] == "2"
        assert "zeromiss_registry_up 0.0" in client.get("/metrics").text
        crown(workspace, "1")
        wait_for(lambda: client.get("/version").json()["version"] == "1", WAIT)
        assert client.get("/health").json()["registry"] == ""


def test_a_broken_champion_is_not_even_started_with(made):
    workspace, _ = made
    crown(workspace, "3")
    code, out, err = refused(workspace)
    assert (code, out) == (2, "")
    assert "version 3 is not as it was sealed: classifier.skops has changed" in err and err.count("\n") == 1


def test_sigterm_answers_what_is_under_way_and_takes_no_more(made):
    """Sixteen images in one thread are under way when the door closes: all get their verdicts, and the end is a good one."""
    workspace, images = made
    crown(workspace, "1")
    set_serving(workspace, threads=1)
    with served(workspace) as client:
        address, answers = client.base_url, []

        def ask():
            answers.append(httpx.post(f"{address}/inspect/batch", json={"images": [as_json(images[0])] * 16}, timeout=300.0, trust_env=False))

        thread = threading.Thread(target=ask)
        thread.start()
        while not client.get("/health").json()["images_in_flight"]:
            pass
        client.process.send_signal(signal.SIGTERM)
        thread.join()
        out, err = client.process.communicate(timeout=300)
        assert ["score" in one for one in answers[0].json()["results"]] == [True] * 16
        assert (client.process.returncode, out, err) == (0, "zeromiss: stopped; every request under way was answered\n", "")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/health", trust_env=False)


def test_notice_is_given_before_the_door_closes(made):
    """Told to stop, it says so and goes on judging; told again, it does not wait for the end of the notice. It was told to keep no rows."""
    workspace, images = made
    crown(workspace, "1")
    set_serving(workspace, notice_seconds=600, keep="false")
    rows = read(workspace.verdicts("tiny")).num_rows
    with served(workspace) as client:
        client.process.send_signal(signal.SIGTERM)
        health = wait_for(lambda: (found := client.get("/health")).status_code == 503 and found, WAIT)
        assert health.json()["live"] and not health.json()["ready"] and health.json()["rows"] is None
        assert client.post("/inspect", json=as_json(images[6])).status_code == 200
        client.process.send_signal(signal.SIGTERM)
        client.process.communicate(timeout=300)
        assert client.process.returncode == 0
    assert read(workspace.verdicts("tiny")).num_rows == rows
