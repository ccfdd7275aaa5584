"""What is kept of a version's source: enough to make the tree again, or the reason why it is not."""

import hashlib
import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from zeromiss.params import load_product
from zeromiss.registry.source import LARGEST, collect, log_source
from zeromiss.registry.store import prepare
from zeromiss.registry.tracking import act_run
from zeromiss.tables import write_table

POINTER = "outs:\n- md5: 0123abcd.dir\n  path: tiny\n"


def git(root, *arguments):
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    return subprocess.run(["git", *identity, *arguments], cwd=root, capture_output=True, check=True).stdout


@pytest.fixture
def versioned(tracked):
    """The workspace with a committed pointer to raw images and a manifest."""
    tracked.raw("tiny").parent.mkdir(parents=True)
    tracked.raw("tiny").with_suffix(".dvc").write_text(POINTER)
    git(tracked.root, "add", "data/01_raw/tiny.dvc")
    git(tracked.root, "commit", "-q", "-m", "the pointer")
    write_table(tracked.manifest("tiny") / "manifest.parquet", pd.DataFrame({"path": ["a"]}), schema_version=2)
    return tracked


def kept(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_clean_tree_needs_no_patch(tiny, versioned, tmp_path):
    (versioned.root / "dvc.lock").write_text("schema: '2.0'\n")  # untracked, and stored apart
    source = collect(tiny, versioned, tmp_path / "source")
    assert kept(source.folder) == ["dvc.lock", "manifest.parquet", "params.yaml", "tiny.dvc"]
    assert source.tags() == {"source.complete": "true"}
    assert (source.folder / "params.yaml").read_bytes() == versioned.params_file.read_bytes()
    assert (source.folder / "tiny.dvc").read_text() == POINTER


def test_commit_patch_and_untracked_files_make_the_tree_again(tiny, versioned, tmp_path):
    root = versioned.root
    (root / "dvc.lock").write_text("a lock of before\n")
    (root / "gone.txt").write_text("to be deleted\n")
    (root / "picture.bin").write_bytes(bytes(range(256)))
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "more files")
    (root / "dvc.lock").write_text("another lock\n")
    (root / "gone.txt").unlink()
    (root / "picture.bin").write_bytes(bytes(reversed(range(256))))
    (root / "dvc.yaml").write_text("stages: {}  # \xe9dited, without a newline at the end", encoding="utf-8")
    (root / "new f\xf6lder").mkdir()
    (root / "new f\xf6lder/a note.txt").write_text("untracked")
    git(root, "config", "diff.noprefix", "true")
    git(root, "config", "color.diff", "always")

    source = collect(tiny, versioned, tmp_path / "source")
    assert source.tags() == {"source.complete": "true"}
    assert b"dvc.lock" not in (source.folder / "changes.patch").read_bytes()
    assert kept(source.folder / "untracked") == ["new f\xf6lder/a note.txt"]

    git(tmp_path, "clone", "-q", str(root), "clone")
    git(tmp_path / "clone", "apply", str(source.folder / "changes.patch"))
    for name in ("dvc.yaml", "picture.bin", "params.yaml"):
        assert (tmp_path / "clone" / name).read_bytes() == (root / name).read_bytes()
    assert not (tmp_path / "clone/gone.txt").exists()


def test_what_is_missing_is_named(tiny, versioned, tmp_path):
    (versioned.root / "large.bin").write_bytes(b"x" * LARGEST)
    (versioned.root / "just_fits.bin").write_bytes(b"x" * (LARGEST - 1))
    (versioned.root / "link").symlink_to("large.bin")
    source = collect(tiny, versioned, tmp_path / "source")
    assert kept(source.folder / "untracked") == ["just_fits.bin"]
    assert source.tags() == {
        "source.complete": "false",
        "source.missing": "large.bin is not in git and has 1.0 MB; link is no plain file and not in git",
    }


def test_without_versioned_images_or_a_commit_nothing_can_be_made_again(tiny, tracked, tmp_path, monkeypatch):
    missing = collect(tiny, tracked, tmp_path / "one").missing
    assert missing == ["the raw images have no version: data/01_raw/tiny.dvc does not exist"]
    monkeypatch.setenv("PATH", "")
    assert collect(tiny, tracked, tmp_path / "two").missing == [*missing, "there is no git commit"]


def test_weights_given_by_path_must_be_in_git(versioned, tmp_path):
    text = versioned.params_file.read_text().replace("patches: 20}", f"patches: 20, backbone_path: {tmp_path}/own.pth}}")
    versioned.params_file.write_text(text)
    source = collect(load_product(versioned.params_file, "tiny"), versioned, tmp_path / "source")
    assert source.missing == [f"the weights {tmp_path}/own.pth are not in git"]
    assert b"own.pth" in (source.folder / "changes.patch").read_bytes()


def test_the_source_lies_with_the_run_and_its_tags_say_so(tiny, versioned):
    with act_run("register", tiny, versioned) as log:
        tags = log_source(log, tiny, versioned)
    client = prepare(versioned)
    seal = json.loads(Path(client.download_artifacts(log.run_id, "seal/source.json")).read_text())
    assert set(seal["files"]) == {"manifest.parquet", "params.yaml", "tiny.dvc"}
    assert seal["files"]["tiny.dvc"] == hashlib.sha256(POINTER.encode()).hexdigest()
    assert set(tags) == {"source.complete", "seal.source"}
    assert client.get_run(log.run_id).data.tags["source.complete"] == "true"
    names = sorted(one.path for one in client.list_artifacts(log.run_id, "source"))
    assert names == ["source/manifest.parquet", "source/params.yaml", "source/tiny.dvc"]
    [used] = client.get_run(log.run_id).inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest, used.dataset.source_type) == ("tiny", "0123abcd.dir", "dvc")
    assert json.loads(used.dataset.source) == {"path": "data/01_raw/tiny", "md5": "0123abcd.dir"}
