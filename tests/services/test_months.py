"""Months of a line in one go, on the whole set of services: each step as a schedule, an event or a person causes it."""

import shutil
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.services.together import down, up
from tests.deploy_parts import until
from tests.inbox_parts import git
from tests.services.months_parts import PRODUCT, Plant, draw, environment, make_repository

PERSON = ("--by", "Ann", "--why", "looked at the report")


@pytest.fixture
def plant():
    """A plant whose workers work in its repository; its set of services is its own."""
    from tasks.services.settings import PORTS, read_settings

    top = Path(tempfile.mkdtemp(prefix="zeromiss-months-"))  # pytest's own folders are closed to the user postgres
    top.chmod(0o755)
    root, folder = top / "repository", top / "services"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(root).items():
            patch.setenv(name, value)
        try:
            make_repository(root)
            list(up(folder, dict.fromkeys(PORTS, 0), root=root))
            yield Plant(root, read_settings(folder).environment())
        finally:
            list(down(folder))
            shutil.rmtree(top)


def test_from_the_first_image_to_the_rollback(plant, tmp_path, capsys):
    try:
        first_model(plant, tmp_path)
        with plant.server() as client:
            live(plant, client, tmp_path)
            second_model(plant, client, tmp_path)
            back(plant, client)
        assert len(plant.timeline) == 15
    finally:
        with capsys.disabled():
            print("\n" + "\n".join(f"{seconds:6.0f} s  {words}" for words, seconds in plant.timeline))


def first_model(plant, drawn):
    """Images arrive, a schedule trains, a person approves."""
    plant.shell("deploy")
    plant.camera(draw(drawn / "first", "good", range(80)), label="good")
    plant.camera(draw(drawn / "first", "spot", range(40)), label="spot")
    plant.step("deployed; a camera has filled its bucket", versions=0)
    plant.end(plant.begin("ingest"))
    (event,) = until(lambda: plant.events("zeromiss.ingested"), 300, "the event of the ingest")
    assert event["payload"]["kinds"] == {"good": 80, "spot": 40}
    assert git(plant.root, "rev-parse", "HEAD") == event["payload"]["commit"] == git(plant.root, "rev-parse", "origin/main")
    plant.step("ingested, committed, pushed, told", versions=0)

    soon = datetime.now(UTC) + timedelta(minutes=2)  # a minute or more from now, as seconds are cut off
    plant.shell("schedule", PRODUCT, "--cron", f"{soon.minute} {soon.hour} * * *", "--timezone", "UTC", "--on")
    run = until(lambda: [one for one in plant.runs("train") if one["state"]["type"] == "RUNNING"], 400, "the schedule begins a training")[0]
    assert run["auto_scheduled"]
    plant.shell("schedule", PRODUCT, "--off")
    plant.step("a schedule has begun the training", versions=0)
    plant.end(run["id"])
    plant.step("trained by a worker: version 1 waits", versions=1)
    assert "waits for approval" in plant.shell("history", PRODUCT)
    approve(plant, versions=1)


def approve(plant, *, versions):
    """Have the flow ask a person, and the person approve at a shell."""
    before = len(plant.events("zeromiss.promotion.promoted"))
    run = plant.begin("promote")
    until(lambda: [one for one in plant.runs("promote") if one["id"] == run and one["state"]["type"] == "PAUSED"], 400, "the promotion asks a person")
    plant.step("the promotion waits for a person", versions=versions)
    plant.shell("promote", PRODUCT, "--approve", *PERSON)
    plant.end(run)
    until(lambda: len(plant.events("zeromiss.promotion.promoted")) == before + 1, 300, "the event of the promotion")
    plant.step(f"version {versions} is approved and champion", versions=versions)


def judge(client, path):
    """Return a served verdict."""
    return client.post("/inspect", files={"image": (path.name, path.read_bytes(), "image/png")}).raise_for_status().json()


def inspect(plant, paths):
    """Put images into the incoming folder and have the deployment judge them; the folder is empty again afterwards."""
    folder = plant.root / "data/00_incoming" / PRODUCT
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        shutil.copy(path, folder / f"{path.parent.parent.name}-{path.name}")
    plant.end(plant.begin("inspect"))
    shutil.rmtree(folder)


def live(plant, client, drawn):
    """The champion judges, over HTTP and in batches; nothing has drifted."""
    good, bad = draw(drawn / "live", "good", range(100, 101))[0], draw(drawn / "live", "spot", range(100, 101))[0]
    assert judge(client, bad)["verdict"] == "abnormal"
    assert judge(client, good)["model"] == {"name": f"zeromiss-{PRODUCT}", "version": "1"}
    plant.step("served", versions=1)
    inspect(plant, draw(drawn / "week 1", "good", range(200, 240)))
    plant.end(plant.begin("monitor"))
    assert plant.events("zeromiss.drift") == []
    plant.step("40 parts inspected, no drift", versions=1)


def second_model(plant, client, drawn):
    """The lamp dims: what is labelled of it comes in, the drift begins a training, its model is approved and served."""
    plant.camera(draw(drawn / "dim", "good", range(300, 360), light=0.7), label="good")
    plant.camera(draw(drawn / "dim", "spot", range(300, 320), light=0.7), label="spot")
    plant.end(plant.begin("ingest"))
    plant.step("dim images labelled and ingested", versions=1)
    inspect(plant, draw(drawn / "week 2", "good", range(400, 440), light=0.7))
    plant.end(plant.begin("monitor"))
    until(lambda: plant.events("zeromiss.drift"), 300, "the event of the drift")
    plant.step("40 dim parts inspected: drift", versions=1)
    runs = until(lambda: len(found := plant.runs("train")) == 2 and found, 300, "the drift begins a training")
    plant.end(runs[1]["id"])
    assert not runs[1]["auto_scheduled"]
    plant.step("trained because of the drift: version 2 waits", versions=2)
    approve(plant, versions=2)
    until(lambda: client.get("/version").json()["version"] == "2", 300, "the server takes version 2")
    plant.step("served by version 2", versions=2)


def back(plant, client):
    """One command puts version 1 in charge again, for everybody."""
    begun = time.monotonic()
    plant.shell("rollback", PRODUCT, *PERSON)
    seconds = time.monotonic() - begun
    until(lambda: client.get("/version").json()["version"] == "1", 300, "the server takes version 1 again")
    plant.step(f"rolled back to version 1 in {seconds:.0f} s, served", versions=2)
    told = plant.shell("history", PRODUCT)
    assert told.index("version 2") < told.rindex("version 1")
    assert "Ann" in told
