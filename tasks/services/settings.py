"""Where the services keep their data, which ports they answer on, and the passwords between them."""

import json
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeromiss.errors import ZeromissError

PORTS = {"postgres": 15432, "s3": 19000, "mlflow": 5000, "prefect": 4200}
HOST = "127.0.0.1"
_SECRETS = ("postgres", "s3_key", "s3_secret")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One set of services: its folder, its ports by part and its secrets (`postgres`, `s3_key`, `s3_secret`)."""

    folder: Path
    ports: dict[str, int]
    secrets: dict[str, str]

    def url(self, part: str) -> str:
        """Return the HTTP address of a part."""
        return f"http://{HOST}:{self.ports[part]}"

    def database(self, name: str, driver: str) -> str:
        """Return the SQLAlchemy address of a database in PostgreSQL."""
        return f"postgresql+{driver}://zeromiss:{self.secrets['postgres']}@{HOST}:{self.ports['postgres']}/{name}"

    def environment(self) -> dict[str, str]:
        """Return the variables by which clients (Prefect, MLflow, DVC, boto3, psql, pg_dump) find the services."""
        return {
            "PREFECT_API_URL": f"{self.url('prefect')}/api",
            "MLFLOW_TRACKING_URI": self.url("mlflow"),
            "MLFLOW_S3_ENDPOINT_URL": self.url("s3"),
            "AWS_ENDPOINT_URL": self.url("s3"),
            "AWS_ACCESS_KEY_ID": self.secrets["s3_key"],
            "AWS_SECRET_ACCESS_KEY": self.secrets["s3_secret"],
            "AWS_DEFAULT_REGION": "us-east-1",
            "PGHOST": HOST,
            "PGPORT": str(self.ports["postgres"]),
            "PGUSER": "zeromiss",
            "PGPASSWORD": self.secrets["postgres"],
        }


def open_settings(folder: Path, chosen: dict[str, int]) -> Settings:
    """Return the settings in `folder`, made on first use; `chosen` ports (0: a free one) are kept from then on.

    Raises ZeromissError when a port is unknown, out of range or given twice, or a file of the folder is broken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = _read(folder / "ports.json")
    ports = PORTS | kept | {name: port or _free() for name, port in chosen.items()}
    _check(ports, folder / "ports.json")
    if ports != kept:
        _write(folder / "ports.json", ports, mode=0o644)
    drawn = {name: secrets.token_hex(16) for name in _SECRETS}
    known = _read(folder / "secrets.json")
    if drawn | known != known:
        _write(folder / "secrets.json", drawn | known, mode=0o600)
    return read_settings(folder)


def read_settings(folder: Path) -> Settings:
    """Return the settings in `folder` as they are, the usual ports where none are kept.

    Raises ZeromissError when a file of the folder is broken.
    """
    ports = PORTS | _read(folder / "ports.json")
    _check(ports, folder / "ports.json")
    return Settings(folder=folder.resolve(), ports=ports, secrets=dict.fromkeys(_SECRETS, "") | _read(folder / "secrets.json"))


def write_environment(settings: Settings) -> Path:
    """Write the file that a shell sources, readable by its owner alone, and return its path."""
    path = settings.folder / "env"
    lines = [f"export {name}={value}\n" for name, value in settings.environment().items()]
    _write_text(path, "".join(lines), mode=0o600)
    return path


def _check(ports: dict[str, int], file: Path) -> None:
    """Refuse ports that cannot be listened on together."""
    if unknown := sorted(set(ports) - set(PORTS)):
        raise ZeromissError(f"{file} and PORTS know no part {', '.join(unknown)}: the parts with a port are {', '.join(PORTS)}")
    for name, port in ports.items():
        if not isinstance(port, int) or not 0 < port < 65536:
            raise ZeromissError(f"{port} is no port for {name}: give a number from 1 to 65535, or 0 for a free one")
    if len(set(ports.values())) < len(ports):
        raise ZeromissError(f"two parts have the same port in {ports}: give each its own, for example PORTS='mlflow=0'")


def _read(file: Path) -> dict[str, Any]:
    """Return the content of a settings file, empty where there is none."""
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ZeromissError(f"{file} is not valid JSON ({error}): mend it") from None
    if not isinstance(content, dict):
        raise ZeromissError(f"{file} must hold one object of names and values: mend it")
    return content


def _write(file: Path, content: dict[str, Any], *, mode: int) -> None:
    """Write a settings file."""
    _write_text(file, json.dumps(content, indent=2) + "\n", mode=mode)


def _write_text(file: Path, text: str, *, mode: int) -> None:
    """Write a file whole or not at all; nobody else can read it meanwhile."""
    from zeromiss.files import atomic_path

    with atomic_path(file) as temporary:
        temporary.touch(mode=mode)
        temporary.chmod(mode)
        temporary.write_text(text, encoding="utf-8")


def _free() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
