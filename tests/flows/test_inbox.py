"""An ingest from an inbox, with git, DVC, remotes, a bucket and Prefect: what is committed, pushed, told and removed."""

import json
import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir

import pytest
from dvc.repo import Repo

from tasks import inbox as inbox_steps
from tasks.failure import StageFailed
from tests.inbox_parts import POINTER, PRODUCT, add_remote, committed_images, draw, fill, git, make_repository, sha256_of, without_prefect
from zeromiss.errors import ZeromissError

@pytest.fixture
def ingest(tmp_path, monkeypatch):
    """Return a function that ingests; with `refused` it returns the refusal, which fails the test otherwise."""
    run = without_prefect(tmp_path / "events", monkeypatch.setattr)

    def act(root, inbox, *, push=False, refused=False):
        monkeypatch.chdir(root)
        if not refused:
            return run(root, inbox, push)
        with pytest.raises((ZeromissError, StageFailed)) as caught:
            run(root, inbox, push)
        return str(caught.value)

    return act


@pytest.fixture
def events(tmp_path):
    """Return a function that reads the events told."""
    path = tmp_path / "events"
    return lambda: [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def settle():
    """Wait until files are old enough to be known by their times."""
    time.sleep(2.1)


def test_what_came_is_committed_pushed_told_and_removed(tmp_path, ingest, events, capfd):
    """Data to DVC's remote, the commit to git's, beside changes of a person that are staged and are none of its business."""
    root, inbox = make_repository(tmp_path / "repository", remove=True), tmp_path / "inbox"
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "origin.git")], check=True)
    git(root, "remote", "add", "origin", str(tmp_path / "origin.git"))
    add_remote(root, tmp_path / "store")
    (root / "mine.txt").write_text("staged")
    git(root, "add", "mine.txt")
    fill(inbox, 3, 2)
    draw(inbox / "loose.png", 7)
    (inbox / "good/cut.png").write_bytes((inbox / "good/0000.png").read_bytes()[:-9])
    drawn = sha256_of(inbox)
    settle()
    ingest(root, inbox, push=True)
    assert git(root, "log", "-1", "--format=%B") == (
        f"Ingest {PRODUCT}: 5 images (3 good, 2 dent)\n\nFrom {inbox}\nPut into quarantine: 1 file\nRaw data now: 3 normal and 2 defective"
    )
    assert git(root, "show", "--name-only", "--format=", "HEAD") == POINTER
    assert git(root, "status", "--porcelain") == "A  mine.txt"
    assert set(committed_images(root).values()) == {digest for name, digest in drawn.items() if name.startswith(("good/0", "dent/"))}
    head = git(root, "rev-parse", "HEAD")
    assert git(root, "--git-dir", str(tmp_path / "origin.git"), "rev-parse", git(root, "symbolic-ref", "HEAD")) == head
    stored = {path.parent.name + path.name for path in (tmp_path / "store").rglob("*") if path.is_file()}
    cached = {path.parent.name + path.name for path in (root / ".dvc/cache/files/md5").rglob("*") if path.is_file()}
    assert stored == cached and len(stored) == 7
    assert sorted(sha256_of(inbox)) == ["good/cut.png", "loose.png"]
    assert "5 images removed from the inbox: their committed copies were read back" in capfd.readouterr().out
    first, second = events()
    assert {key: first[key] for key in ("event", "images", "kinds", "quarantined", "inboxes", "normals", "defects", "commit")} == {
        "event": "zeromiss.ingested", "images": 5, "kinds": {"good": 3, "dent": 2}, "quarantined": 1, "inboxes": [str(inbox)],
        "normals": 3, "defects": 2, "commit": head,
    }  # fmt: skip
    assert second["event"] == "zeromiss.quarantined" and list(second["files"]) == ["good/cut.png"]
    ingest(root, inbox, push=True)
    assert git(root, "rev-parse", "HEAD") == head and len(events()) == 2


def test_an_inbox_keeps_its_images_unless_the_product_says_otherwise(tmp_path, ingest):
    root, inbox = make_repository(tmp_path / "repository"), tmp_path / "inbox"
    fill(inbox, 1, 1)
    before = sha256_of(inbox)
    settle()
    ingest(root, inbox)
    assert sha256_of(inbox) == before and len(committed_images(root)) == 2


@pytest.mark.parametrize("damage", ["the copy is another", "the copy is gone", "the pointer is not committed", "the file changed"])
def test_nothing_leaves_the_inbox_without_a_whole_committed_copy(tmp_path, ingest, monkeypatch, damage):
    root, inbox = make_repository(tmp_path / "repository", remove=True), tmp_path / "inbox"
    fill(inbox, 2, 0)
    settle()
    remove, tried = inbox_steps.remove_taken, []

    def damaged(*arguments):
        victim = next(path for path in (root / ".dvc/cache/files/md5").rglob("*") if path.is_file() and path.read_bytes() == (inbox / "good/0000.png").read_bytes())
        if damage == "the copy is another":
            victim.chmod(0o644)
            victim.write_bytes(victim.read_bytes()[:-1] + b"?")
        elif damage == "the copy is gone":
            victim.unlink()
        elif damage == "the pointer is not committed":
            git(root, "update-ref", "HEAD", "HEAD~1")
        else:
            draw(inbox / "good/0000.png", 55)
        tried.append(damage)
        return remove(*arguments)

    monkeypatch.setattr(inbox_steps, "remove_taken", damaged)
    ingest(root, inbox)
    assert tried and (inbox / "good/0000.png").exists()
    assert (inbox / "good/0001.png").exists() is (damage == "the pointer is not committed")


def test_a_remote_that_fails_keeps_the_inbox_and_the_next_ingest_pushes(tmp_path, ingest, events, capfd):
    root, inbox = make_repository(tmp_path / "repository", remove=True), tmp_path / "inbox"
    (tmp_path / "store").write_text("in the way")
    add_remote(root, tmp_path / "store")
    fill(inbox, 2, 0)
    settle()
    assert "data/01_raw/line could not be pushed to the DVC remote store: " in ingest(root, inbox, refused=True)
    assert "zeromiss: data/01_raw/line could not be pushed to the DVC remote store: " in capfd.readouterr().err
    assert len(committed_images(root)) == len(sha256_of(inbox)) == 2 and events() == []
    (tmp_path / "store").unlink()
    ingest(root, inbox)
    assert sha256_of(inbox) == {} and [line["images"] for line in events()] == [2]
    assert len([path for path in (tmp_path / "store").rglob("*") if path.is_file()]) == 4


def test_an_object_that_the_remote_lost_is_pushed_again(tmp_path, ingest):
    """DVC itself remembers what it pushed and does not look again."""
    root, inbox = make_repository(tmp_path / "repository"), tmp_path / "inbox"
    add_remote(root, tmp_path / "store")
    fill(inbox, 2, 0)
    settle()
    ingest(root, inbox)
    lost = next(path for path in (tmp_path / "store").rglob("*") if path.is_file() and path.read_bytes() == (inbox / "good/0000.png").read_bytes())
    lost.unlink()
    fill(inbox, 1, 0, start=5)
    settle()
    ingest(root, inbox)
    assert lost.is_file() and len([path for path in (tmp_path / "store").rglob("*") if path.is_file()]) == 7


def test_a_push_without_a_remote_says_what_to_do(tmp_path, ingest):
    root, inbox = make_repository(tmp_path / "repository"), tmp_path / "inbox"
    fill(inbox, 1, 0)
    branch = git(root, "symbolic-ref", "--short", "HEAD")
    assert f"the branch {branch} has no remote to push to: git push -u REMOTE {branch} once" in ingest(root, inbox, push=True, refused=True)


def test_raw_images_that_another_machine_moved_on_are_fetched_first(tmp_path, ingest):
    """What `git pull` brought is not overwritten by an ingest that lacks its images."""
    root, inbox = make_repository(tmp_path / "repository"), tmp_path / "inbox"
    add_remote(root, tmp_path / "store")
    fill(inbox, 2, 0)
    settle()
    ingest(root, inbox)
    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(root), str(other))
    for key, value in {"user.name": "t", "user.email": "t@example.com"}.items():
        git(other, "config", key, value)
    fill(tmp_path / "second", 1, 0, start=50)
    settle()
    told = ingest(other, tmp_path / "second", refused=True)
    assert "is not what line.dvc stands for: bring its images here with dvc pull" in told
    with chdir(other), Repo() as repo:
        repo.pull(targets=[POINTER])
    ingest(other, tmp_path / "second")
    assert len(committed_images(other)) == 3
    git(root, "pull", "-q", str(other))
    fill(inbox, 1, 0, start=80)
    assert "is not what line.dvc stands for" in ingest(root, inbox, refused=True)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 160 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "none", str(place)], capture_output=True).returncode != 0:
        pytest.skip("a small disk takes root and the right to mount")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def leave(ballast, free):
    """Fill a disk until so many bytes are free."""
    ballast.unlink(missing_ok=True)
    with ballast.open("wb") as handle:
        os.posix_fallocate(handle.fileno(), 0, shutil.disk_usage(ballast.parent).free - free)


def test_a_full_disk_loses_nothing_and_room_lets_the_next_ingest_finish(small_disk, tmp_path, ingest, monkeypatch):
    """First too little room is left for the images; then somebody fills the disk between them and DVC's copies."""
    root, inbox, ballast = make_repository(small_disk / "repository", remove=True), tmp_path / "inbox", small_disk / "ballast"
    fill(inbox, 6, 0, side=600)
    drawn = set(sha256_of(inbox).values())
    settle()
    leave(ballast, 66 << 20)
    assert "has 66 MiB free and this ingest (the images, and the copy that DVC keeps) needs 77 MiB" in ingest(root, inbox, refused=True)
    version = inbox_steps.version
    ballast.unlink()
    monkeypatch.setattr(inbox_steps, "version", lambda *given: (leave(ballast, 4096), version(*given))[1])
    assert "ended with exit code" in ingest(root, inbox, refused=True)
    assert set(sha256_of(inbox).values()) == drawn
    assert {digest for name, digest in sha256_of(root / "data/01_raw/line").items() if name != "index.csv"} == drawn
    monkeypatch.setattr(inbox_steps, "version", version)
    ballast.unlink()
    ingest(root, inbox)
    assert set(committed_images(root).values()) == drawn and sha256_of(inbox) == {}


def test_two_ingests_at_once_take_turns(tmp_path, ingest, events):
    root, inbox = make_repository(tmp_path / "repository"), tmp_path / "inbox"
    fill(inbox, 10, 5)
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(ingest, root, inbox) for _ in range(2)]:
            done.result()
    assert len(committed_images(root)) == 15 and [line["images"] for line in events()] == [15]


def test_the_lock_of_a_killed_git_is_cleared_and_a_strange_one_is_not(tmp_path, monkeypatch):
    from tasks import git as commits

    root = make_repository(tmp_path / "repository")
    file = root / "params.yaml"
    lock = root / ".git/index.lock"
    lock.write_text("")
    file.write_text(file.read_text() + "# one\n")
    monkeypatch.setattr(commits, "PATIENCE", 0.5)
    with pytest.raises(ZeromissError, match=r"git could not commit params.yaml: .*index.lock"):
        commits.commit_file(root, file, "one", lock=0)
    os.utime(lock, (1, 1))  # older than what we began: somebody else's
    with pytest.raises(ZeromissError, match=r"index.lock"):
        commits.commit_file(root, file, "one", lock=0)
    os.utime(lock)
    commits.commit_file(root, file, "one", lock=0)
    assert git(root, "log", "-1", "--format=%s") == "one" and not lock.exists()


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("kept", [0, 50])
def test_a_pointer_that_was_cut_off_in_the_middle_is_written_anew(tmp_path, ingest, committed, kept):
    """DVC writes it in place, so that a kill may leave nothing of it, or its beginning."""
    root, inbox = make_repository(tmp_path / "repository"), tmp_path / "inbox"
    fill(inbox, 2, 1)
    settle()
    ingest(root, inbox)
    pointer = root / POINTER
    if not committed:
        git(root, "reset", "-q", "--soft", "HEAD~1")
        git(root, "rm", "-q", "--cached", POINTER)
    pointer.write_text(pointer.read_text()[:kept])
    fill(inbox, 1, 0, start=7)
    settle()
    ingest(root, inbox)
    assert set(committed_images(root).values()) == set(sha256_of(inbox).values())
    assert len(committed_images(root)) == 4
