"""What a worker would stumble over is told in a sentence before anything starts."""

import shutil
import subprocess
import sys

import pytest

from tests.registry_parts import git
from zeromiss.errors import ZeromissError


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A repository that a worker could take up: one commit, a version of the images, a remote of DVC's."""
    root = tmp_path_factory.mktemp("whole")
    (root / "data/01_raw").mkdir(parents=True)
    (root / "params.yaml").write_text("schema_version: 1\nworkers: gpu\nprofiles: {}\nproducts: {}\n")
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "data/01_raw/tiny.dvc").write_text("outs: []\n")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, check=True)
    (root / ".dvc/config").write_text("[core]\n    remote = shared\n['remote \"shared\"']\n    url = ../remote\n")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "all")
    return root


@pytest.fixture
def pushed(whole, tmp_path, monkeypatch):
    """The same with a git remote that has it."""
    root = tmp_path / "repository"
    shutil.copytree(whole, root)
    subprocess.run(["git", "clone", "-q", "--bare", str(root), str(tmp_path / "bare.git")], check=True)
    git(root, "remote", "add", "origin", str(tmp_path / "bare.git"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///common.db")
    return root


def find(root, workers=None):
    """Look for workers as a run does before its first step."""
    from tasks.handover import find_workers

    return find_workers.fn("tiny", str(root), workers)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda root: (root / "dvc.yaml").write_text("stages:\n"), r"dvc.yaml in .* is not as in commit [0-9a-f]{12}.*: commit and push it"),
        (lambda root: (root / "new.py").touch(), r"new.py in .* is not as in commit"),
        (lambda root: git(root, "commit", "-q", "--allow-empty", "-m", "mine"), "is on no branch of a git remote.*: git push$"),
        (lambda root: git(root, "remote", "remove", "origin"), "has no git remote that a worker could fetch commit"),
        (lambda root: git(root, "rm", "-q", "--cached", "data/01_raw/tiny.dvc"), r"data/01_raw/tiny.dvc and 1 more in .* is not as in commit"),
    ],
)
def test_a_commit_that_a_worker_cannot_take_up_is_refused(pushed, spoil, sentence):
    spoil(pushed)
    with pytest.raises(ZeromissError, match=sentence):
        find(pushed)


def test_images_that_git_knows_no_version_of_are_refused(pushed):
    git(pushed, "rm", "-q", "data/01_raw/tiny.dvc")
    git(pushed, "commit", "-q", "-m", "no images")
    git(pushed, "push", "-q", "origin", "HEAD")
    with pytest.raises(ZeromissError, match="data/01_raw/tiny.dvc is not in git.*: zeromiss ingest tiny, then commit and push it"):
        find(pushed)


def test_a_missing_remote_of_dvcs_is_refused(pushed):
    (pushed / ".dvc/config").write_text("")
    git(pushed, "commit", "-q", "-am", "no remote")
    git(pushed, "push", "-q", "origin", "HEAD")
    with pytest.raises(ZeromissError, match="DVC has no default remote in .*: dvc remote add -d NAME ADDRESS"):
        find(pushed)


def test_without_a_common_tracking_server_it_is_refused(pushed, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(ZeromissError, match="this machine has no MLFLOW_TRACKING_URI"):
        find(pushed)


def test_without_a_prefect_server_it_is_refused(pushed):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings(restore_defaults={PREFECT_API_URL}), pytest.raises(ZeromissError, match="work pool gpu .*: set PREFECT_API_URL"):
        find(pushed)


def test_a_run_begins_with_nothing_where_it_is_refused(small, prefect_server, monkeypatch):
    from flows import train

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{small / 'mlruns/mlflow.db'}")
    with pytest.raises(ZeromissError, match=r"data/01_raw/tiny.dvc is not in git"):
        train.run("tiny", small, workers="gpu")
    assert not (small / "calls.txt").exists()


def test_local_keeps_the_stages_here_whatever_params_say(pushed):
    assert find(pushed, "local") is None


def test_a_lock_file_that_a_run_has_written_is_no_change(pushed):
    from tasks.commits import shared_commit

    (pushed / "dvc.lock").write_text("schema: '2.0'\n")
    assert shared_commit("tiny", pushed) == git(pushed, "rev-parse", "HEAD").decode().strip()


def test_a_commit_pushed_from_elsewhere_is_found(pushed, tmp_path):
    from tasks.commits import shared_commit

    subprocess.run(["git", "clone", "-q", str(tmp_path / "bare.git"), str(tmp_path / "other")], check=True)
    git(tmp_path / "other", "commit", "-q", "--allow-empty", "-m", "theirs")
    git(tmp_path / "other", "push", "-q", "origin", "HEAD")
    subprocess.run(["git", "fetch", "-q", str(tmp_path / "bare.git"), "HEAD"], cwd=pushed, check=True)
    git(pushed, "checkout", "-q", "FETCH_HEAD")
    assert shared_commit("tiny", pushed) == git(tmp_path / "other", "rev-parse", "HEAD").decode().strip()


class TestWorker:
    """A worker's clone comes to the commit, or says why not."""

    @pytest.fixture
    def clone(self, pushed, tmp_path):
        """A clone that a worker has for itself."""
        subprocess.run(["git", "clone", "-q", str(tmp_path / "bare.git"), str(tmp_path / "clone")], check=True)
        return tmp_path / "clone"

    def test_it_fetches_what_was_pushed_since_and_drops_the_lock_of_its_last_stage(self, pushed, clone):
        from tasks.commits import take_commit

        (clone / "dvc.lock").write_text("of its last stage\n")
        (pushed / "dvc.lock").write_text("of the commit\n")
        git(pushed, "add", "-A")
        git(pushed, "commit", "-q", "-m", "a lock")
        git(pushed, "push", "-q", "origin", "HEAD")
        commit = git(pushed, "rev-parse", "HEAD").decode().strip()
        take_commit(clone, commit)
        assert (clone / "dvc.lock").read_text() == "of the commit\n"
        assert git(clone, "rev-parse", "HEAD").decode().strip() == commit

    def test_a_commit_that_nobody_pushed_is_refused(self, pushed, clone):
        from tasks.commits import take_commit

        git(pushed, "commit", "-q", "--allow-empty", "-m", "mine")
        with pytest.raises(ZeromissError, match="is in none of the git remotes of the worker's clone .*: git push it first"):
            take_commit(clone, git(pushed, "rev-parse", "HEAD").decode().strip())

    def test_somebodys_changes_are_not_lost(self, pushed, clone):
        from tasks.commits import take_commit

        (clone / "params.yaml").write_text("mine\n")
        with pytest.raises(ZeromissError, match="params.yaml is changed in the worker's clone .*: give the worker a clone of its own"):
            take_commit(clone, git(pushed, "rev-parse", "HEAD").decode().strip())
        assert (clone / "params.yaml").read_text() == "mine\n"
