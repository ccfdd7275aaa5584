"""Versioned raw images: what is written is what DVC writes, whatever was there, and nothing is lost."""

import os
import shutil
import subprocess
from contextlib import chdir
from pathlib import Path

import pytest

from tests.workspace_parts import git_and_dvc
from zeromiss.errors import ZeromissError


RAW, POINTER = "data/01_raw/tiny", "data/01_raw/tiny.dvc"


def snapshot(folder):
    """Return mode and bytes of every file below a folder, and every folder's mode."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, path.read_bytes() if path.is_file() else None)
        for path in sorted(folder.rglob("*"))
    }


def by_dvc(root, verb, *arguments, **settings):
    """Do what DVC's own command does, in a repository."""
    from dvc.repo import Repo

    with chdir(root), Repo() as repo:
        return getattr(repo, verb)(*arguments, **settings)


def add(root):
    """Add the raw images as the flow's process does."""
    from dvc.repo import Repo

    from tasks import dvc_add

    with chdir(root), Repo() as repo:
        dvc_add.add(repo, RAW)


def fill(raw):
    """Write raw images: in folders, twice the same, empty, and names that are no ASCII."""
    for name, data in {
        "images/a.png": b"first", "images/deep/er/b.png": b"second", "images/again.png": b"first", "images/\u00e4 b.png": b"x" * 3_000_000,
        "masks/empty.png": b"", "index.csv": b"path,label\r\n",
    }.items():  # fmt: skip
        path = raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A repository of git and DVC with raw images."""
    root = tmp_path_factory.mktemp("filled") / "repository"
    root.mkdir()
    fill(root / RAW)
    return git_and_dvc(root)


@pytest.fixture
def root(filled, tmp_path, monkeypatch):
    """A fresh copy of it; the current folder."""
    root = tmp_path / "repository"
    shutil.copytree(filled, root)
    monkeypatch.chdir(root)
    return root


def test_what_is_written_is_what_dvc_add_writes(root, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(root, other)
    add(root)
    by_dvc(other, "add", RAW)
    assert (root / POINTER).read_bytes() == (other / POINTER).read_bytes()
    assert (root / ".gitignore").read_bytes() == (other / ".gitignore").read_bytes()
    assert snapshot(root / ".dvc/cache") == snapshot(other / ".dvc/cache")
    assert len([name for name in snapshot(root / ".dvc/cache") if len(Path(name).parts) == 4]) == 6
    assert snapshot(root / RAW) == snapshot(other / RAW)
    assert by_dvc(root, "status") == {}


def test_dvc_knows_the_files_without_reading_them(root, tmp_path):
    """Its memory of files and of the folder is what `dvc add` leaves for the very same files."""
    from dvc.repo import Repo

    def memory():
        with Repo(str(root)) as repo:
            raw = root / RAW
            files = sorted(str(path) for path in raw.rglob("*") if path.is_file())
            found = {path: (repo.state.hashes[path]) for path in files}
            with repo.state.links as links:
                return found, links[RAW]

    add(root)
    ours = memory()
    with Repo(str(root)) as repo:
        repo.state.hashes.clear()
        repo.state.links.clear()
    by_dvc(root, "add", RAW)
    assert ours == memory()


def test_added_images_join_those_that_are_versioned(root, tmp_path):
    add(root)
    objects = {path: path.stat().st_ino for path in (root / ".dvc/cache").rglob("*") if path.is_file()}
    (root / "data/01_raw/tiny/images/new.png").write_bytes(b"third")
    add(root)
    assert {path: path.stat().st_ino for path in objects} == objects
    assert len([path for path in (root / ".dvc/cache").rglob("*") if path.is_file()]) == len(objects) + 2
    shutil.rmtree(root / RAW)
    by_dvc(root, "checkout", [POINTER])
    assert (root / "data/01_raw/tiny/images/new.png").read_bytes() == b"third"
    assert by_dvc(root, "status") == {}


@pytest.mark.parametrize("damage", ["cut", "gone", "open"])
def test_a_damaged_object_is_written_anew(root, damage):
    """What a crash of the machine can leave: a file without its data, or none at all."""
    add(root)
    whole = snapshot(root / ".dvc/cache")
    victim = next(path for path in (root / ".dvc/cache").rglob("*") if path.is_file() and path.read_bytes() == b"second")
    victim.chmod(0o644)
    if damage == "cut":
        victim.write_bytes(b"")
    elif damage == "gone":
        victim.unlink()
    add(root)
    assert snapshot(root / ".dvc/cache") == whole


def test_a_changed_raw_file_is_read_again(root):
    add(root)
    before = (root / POINTER).read_text()
    path = root / "data/01_raw/tiny/images/a.png"
    path.write_bytes(b"other")
    add(root)
    assert (root / POINTER).read_text() != before
    assert by_dvc(root, "status") == {}


@pytest.mark.parametrize("case", ["ignore rules", "links in the cache", "a link in the folder"])
def test_dvc_does_by_itself_what_is_set_otherwise(root, tmp_path, case):
    other = tmp_path / "other"
    if case == "ignore rules":
        (root / ".dvcignore").write_text("# comment\nagain.png\n")
    elif case == "links in the cache":
        with (root / ".dvc/config").open("a") as config:
            config.write("[cache]\n    type = \"hardlink,copy\"\n")
    else:
        os.symlink(root / ".gitignore", root / "data/01_raw/tiny/images/link.png")
    shutil.copytree(root, other, symlinks=True)
    add(root)
    by_dvc(other, "add", RAW)
    assert (root / POINTER).read_bytes() == (other / POINTER).read_bytes()
    assert snapshot(root / RAW) == snapshot(other / RAW)


@pytest.mark.parametrize("full", ["missing", "empty"])
def test_a_raw_folder_without_images_is_refused_in_one_sentence(root, capfd, full):
    from tasks.pipeline import process
    from tasks.versioning import environment

    raw = root / RAW
    shutil.rmtree(raw)
    if full == "empty":
        raw.mkdir()
    assert process("add", RAW, root, environment()) == 2
    assert capfd.readouterr().err == f"zeromiss: {raw} holds no files: ingest the product's images\n"


def test_the_pointers_are_seen_by_dvc_in_this_repository(root, repository):
    """So that `dvc push` and `dvc pull` take the raw images along."""
    from dvc.repo import Repo

    shutil.copy(repository / ".gitignore", root / ".gitignore")
    add(root)
    ignored = ["data/01_raw/tiny/index.csv", "data/02_manifest/tiny/a.json", "data/01_raw/.tiny.staging/x", ".zeromiss/tiny.sqlite"]
    found = subprocess.run(["git", "check-ignore", POINTER, *ignored], cwd=root, capture_output=True, text=True)
    assert found.stdout.splitlines() == ignored
    with Repo(str(root)) as repo:
        assert [stage.addressing for stage in repo.index.stages] == [POINTER]


def test_versioned_is_told_without_dvc(root, monkeypatch):
    from tasks.versioned import is_versioned
    from zeromiss.images import known
    from zeromiss.workspace import Workspace

    workspace = Workspace(root=root)
    assert not is_versioned(workspace, "tiny")
    monkeypatch.setattr(known, "SETTLED", -(10**18))  # as if the files had been there for long
    add(root)
    assert is_versioned(workspace, "tiny")
    victim = next(path for path in (root / ".dvc/cache").rglob("*") if path.is_file() and path.read_bytes() == b"second")
    kept = victim.rename(root / "kept")
    assert not is_versioned(workspace, "tiny")
    kept.rename(victim)
    assert is_versioned(workspace, "tiny")
    (root / ".dvc/config").write_text("[core]\n    autostage = false\n")
    assert not is_versioned(workspace, "tiny")
    add(root)
    assert is_versioned(workspace, "tiny")
    (root / POINTER).write_text("outs: []\n")
    assert not is_versioned(workspace, "tiny")


@pytest.mark.parametrize("what", ["a zombie's", "half of a list"])
def test_what_a_killed_process_left_of_dvcs_locks_stops_nobody(root, what):
    """A zombie: killed, and nobody has waited for it."""
    import json
    import sys

    from tasks.dvc_process import main

    with subprocess.Popen([sys.executable, "-c", ""]) as killed:
        os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
        info = {"pid": killed.pid, "cmd": "killed"}
        lock = json.dumps({"read": {f"{root / RAW}/images": [info]}, "write": {str(root / RAW): info}})
        (root / ".dvc/tmp").mkdir(exist_ok=True)
        (root / ".dvc/tmp/rwlock").write_text(lock if what == "a zombie's" else lock[:40])
        assert main(["add", RAW]) == 0
    assert (root / POINTER).is_file()
