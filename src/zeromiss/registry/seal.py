"""Seals: lists of files with their SHA-256, so that one which changed, went or came later is told by its name."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from zeromiss.files import sha256_file, write_json

if TYPE_CHECKING:
    from zeromiss.registry.tracking import MlflowLog

SCHEMA_VERSION = 1
FOLDER = "seal"  # among the artifacts of the run that registered
SOURCE, MODEL = "source", "model"
META = "registered_model_meta"  # what MLflow writes beside a model whenever it is fetched
How = Literal["missing", "changed", "extra"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A file that is not as it was sealed."""

    file: str
    how: How


def listing(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder by its path in it, but for MLflow's own note and compiled code."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    names = [path.relative_to(folder).as_posix() for path in paths]
    return {name: sha256_file(folder / name) for name in names if name != META}


def log_seal(log: "MlflowLog", what: str, files: Mapping[str, str]) -> dict[str, str]:
    """Log a seal with a run and return the tag with its own SHA-256."""
    with tempfile.TemporaryDirectory() as draft:
        path = Path(draft) / f"{what}.json"
        write_json(path, {"files": dict(files)}, schema_version=SCHEMA_VERSION)
        log.client.log_artifact(log.run_id, str(path), FOLDER)
        return {tag(what): sha256_file(path)}


def compare(stated: Mapping[str, str], found: Mapping[str, str]) -> list[Difference]:
    """Return how the found files differ from the stated ones, by name. Both map a path to its SHA-256."""
    differences = []
    for name in sorted({*stated, *found}):
        if name not in found:
            differences.append(Difference(file=name, how="missing"))
        elif name not in stated:
            differences.append(Difference(file=name, how="extra"))
        elif stated[name] != found[name]:
            differences.append(Difference(file=name, how="changed"))
    return differences


def tag(what: str) -> str:
    """Return the tag that holds a seal's own SHA-256."""
    return f"seal.{what}"
