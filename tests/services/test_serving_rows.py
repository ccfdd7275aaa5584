"""What a server keeps of its verdicts: the rows that `zeromiss inspect` would keep, where `zeromiss monitor` reads them."""

import hashlib
import signal
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from tests.pipeline.conftest import registry_template  # noqa: F401  (a fixture)
from tests.serving_parts import THRESHOLDS, as_json, crown, make_versions, served, set_serving, wait_for
from zeromiss.inspection.inspector import Inspector
from zeromiss.inspection.ledger import read
from zeromiss.inspection.rows import FACTS
from zeromiss.monitoring.check import check
from zeromiss.monitoring.watched import Watched
from zeromiss.registry import publish
from zeromiss.registry.store import prepare
from zeromiss.stage_params import MonitorParams

WAIT = 120.0  # seconds


@pytest.fixture(scope="module")
def made(registry_template, tmp_path_factory):
    """A workspace with two versions, and the images they were made with."""
    return make_versions(tmp_path_factory.mktemp("kept"), registry_template, count=2)


def rows_of(client):
    """What /health says of the rows."""
    answer = client.get("/health")
    assert answer.status_code == 200  # whatever becomes of rows, images are judged
    return answer.json()["rows"]


def stop(client):
    """Tell a server to stop and return its exit code and errors."""
    client.process.send_signal(signal.SIGTERM)
    _, err = client.process.communicate(timeout=300)
    return client.process.returncode, err


def test_rows_of_two_versions_survive_a_data_set_that_cannot_be_written(made):
    """A file stands in the data set's place: verdicts go on and it is shown; it goes, and all rows are written, by version."""
    workspace, images = made
    place = workspace.verdicts("tiny")
    set_serving(workspace, poll_seconds=0.1, keep_seconds=0.2)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("in the way")
    with served(workspace) as client:
        entries = [as_json(path, name=f"line 3/{path.stem}") for path in images[:4]]
        first = client.post("/inspect/batch", json={"images": [*entries, entries[0], {"image": "", "name": "no image"}]}).json()["results"]
        problem = wait_for(lambda: rows_of(client)["problem"], WAIT)
        assert client.post("/inspect", json=entries[0]).status_code == 200
        assert rows_of(client) == {"kept": 0, "waiting": 4, "dropped": 0, "problem": problem} and "File exists" in problem
        metrics = client.get("/metrics").text
        assert "zeromiss_rows_waiting 4.0" in metrics and "zeromiss_rows_failing 1.0" in metrics
        crown(workspace, "2")
        wait_for(lambda: client.get("/version").json()["version"] == "2", WAIT)
        place.unlink()
        second = client.post("/inspect", files={"image": ("form.png", images[0].read_bytes())}).json()
        wait_for(lambda: rows_of(client) == {"kept": 5, "waiting": 0, "dropped": 0, "problem": ""}, WAIT)
        assert "zeromiss_rows_kept_total 5.0" in client.get("/metrics").text
        code, err = stop(client)
    assert code == 0 and [err.count(words) for words in ("cannot be written", "are written again")] == [1, 1]
    found = {(row["sha256"], row["model_version"]): row for row in read(place).to_pylist()}
    assert len(found) == read(place).num_rows == 5
    for answer in (*first[:4], second):
        row = found[answer["sha256"], answer["model"]["version"]]
        assert [row[key] for key in ("name", "score", "threshold", "verdict")] == [answer[key] for key in ("name", "score", "threshold", "verdict")]
    assert {(version, row["threshold"]) for (_, version), row in found.items()} == {("1", THRESHOLDS[0]), ("2", THRESHOLDS[1])}
    assert second["name"] == "form.png" and first[0]["name"] == "line 3/0"


def test_the_last_rows_are_there_after_the_drain_and_a_monitor_reads_them(made):
    """The next write would come in an hour: what was judged is there all the same, once an image, as `inspect` measures it."""
    workspace, images = made
    crown(workspace, "1")
    set_serving(workspace, keep_seconds=3600)
    before = read(workspace.verdicts("tiny"))
    known = {row["sha256"] for row in before.to_pylist() if row["model_version"] == "1"} if before.num_rows else set()
    with served(workspace) as client:
        for path in (*images, images[7]):
            assert client.post("/inspect", json=as_json(path, name=path.name)).status_code == 200
        assert rows_of(client)["waiting"] == 8 and read(workspace.verdicts("tiny")).num_rows == before.num_rows
        assert stop(client) == (0, "")
    inspector = Inspector.load(publish.download_bundle(prepare(workspace), "tiny", "1"), model_name="zeromiss-tiny", model_version="1")
    rows = [row for row in read(workspace.verdicts("tiny")).to_pylist() if row["model_version"] == "1"]
    assert len(rows) == 8 and len(known) in (0, 4)
    fresh = {row["sha256"]: row for row in rows if row["sha256"] not in known}
    for path in images:
        if (row := fresh.get(hashlib.sha256(path.read_bytes()).hexdigest())) is None:
            continue
        examined = inspector.examine(path)
        assert set(row) == {*FACTS, *inspector.features, "day"}
        assert {name: row[name] for name in inspector.features} == {name: float(examined.measurement.features[name]) for name in inspector.features}  # to the bit
        assert (row["score"], row["verdict"], row["name"]) == (examined.verdict.score, examined.verdict.verdict, path.name)
        assert 0.0 < row["seconds"] < 60.0 and timedelta(0) < datetime.now(UTC) - row["time"] < timedelta(minutes=10)
    normals = pd.DataFrame([{name: row[name] for name in inspector.features} for row in rows])
    watched = Watched(version="1", normals=normals, expected_fpr=0.1, expected_from="a test")
    found = check("tiny", MonitorParams(), watched, verdicts=workspace.verdicts("tiny"), judgements=workspace.judgements("tiny"), seed=0)
    assert (found["images"], found["abnormal"]["count"]) == (8, sum(row["verdict"] == "abnormal" for row in rows))
