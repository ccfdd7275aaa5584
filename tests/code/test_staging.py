"""Folders that processes build side by side: each is whole, none is another's, and only what nobody holds is cleaned up."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from zeromiss.images.staging import Staging, recover

FORK = multiprocessing.get_context("fork")


def replace_again_and_again(target, owner, together):
    """Put a folder of one's own in the same place, again and again."""
    for turn in range(20):
        together.wait(60)
        with Staging(target) as staging:
            for number in range(3):
                staging.write(f"{number}.txt", f"{owner} {turn}")
            staging.swap()


def test_of_many_that_replace_one_folder_the_last_stays_and_it_is_whole(tmp_path):
    together = FORK.Barrier(4)
    started = [FORK.Process(target=replace_again_and_again, args=(tmp_path / "it", owner, together)) for owner in range(4)]
    for one in started:
        one.start()
    for one in started:
        one.join(60)
    assert [one.exitcode for one in started] == [0] * 4
    assert os.listdir(tmp_path) == ["it"]
    assert sorted(os.listdir(tmp_path / "it")) == ["0.txt", "1.txt", "2.txt"]
    assert len({(tmp_path / "it" / f"{number}.txt").read_text() for number in range(3)}) == 1


def die_within(target, moment):
    """Be killed while a folder is built, or between the two steps of a swap."""
    with Staging(target) as staging:
        staging.write("a.txt", "new")
        if moment == "swap":
            rename = Path.rename
            Path.rename = lambda self, place: (rename(self, place), self == target and os.kill(os.getpid(), signal.SIGKILL))
            staging.swap()
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("moment", ["building", "swap"])
def test_what_a_killed_process_left_goes_and_what_it_moved_aside_comes_back(tmp_path, moment):
    with Staging(tmp_path / "it") as staging:
        staging.write("a.txt", "old")
        staging.swap()
    killed = FORK.Process(target=die_within, args=(tmp_path / "it", moment))
    killed.start()
    killed.join(30)
    assert killed.exitcode == -signal.SIGKILL
    assert (tmp_path / "it").exists() is (moment == "building") and len(os.listdir(tmp_path)) == (2 if moment == "building" else 1)
    recover(tmp_path)
    assert os.listdir(tmp_path) == ["it"] and (tmp_path / "it" / "a.txt").read_text() == "old"


def test_what_a_living_process_builds_is_left_alone(tmp_path):
    with Staging(tmp_path / "it") as first:
        first.write("a.txt", "first")
        with Staging(tmp_path / "it") as second:
            second.write("a.txt", "second")
            recover(tmp_path)
            assert second.swap() == tmp_path / "it"
        assert (first.folder / "a.txt").read_text() == "first"
        assert first.claim() == tmp_path / "it-2"
    assert {name: (tmp_path / name / "a.txt").read_text() for name in os.listdir(tmp_path)} == {"it": "second", "it-2": "first"}


def test_a_name_of_any_length_and_any_bytes_can_be_built(tmp_path):
    target = tmp_path / os.fsdecode(b"\xff" + b"x" * 254)
    for text in ("1", "2"):
        with Staging(target) as staging:
            staging.write("a.txt", text)
            staging.swap()
    assert os.listdir(tmp_path) == [target.name] and (target / "a.txt").read_text() == "2"
