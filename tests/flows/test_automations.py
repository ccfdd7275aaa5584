"""On a real Prefect server: drift starts training, and failures, drifts and promotions reach a webhook on loopback."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from zeromiss.errors import ZeromissError

SECONDS = 60.0  # within which the server must have acted


def wait_for(found, *, seconds=SECONDS):
    """Return what a function returns once that is something."""
    until = time.monotonic() + seconds
    while not (result := found()):
        assert time.monotonic() < until, "nothing came in time"
        time.sleep(0.2)
    return result


def answers(url):
    """Whether a server is up."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Prefect server with its services, in a process and a home of its own; this process talks to it."""
    from prefect.events.worker import EventsWorker
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

    home = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | {
        "PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_LOGGING_LEVEL": "ERROR", "PREFECT_SERVER_UI_ENABLED": "false",
    }  # fmt: skip
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (home / "log").open("w") as log, subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True) as process:
        try:
            wait_for(lambda: answers(f"http://127.0.0.1:{port}/api/health"), seconds=180.0)
            with temporary_settings({PREFECT_HOME: home, PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}):
                EventsWorker.drain_all(timeout=30)  # one of another test goes on sending to that test's server
                yield
                EventsWorker.drain_all(timeout=30)
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture(scope="module")
def posted(server):
    """What was posted to a webhook on loopback, which the block custom-webhook/line-3 names."""
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    received = []

    class Webhook(BaseHTTPRequestHandler):
        """Keeps what it is sent."""

        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments):
            """Say nothing."""

    listener = HTTPServer(("127.0.0.1", 0), Webhook)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    body = {"subject": "{{subject}}", "body": "{{body}}"}
    CustomWebhookNotificationBlock(name="line", url=f"http://127.0.0.1:{listener.server_port}/hook", json_data=body).save("line-3")
    yield received
    listener.shutdown()


@pytest.fixture
def client(server):
    """A client of the server."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as opened:
        yield opened


def with_subject(posted, text):
    """The messages whose subject holds a text."""
    return [one for one in posted if text in one["subject"]]


def test_drift_starts_the_training_of_its_product_alone(client):
    from tasks.automations import train_on_drift
    from tasks.events import DRIFT, tell

    flow_id = client.create_flow_from_name("train")
    for name in ("bolt", "nut"):
        client.create_deployment(flow_id=flow_id, name=name, parameters={"product": name, "root": "."})
        assert train_on_drift(name) == f"zeromiss: train {name} on drift"
    assert train_on_drift("bolt") == "zeromiss: train bolt on drift"
    assert len(client.read_automations_by_name("zeromiss: train bolt on drift")) == 1
    assert client.read_flow_runs() == []
    assert tell(DRIFT, "bolt", "bolt has changed", reasons=["drift"])
    (run,) = wait_for(client.read_flow_runs)
    assert run.parameters == {"product": "bolt", "root": "."}


def test_a_deployment_that_is_not_there_is_named(server):
    from tasks.automations import train_on_drift

    with pytest.raises(ZeromissError, match="Prefect's server has no deployment train/washer: register it with zeromiss deploy"):
        train_on_drift("washer")


def test_failures_drifts_and_promotions_reach_the_webhook(posted, client):
    from prefect import flow

    from tasks.automations import notify
    from tasks.events import DRIFT, tell, tell_promotion

    assert notify("custom-webhook/line-3") == notify("custom-webhook/line-3")
    assert len([one for one in client.read_automations() if "custom-webhook/line-3" in one.name]) == 3

    @flow(name="monitor")
    def ours():
        raise ZeromissError("no model of bolt is registered: train one")

    @flow(name="payroll")
    def theirs():
        raise ZeromissError("not for us")

    for one in (theirs, ours):
        with pytest.raises(ZeromissError):
            one()
    tell(DRIFT, "nut", "nut: version 3 should be trained anew")
    record = {"product": "nut", "model": "zeromiss-nut version 4", "statement": "it missed none of 63"}
    tell_promotion(record | {"outcome": "refused"})
    tell_promotion(record | {"outcome": "promoted"})
    wait_for(lambda: with_subject(posted, "monitor failed") and with_subject(posted, "drifted") and with_subject(posted, "champion"))
    (failure,) = with_subject(posted, "failed")
    assert "no model of bolt is registered: train one" in failure["body"]
    assert with_subject(posted, "drifted") == [{"subject": "nut has drifted", "body": "nut: version 3 should be trained anew"}]
    (promotion,) = with_subject(posted, "champion")
    assert promotion == {"subject": "nut has a new champion", "body": "zeromiss-nut version 4: it missed none of 63"}


def test_a_block_can_be_let_go(posted, client):
    from tasks.automations import notify, notify_no_more

    names = notify("custom-webhook/line-3")
    assert sorted(notify_no_more("custom-webhook/line-3")) == sorted(names)
    assert [one.name for one in client.read_automations() if "line-3" in one.name] == []
    assert notify_no_more("custom-webhook/line-3") == []


def test_a_block_that_is_not_there_or_sends_nothing_is_refused(server):
    from prefect.blocks.system import Secret

    from tasks.automations import notify

    Secret(value="x").save("line-4")
    with pytest.raises(ZeromissError, match="Prefect's server has no block slack-webhook/line-9"):
        notify("slack-webhook/line-9")
    with pytest.raises(ZeromissError, match="the block secret/line-4 sends no notifications"):
        notify("secret/line-4")


def test_without_a_server_of_ones_own_nobody_hears_and_automations_are_refused(tmp_path, monkeypatch):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from tasks.automations import notify
    from tasks.events import DRIFT, tell

    with temporary_settings({PREFECT_API_URL: None}):
        assert tell(DRIFT, "bolt", "bolt has changed") is False
        with pytest.raises(ZeromissError, match="automations live on a Prefect server: start one and set PREFECT_API_URL"):
            notify("slack-webhook/line-3")
