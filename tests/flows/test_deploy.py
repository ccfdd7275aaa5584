"""Deployments on a real Prefect server: registered twice, scheduled, and one run taken by a process worker."""

import os
import subprocess
import sys

import pytest

from tests.deploy_parts import ask, begin, connected, ended, environment, limits, prefect_server, until, with_deployments, worker
from tests.flows.conftest import PARAMS
from tests.workspace_parts import git_and_dvc
from zeromiss.errors import ZeromissError

FLOWS = ("ingest", "train", "inspect", "promote", "monitor", "fit")
ASKED = "fit"  # by trainings alone: it has no schedule, and the training begins it again
NOTHING = {"flow": None, "cron": None, "timezone": None, "on": None}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A repository with a product, which has not been ingested."""
    root = tmp_path_factory.mktemp("deployed") / "repository"
    root.mkdir()
    (root / "params.yaml").write_text(PARAMS)
    (root / "dvc.yaml").write_text("stages: {}\n")
    return git_and_dvc(with_deployments(root))


@pytest.fixture(scope="module")
def api(home):
    with prefect_server(home) as address, connected(home, address):
        yield address


@pytest.fixture(scope="module")
def deployed(root, api):
    """What the first deployment said."""
    from tasks.deploy import deploy

    return deploy(root)


def schedule(root, **asked):
    """Show or change a schedule."""
    from tasks.schedule import schedule

    return schedule(root, "tiny", **(NOTHING | asked))


def registered(api):
    """Return all that is registered, without times and versions."""

    def still(content):
        if isinstance(content, dict):
            return {key: still(value) for key, value in content.items() if key not in ("updated", "version", "status", "last_polled")}
        return [still(one) for one in content] if isinstance(content, list) else content

    kinds = ("deployments", "work_pools", "automations", "v2/concurrency_limits")
    return {kind: sorted((still(one) for one in ask(api, f"{kind}/filter")), key=lambda one: one["id"]) for kind in kinds}


def test_registers_each_flow_of_a_product_once(deployed, root, api):
    from tasks.deploy import deploy

    assert [line.split(";")[0] for line in deployed if line.startswith("deployment ")] == [
        f"deployment {flow}/tiny: registered, work pool {'gpu' if flow in ('train', 'fit') else 'cpu'}" for flow in FLOWS
    ]
    first = registered(api)
    assert sorted((one["name"], one["type"]) for one in first["work_pools"]) == [("cpu", "process"), ("gpu", "process")]
    assert sorted(one["name"] for one in first["automations"]) == ["zeromiss: lost runs", "zeromiss: train tiny on drift", "zeromiss: try again"]
    for one in first["deployments"]:
        assert one["parameters"]["product"] == "tiny" and one["parameters"]["root"] == "."
        assert one["path"] is None and one["pull_steps"] == [{"prefect.deployments.steps.set_working_directory": {"directory": "."}}]
        asked = one["entrypoint"].startswith(f"flows.{ASKED}")
        assert [each["active"] for each in one["schedules"]] == ([] if asked else [False])
        assert (one["global_concurrency_limit"] is None) == asked
        assert set(one["tags"]) == {"zeromiss", "product:tiny"} | (set() if asked else {"retried"})
    again = deploy(root)
    assert sum("registered again" in line for line in again) == len(FLOWS) and "GPU slots (limit 'gpu'): 1, as before" in again
    assert registered(api) == first


def test_what_people_changed_stays(deployed, root, api):
    from tasks.deploy import deploy

    lines = schedule(root, cron="30 4 * * 1", timezone="Europe/Brussels", on=True)
    assert lines[0] == 'train/tiny: schedule "30 4 * * 1" (Europe/Brussels), on'
    assert len(lines) == 4 and all(line.startswith("  next: Mon ") and " 04:30 CE" in line for line in lines[1:])
    assert "GPU slots (limit 'gpu'): 3" in deploy(root, gpus=3)
    before = registered(api)
    told = deploy(root)
    assert registered(api) == before
    assert 'deployment train/tiny: registered again, work pool gpu; schedule "30 4 * * 1" (Europe/Brussels), on' in told
    assert "GPU slots (limit 'gpu'): 3, as before" in told
    off = schedule(root, on=False)
    assert off[0] == 'train/tiny: schedule "30 4 * * 1" (Europe/Brussels), off' and off[1].startswith("  would run: Mon ")
    assert [line.split("/")[0] for line in schedule(root) if not line.startswith(" ")] == list(FLOWS)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"cron": "0 3 * * 8", "timezone": "UTC"}, r'the schedule "0 3 \* \* 8" \(UTC\) cannot be read'),
        ({"cron": "0 3 * * 0", "timezone": "Mars/Base"}, r"\(Mars/Base\) cannot be read"),
        ({"flow": "paint", "on": True}, "no flow 'paint' is deployed: prefect.yaml has ingest, train, "),
    ],
)
def test_refuses_a_schedule_in_a_sentence(deployed, root, asked, sentence):
    before = schedule(root)
    with pytest.raises(ZeromissError, match=sentence) as refused:
        schedule(root, **asked)
    assert "\n" not in str(refused.value)
    assert schedule(root) == before


def test_a_schedule_that_someone_removed_comes_back(deployed, root, api):
    found = next(one for one in ask(api, "deployments/filter") if one["entrypoint"] == "flows.promote.promote")
    from tasks.deployed import server

    with server() as client:
        client.delete_deployment_schedule(found["id"], found["schedules"][0]["id"])
    assert schedule(root, flow="promote") == ["promote/tiny: no schedule"]
    with pytest.raises(ZeromissError, match="promote/tiny has no schedule that --on or --off could switch: say when with --cron"):
        schedule(root, flow="promote", on=True)
    assert schedule(root, flow="promote", cron="0 6 * * *")[0] == 'promote/tiny: schedule "0 6 * * *" (UTC), off'
    assert schedule(root, flow="promote", on=True)[0] == 'promote/tiny: schedule "0 6 * * *" (UTC), on'
    assert schedule(root, flow="promote", on=False)[0] == 'promote/tiny: schedule "0 6 * * *" (UTC), off'


def test_prefects_own_deploy_reads_the_same_file(deployed, root, home, api):
    """It registers the same; the file's schedules it lays over those on the server."""
    schedule(root, cron="0 3 * * 0", timezone="UTC", on=False)
    before = registered(api)
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    subprocess.run(command, cwd=root, env=environment(home, api) | {"ZEROMISS_PRODUCT": "tiny"}, check=True, capture_output=True, timeout=200)
    assert registered(api) == before


def test_a_worker_takes_a_run(deployed, root, home, api):
    """It ingests in the folder that it was started in, and holds that workspace's only slot meanwhile."""
    from PIL import Image

    for number in range(4):
        Image.new("RGB", (64, 64), (40 * number, 90, 20)).save(root / f"{number}.png")
    (root / "images.csv").write_text("path,label\n0.png,normal\n1.png,normal\n2.png,scratch\n3.png,normal\n")
    run = begin(api, "ingest")
    with worker("cpu", root, home, api, "first"):
        last = until(lambda: ended(api, run), 150, "the run ends")
    assert last["type"] == "COMPLETED", (last, (home / "first.log").read_text()[-3000:])
    assert len(list((root / "data/01_raw/tiny/images").iterdir())) == 4
    assert "md5" in (root / "data/01_raw/tiny.dvc").read_text()
    workspaces = {name: taken for name, taken in limits(api).items() if name.startswith("workspace-")}
    assert len(workspaces) == 1 and "-repository-" in next(iter(workspaces)) and set(workspaces.values()) == {0}


def test_without_a_server_the_command_says_so(root, home):
    command = [sys.executable, "-m", "zeromiss.cli", "deploy"]
    done = subprocess.run(command, cwd=root, env=environment(home, ""), capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 2
    assert done.stderr == "zeromiss: deployments and schedules live on a Prefect server: start one (prefect server start) and set PREFECT_API_URL\n"


def test_a_server_that_does_not_answer_is_named(root, home):
    from tasks.deploy import deploy

    with connected(home, "http://127.0.0.1:9/api"), pytest.raises(ZeromissError, match="the Prefect server at http://127.0.0.1:9/api does not answer"):
        deploy(root)


def test_a_key_that_nothing_reads_is_refused(tmp_path):
    from tasks.deployed import read_entries

    (tmp_path / "prefect.yaml").write_text(
        "deployments: [{name: a, entrypoint: b.c, work_pool: {name: cpu}, parameters: {}, tags: [], triggers: []}]", encoding="utf-8"
    )
    with pytest.raises(ZeromissError, match="the deployment of b.c has the key 'triggers', which zeromiss deploy does not read: mend it"):
        read_entries(tmp_path)


def test_a_product_is_filled_in_everywhere_but_in_the_steps_of_a_worker():
    from tasks.deployed import fill_in

    entry = {"name": "{{ $ZEROMISS_PRODUCT }}", "parameters": {"paths": ["in/{{ $ZEROMISS_PRODUCT }}"]}, "pull": [{"x": {"y": "{{ $ZEROMISS_PRODUCT }}"}}]}
    filled = fill_in(entry, "bolt")
    assert filled == {"name": "bolt", "parameters": {"paths": ["in/bolt"]}, "pull": entry["pull"]}
    assert "ZEROMISS_PRODUCT" not in os.environ


@pytest.mark.parametrize(("begun", "refused"), [(1, False), (3, False), (4, True)])
def test_a_run_that_was_lost_three_times_is_not_begun_again(monkeypatch, begun, refused):
    from tasks.at_work import refuse_endless

    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__RUN_COUNT", str(begun))
    if not refused:
        assert refuse_endless() is None
        return
    with pytest.raises(ZeromissError, match="this run was lost 3 times, with its worker or its process"):
        refuse_endless()


def test_a_workspace_has_a_limit_of_its_own(tmp_path):
    from tasks.at_work import workspace_limit

    first, second = workspace_limit(tmp_path / "a" / "repository"), workspace_limit(tmp_path / "b" / "repository")
    assert first != second and first == workspace_limit(tmp_path / "a" / "repository")
    assert not set("/%&<>") & set(first)  # Prefect allows none of them in a name
