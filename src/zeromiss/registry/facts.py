"""Where a run came from: commit, lock file, data and parameters, as short strings."""

import subprocess
from typing import Any

from ruamel.yaml import YAML

from zeromiss.files import sha256_file
from zeromiss.params import Product
from zeromiss.registry.machine import machine
from zeromiss.workspace import Workspace

NONE = "none"


def provenance(product: str, workspace: Workspace) -> dict[str, str]:
    """Return the tags every run and every registered model bears; what is not there yet is `none`.

    `git.dirty` leaves dvc.lock out: a run writes it, and it has a tag of its own.
    """
    lock = workspace.root / "dvc.lock"
    return {
        "product": product,
        "git.commit": _git(workspace, "rev-parse", "HEAD") or NONE,
        "git.dirty": str(bool(_git(workspace, "status", "--porcelain", "--", ".", ":!dvc.lock"))).lower(),
        "dvc.lock": sha256_file(lock) if lock.is_file() else NONE,
        "data.md5": data_hash(product, workspace),
        **machine(),
    }


def data_hash(product: str, workspace: Workspace) -> str:
    """Return the hash DVC gave the product's raw images, `none` before they are versioned."""
    pointer = workspace.raw(product).with_suffix(".dvc")
    if not pointer.is_file():
        return NONE
    return pointer_hash(pointer.read_text(encoding="utf-8"))


def pointer_hash(text: str) -> str:
    """Return the hash in the text of a DVC pointer."""
    return str(YAML(typ="safe").load(text)["outs"][0]["md5"])


def flat_params(product: Product, sections: tuple[str, ...] | None = None) -> dict[str, str]:
    """Return seed, size, profile, detectors and the given sections (all of the product's) as `section.key` -> text."""
    values: dict[str, Any] = {"profile": product.profile, "seed": product.seed, "size": product.size.plain}
    values["detectors"] = ", ".join(product.detectors)
    for section in product.sections if sections is None else sections:
        values |= {f"{section}.{key}": value for key, value in getattr(product, section).model_dump().items()}
    return {key: str(value) for key, value in values.items()}


def git_output(workspace: Workspace, *arguments: str) -> bytes | None:
    """Return what git prints in the workspace, None where there is no git, no repository or no answer."""
    try:
        done = subprocess.run(["git", *arguments], cwd=workspace.root, capture_output=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _git(workspace: Workspace, *arguments: str) -> str:
    """Return what git prints as text, empty where there is no git or no commit."""
    return (git_output(workspace, *arguments) or b"").decode("utf-8", "replace").strip()
