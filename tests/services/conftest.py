"""The whole set of services, started once a session in a folder of its own on free ports, and stopped at its end."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.services.together import down, up


@dataclass(frozen=True, kw_only=True)
class Services:
    """A running set: its folder, what `up` said of each part, and the variables that lead clients to it."""

    folder: Path
    lines: list[str]
    env: dict[str, str]

    @property
    def environ(self) -> dict[str, str]:
        """This process's environment with the variables, for a command that is to use the set."""
        return {**os.environ, **self.env}


@pytest.fixture(scope="session")
def service_set():
    """Start the set; where PostgreSQL is missing, every test that asks for it fails with the sentence that says so."""
    from tasks.services.settings import PORTS, read_settings

    top = Path(tempfile.mkdtemp(prefix="zeromiss-services-"))  # pytest's own folders are closed to the user postgres
    top.chmod(0o755)
    folder = top / ".services"
    try:
        lines = list(up(folder, dict.fromkeys(PORTS, 0), root=top))
        yield Services(folder=folder, lines=lines, env=read_settings(folder).environment())
    finally:
        list(down(folder))
        shutil.rmtree(top)


@pytest.fixture
def services(service_set, monkeypatch):
    """The running set, with its variables in this process's environment for the length of a test."""
    for name, value in service_set.env.items():
        monkeypatch.setenv(name, value)
    return service_set
