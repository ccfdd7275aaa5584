"""A commit's files and data in a folder of their own: what git and DVC give back, and what is refused."""

import os
import shutil
import subprocess

import pytest

from tests.workspace_parts import git_and_dvc
from zeromiss.errors import ZeromissError

RAW, OUT = "data/01_raw/p", "data/02_manifest/p"
PIPELINE = """stages:
  bundle:
    foreach: [p]
    do:
      cmd: mkdir -p data/07_bundle/p data/11_runs && cp data/02_manifest/p/text data/07_bundle/p && echo > data/11_runs/p
      deps: [data/02_manifest/p]
      outs: [data/07_bundle/p, data/11_runs/p]
  manifest:
    foreach: [p]
    do:
      cmd: mkdir -p data/02_manifest/p && cp data/01_raw/p/a/text data/02_manifest/p
      deps: [data/01_raw/p]
      outs: [data/02_manifest/p]
  report:
    foreach: [p]
    do:
      cmd: cp data/07_bundle/p/text data/08
      deps: [data/07_bundle/p]
      outs: [data/08]
"""


def git(root, *arguments):
    """Run git in the repository and return what it prints."""
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    return subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def cached(root):
    """Return every object of the repository's cache."""
    return {path: path.stat().st_mtime_ns for path in (root / ".dvc/cache").rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A repository whose two stages have run, with a remote that holds all, and what a hook does."""
    from dvc.repo import Repo

    root = tmp_path_factory.mktemp("made") / "repository"
    (root / RAW / "a").mkdir(parents=True)
    (root / RAW / "a/text").write_text("raw")
    (root / RAW / "index.csv").write_text("path\n")
    (root / "dvc.yaml").write_text(PIPELINE)
    git_and_dvc(root)
    here = os.getcwd()
    os.chdir(root)
    try:
        with (root / ".dvc/config").open("a") as config:
            config.write(f"[core]\n    remote = far\n['remote \"far\"']\n    url = {root.parent / 'far'}\n")
        with Repo() as repo:
            repo.add(RAW)
            repo.reproduce("bundle@p")
            repo.push()
    finally:
        os.chdir(here)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "made")
    hook = root / ".git/hooks/post-checkout"
    hook.write_text("#!/bin/sh\ntouch hooked\n")
    hook.chmod(0o755)
    return root


@pytest.fixture
def root(made, tmp_path):
    """A fresh copy of it, below a folder of its own."""
    return shutil.copytree(made, tmp_path / "repository", symlinks=True)


@pytest.fixture
def code(root):
    """A worktree of the commit."""
    from tasks.worktree import add_worktree

    return add_worktree(root, root / ".zeromiss/rebuild/p-1/code", git(root, "rev-parse", "HEAD"))


@pytest.fixture
def far(made):
    """The remote's folder; a test may move it away."""
    yield made.parent / "far"
    if (made.parent / "away").exists():
        shutil.rmtree(made.parent / "far", ignore_errors=True)
        (made.parent / "away").rename(made.parent / "far")


def test_the_stages_are_those_that_lead_to_the_bundle_in_their_order(root, code):
    from tasks.rebuild_data import settings, steps

    found = steps(code, "p", settings(root))
    assert [step.target for step in found] == ["manifest@p", "bundle@p"]
    assert found[1].compared == ("data/07_bundle/p",)  # the other output holds the id of a run
    assert found[0].command == "mkdir -p data/02_manifest/p && cp data/01_raw/p/a/text data/02_manifest/p"
    with pytest.raises(ZeromissError, match="has no stage bundle for 'q'"):
        steps(code, "q", settings(root))


def test_data_come_from_the_repositorys_own_cache_and_change_nothing_there(root, code, far):
    from tasks.rebuild_data import bring, settings

    far.rename(far.with_name("away"))
    before = cached(root)
    assert bring(code, [RAW, OUT], settings(root)) == {}
    assert (code / RAW / "a/text").read_text() == (code / OUT / "text").read_text() == "raw"
    assert cached(root) == before
    assert not (code / ".dvc/cache").exists()
    assert git(root, "status", "--porcelain") == ""


def test_what_the_cache_lacks_is_fetched_from_the_remote(root, code):
    from tasks.rebuild_data import bring, settings

    shutil.rmtree(root / ".dvc/cache")
    assert bring(code, [RAW, OUT], settings(root)) == {}
    assert (code / RAW / "a/text").read_text() == (code / OUT / "text").read_text() == "raw"


@pytest.mark.parametrize("lost", ["all", "the file"])
def test_what_nobody_holds_is_told_and_not_there_in_part(root, code, far, lost):
    from tasks.rebuild_data import bring, settings

    far.rename(far.with_name("away"))
    for path in [path for path in (root / ".dvc/cache").rglob("*") if path.is_file()]:
        if lost == "all" or path.read_bytes() == b"raw":
            path.unlink()
    tail = {"all": "longer holds it", "the file": "longer holds all of it"}[lost]
    assert bring(code, [RAW, OUT, "data/33"], settings(root)) == {
        RAW: f"DVC's cache no {tail}", OUT: f"DVC's cache no {tail}", "data/33": "the version's dvc.lock does not name it"
    }  # fmt: skip
    assert not (code / RAW).exists()


def test_a_worktree_leaves_the_repository_as_it_is_and_goes_without_a_trace(root, code):
    from tasks.worktree import remove_worktree

    (root / "dvc.yaml").write_text("stages: {}\n")  # work that is not committed
    assert (code / "dvc.yaml").read_text() == PIPELINE
    assert not list(root.rglob("hooked"))
    remove_worktree(root, root / ".zeromiss/rebuild/p-1/code")
    assert git(root, "worktree", "list").splitlines() == [git(root, "worktree", "list")]
    assert git(root, "status", "--porcelain") == "M dvc.yaml"


def test_a_worktree_that_was_left_half_made_is_made_anew(root, code):
    from tasks.worktree import add_worktree

    (code / "dvc.yaml").write_text("half")
    (code / "stray").write_text("")
    assert add_worktree(root, code, git(root, "rev-parse", "HEAD")) == code
    assert (code / "dvc.yaml").read_text() == PIPELINE
    assert not (code / "stray").exists()


def test_a_commit_that_is_not_here_is_refused(root):
    from tasks.worktree import add_worktree

    with pytest.raises(ZeromissError, match="commit 012345678901 is not in the repository .*: fetch it with git fetch"):
        add_worktree(root, root / ".zeromiss/x", "0123456789" * 4)


def test_a_patch_is_applied_with_binaries_and_one_that_does_not_fit_is_refused(root, code, tmp_path):
    from tasks.worktree import apply_patch

    (root / "dvc.yaml").write_text(PIPELINE + "# later\n")
    (root / "bytes").write_bytes(bytes(range(256)))
    git(root, "add", "-N", "bytes")
    patch = tmp_path / "changes.patch"
    patch.write_bytes(subprocess.run(["git", "diff", "--binary", "HEAD"], cwd=root, check=True, capture_output=True).stdout)
    apply_patch(code, patch)
    assert (code / "dvc.yaml").read_text().endswith("# later\n")
    assert (code / "bytes").read_bytes() == bytes(range(256))
    with pytest.raises(ZeromissError, match="does not fit the commit"):
        apply_patch(code, patch)


def test_a_stage_gets_its_own_code_and_nothing_that_leads_outside(tmp_path, monkeypatch):
    from tasks.rebuild import environment

    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "ZEROMISS_PARENT_RUN"):
        monkeypatch.setenv(name, "outside")
    monkeypatch.setenv("ZEROMISS_CLUSTER", "tcp://far:1")
    monkeypatch.setenv("PYTHONPATH", "/mine")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = environment(tmp_path, {"machine.threads": "1"})
    assert found["PYTHONPATH"] == f"{tmp_path}/src:{tmp_path}:/mine"
    assert found["ZEROMISS_CLUSTER"] == "local"
    assert [name for name in found if name.startswith(("MLFLOW_", "ZEROMISS_"))] == ["ZEROMISS_CLUSTER"]
    assert found["OMP_NUM_THREADS"] == "1"
    assert environment(tmp_path, {"machine.threads": "3"})["OMP_NUM_THREADS"] == "3"
    assert environment(tmp_path, {})["OMP_NUM_THREADS"] == "1"


@pytest.fixture
def registered(root, code, tmp_path):
    """A version of that commit with changes, untracked files, parameters and versions of data."""
    from zeromiss.registry.rebuilt_source import Registered

    source = tmp_path / "source"
    (source / "untracked/new").mkdir(parents=True)
    (source / "untracked/new/file").write_text("untracked")
    for name in ("params.yaml", "dvc.lock", "p.dvc"):
        (source / name).write_text(name)
    (root / "dvc.yaml").write_text(PIPELINE + "# changed\n")
    patch = subprocess.run(["git", "diff", "HEAD"], cwd=root, check=True, capture_output=True).stdout
    (source / "changes.patch").write_bytes(patch)
    return Registered(product="p", version="1", commit="0" * 40, digest="", bundle=tmp_path, source=source, machine={})


def test_a_dirty_tree_comes_back_with_its_changes_and_untracked_files(code, registered):
    from tasks.rebuild import _lay_over

    _lay_over(registered, code)
    assert (code / "dvc.yaml").read_text() == PIPELINE + "# changed\n"
    assert (code / "new/file").read_text() == "untracked"
    assert (code / "params.yaml").read_text() == "params.yaml"
    assert (code / "dvc.lock").read_text() == "dvc.lock"
    assert (code / "data/01_raw/p.dvc").read_text() == "p.dvc"


def test_a_version_without_a_part_of_its_source_is_refused(code, registered):
    from tasks.rebuild import _lay_over
    from zeromiss.registry.rebuilt_source import _refuse

    (registered.source / "p.dvc").unlink()
    with pytest.raises(ZeromissError, match=r"p/1 cannot be made again: the registry has no p\.dvc of it"):
        _lay_over(registered, code)
    complete = {"git.commit": "0" * 40, "source.complete": "true"}
    assert _refuse("p/1", complete) is None
    with pytest.raises(ZeromissError, match="its source is incomplete: big.bin is not in git and has 2.0 MB"):
        _refuse("p/1", complete | {"source.complete": "false", "source.missing": "big.bin is not in git and has 2.0 MB"})
    for tags in ({"git.commit": "0" * 40}, complete | {"git.commit": "none"}):
        with pytest.raises(ZeromissError, match="registered without its source"):
            _refuse("p/1", tags)


def test_code_from_elsewhere_is_refused(code):
    from tasks.rebuild import _check_code

    with pytest.raises(ZeromissError, match="the commit's own code in .* would not run, but .*zeromiss/__init__.py"):
        _check_code(code)  # it has no src folder, so that this installation's would run
    (code / "src/zeromiss").mkdir(parents=True)
    (code / "src/zeromiss/__init__.py").write_text("")
    assert _check_code(code) is None


def test_the_terminal_names_every_thing_in_lines_of_a_hundred_columns():
    from flows.rebuild import words

    def entry(name, status, detail):
        return {"name": name, "status": status, "detail": detail}

    result = {
        "compared": [entry("weights", "equal", "bit for bit"), entry("families", "equal but for seconds", "9 values"), entry("x", "differs", "y" * 99)],
        "machine": [{"name": "torch", "was": "1", "is": "2"}],
        "kept": None,
        "sentence": "differs: x",
    }  # fmt: skip
    lines = words(result)
    assert lines[0] == "weights              equal        bit for bit"
    assert lines[1] == "families             equal        9 values, but for the seconds it tells"
    assert len(lines[2]) == 100
    assert lines[2].endswith("y...")
    assert lines[3:] == ["made with another    torch: was 1, is 2", "differs: x"]
