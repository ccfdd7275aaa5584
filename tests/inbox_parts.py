"""A repository with one product, an inbox, and the real ingest without Prefect's engine around its steps."""

import hashlib
import json
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

from tests.workspace_parts import PROFILE, git_and_dvc

PRODUCT = "line"
POINTER = f"data/01_raw/{PRODUCT}.dvc"
STEPS = ("take_images", "version", "commit_pointer", "push_data", "push_commit", "announce", "remove_taken")


def make_repository(root: Path, **ingest: object) -> Path:
    """Make a repository of git and DVC with a product whose `ingest` section says these things."""
    root.mkdir(parents=True)
    said = ", ".join(f"{key}: {json.dumps(value)}" for key, value in {"settle_seconds": 0, **ingest}.items())
    (root / "params.yaml").write_text(f"{PROFILE}  {PRODUCT}: {{profile: quick, size: null, source: {{kind: mvtec, path: none}}, ingest: {{{said}}}}}\n")
    (root / "dvc.yaml").write_text("stages: {}\n")
    git_and_dvc(root)
    for key, value in {"user.name": "t", "user.email": "t@example.com"}.items():
        git(root, "config", key, value)
    return root


def add_remote(root: Path, url: str) -> None:
    """Give DVC a default remote, as `dvc remote add -d store URL` does, and commit that."""
    with (root / ".dvc/config").open("a") as config:
        config.write(f"[core]\n    remote = store\n['remote \"store\"']\n    url = {url}\n")
    git(root, "commit", "-qam", "a remote")


def git(root: Path, *arguments: str) -> str:
    """Run git and return what it prints."""
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def draw(path: Path, number: int, *, side: int = 40) -> Path:
    """Write an image of noise that only `number` decides."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path)
    return path


def fill(inbox: Path, goods: int, dents: int, *, start: int = 0, side: int = 40) -> None:
    """Draw images into an inbox."""
    for number in range(start, start + goods):
        draw(inbox / f"good/{number:04d}.png", number, side=side)
    for number in range(start, start + dents):
        draw(inbox / f"dent/{number:04d}.png", 100_000 + number, side=side)


def without_prefect(events: Path, replace=setattr):
    """Return the flow's work on an inbox as a plain function; events are written to a file, one a line.

    `replace` puts plain functions in the place of Prefect's tasks.
    """
    from flows import raw_images
    from tasks import inbox

    for name in STEPS:
        step = getattr(inbox, name)
        replace(inbox, name, getattr(step, "fn", step))

    def write(event: str, product: str, payload: dict, key: str) -> None:
        with events.open("a") as handle:
            handle.write(json.dumps({"event": event, "product": product, "key": key, **payload}) + "\n")

    replace(inbox, "_emit", write)
    return lambda root, address, push=False: raw_images._from_inbox(PRODUCT, str(root), str(address), push=push)


def sha256_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, by its name."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def committed_images(root: Path) -> dict[str, str]:
    """Return the SHA-256 of every image that git's last commit stands for, read from DVC's cache."""
    from ruamel.yaml import YAML

    cache = root / ".dvc/cache/files/md5"
    oid = YAML(typ="safe").load(git(root, "show", f"HEAD:{POINTER}"))["outs"][0]["md5"]
    listed = json.loads((cache / oid[:2] / oid[2:]).read_text())
    return {one["relpath"]: hashlib.sha256((cache / one["md5"][:2] / one["md5"][2:]).read_bytes()).hexdigest() for one in listed if one["relpath"].startswith("images/")}
