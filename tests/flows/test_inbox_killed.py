"""An ingest from an inbox that is killed anywhere: the next one finishes it, and no image is ever lost.

The real work of the flow runs in a process of its own, with git and DVC below it, and all of them are ended by SIGKILL:
at the n-th change of a file or start of a process (an audit hook of Python counts them), or after some time, which is
how DVC's and git's own processes are met in the middle.
"""

import json
import os
import random
import subprocess
import sys
import textwrap

import pytest

from tests.inbox_parts import POINTER, committed_images, fill, git, make_repository, sha256_of

DRIVER = textwrap.dedent(
    """
    import json, os, signal, sys, time, traceback
    from pathlib import Path
    from tests.inbox_parts import without_prefect

    CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "subprocess.Popen", "sqlite3.connect"}
    root, inbox, events = map(Path, sys.argv[1:])
    run = without_prefect(events)
    os.chdir(root)

    def child(at):
        os.setsid()
        quiet = os.open(events.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(quiet, 1); os.dup2(quiet, 2)
        count = 0

        def hook(event, arguments):
            nonlocal count
            if event in CHANGES or event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
                count += 1
                if at is not None and count == at:
                    os.killpg(0, signal.SIGKILL)

        sys.addaudithook(hook)
        run(root, inbox)
        os.write(told, str(count).encode())

    for line in sys.stdin:
        order = json.loads(line)
        ours, told = os.pipe()
        started, pid = time.monotonic(), os.fork()
        if pid == 0:
            try:
                child(order.get("event"))
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(told)
        if "seconds" in order:
            time.sleep(order["seconds"])
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        count = int(os.read(ours, 20) or 0)
        os.close(ours)
        print(json.dumps({"status": status, "changes": count, "seconds": time.monotonic() - started}), flush=True)
    """
)


class Camera:
    """A repository, its inbox, and a process that ingests when it is told to."""

    def __init__(self, folder, repository):
        self.root, self.inbox, self.events = make_repository(folder / "repository", remove=True), folder / "inbox", folder / "events"
        self.drawn = {}
        environment = {**os.environ, "DVC_NO_ANALYTICS": "true", "PYTHONPATH": f"{repository / 'src'}{os.pathsep}{repository}"}
        command = [sys.executable, "-c", DRIVER, str(self.root), str(self.inbox), str(self.events)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def photograph(self, goods, dents, *, side=40):
        """Draw images that are complete: their last change lies long ago for the memory of files too."""
        fill(self.inbox, goods, dents, start=len(self.drawn), side=side)
        self.drawn |= {digest: name for name, digest in sha256_of(self.inbox).items()}

    def ingest(self, **order):
        """Ingest, killed as `order` says; return how it ended."""
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def kept(self):
        """Return the SHA-256 of every image that is still in the inbox or behind git's last commit."""
        there = set(sha256_of(self.inbox).values())
        return there | set(committed_images(self.root).values()) if git(self.root, "ls-tree", "--name-only", "HEAD", POINTER) else there


@pytest.fixture(scope="module")
def camera(tmp_path_factory, repository):
    """A camera's inbox with one ingest done, and how many changes of files such an ingest makes."""
    camera = Camera(tmp_path_factory.mktemp("camera"), repository)
    camera.photograph(2, 1)
    assert camera.ingest()["status"] == 0
    camera.photograph(4, 2)
    camera.whole = camera.ingest()
    assert camera.whole["status"] == 0 and camera.whole["changes"] > 30
    yield camera
    camera.process.stdin.close()
    camera.process.wait(timeout=60)


def finished(camera):
    """Let the next ingest run and check that all is where it belongs."""
    assert camera.drawn.keys() <= camera.kept()
    assert camera.ingest()["status"] == 0, camera.events.with_suffix(".log").read_text()[-3000:]
    committed = committed_images(camera.root)
    assert set(committed.values()) == camera.drawn.keys() and len(committed) == len(camera.drawn)
    raw = camera.root / "data/01_raw/line"
    assert {name: digest for name, digest in sha256_of(raw).items() if name.startswith("images/")} == committed
    assert git(camera.root, "status", "--porcelain") == ""
    assert sorted(os.listdir(raw.parent)) == ["line", "line.dvc"]
    assert not (camera.root / ".zeromiss/line.pending.json").exists()


@pytest.mark.parametrize("share", [number / 10 for number in range(10)])
def test_killed_at_a_change_of_a_file(camera, share):
    camera.photograph(4, 2)
    killed = camera.ingest(event=1 + round(share * (camera.whole["changes"] - 1)))
    assert killed["status"] == -9
    finished(camera)


def test_killed_after_any_time_again_and_again_before_one_finishes(camera):
    """Among them are moments at which DVC or git is at work, and workers that hash and copy several hundred images."""
    times = random.Random(0)
    camera.photograph(540, 20, side=32)
    for _ in range(6):
        camera.ingest(seconds=times.uniform(0.02, 1.1 * camera.whole["seconds"]))
        assert camera.drawn.keys() <= camera.kept()
    finished(camera)
    assert not [path for path in camera.inbox.rglob("*.png")]


def test_every_image_was_told(camera):
    """At least once, and the commits told are in git."""
    told = [json.loads(line) for line in camera.events.read_text().splitlines()]
    assert {line["event"] for line in told} == {"zeromiss.ingested"}
    assert sum(line["images"] for line in {line["commit"]: line for line in told}.values()) == len(camera.drawn)
    assert {line["commit"] for line in told} <= set(git(camera.root, "log", "--format=%H").splitlines())
