"""What is remembered of files, by processes or without: the same digests, and nothing trusted that changed."""

import hashlib
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zeromiss.errors import ZeromissError
from zeromiss.images import known as memory
from zeromiss.images import workers
from zeromiss.images.digests import Signature, copy, digest, digest_for_dvc, preserve, signature
from zeromiss.images.staging import locked
from zeromiss.images.workers import work
from zeromiss.workspace import Workspace

LONG_AGO = 10**18


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three files of different sizes, to be relied on as if they had not changed for years."""
    monkeypatch.setattr(memory, "SETTLED", -LONG_AGO)
    paths = [tmp_path / name for name in ("empty", "small", "large")]
    for path, data in zip(paths, (b"", b"abc", bytes(range(256)) * 10_000), strict=True):
        path.write_bytes(data)
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
    return [str(path) for path in paths]


def test_digests_are_those_of_hashlib(files: list[str]) -> None:
    for path, found, plain in zip(files, digest_for_dvc(files), digest(files), strict=True):
        data = Path(path).read_bytes()
        assert found.sha256 == plain.sha256 == hashlib.sha256(data).hexdigest()
        assert (found.md5, plain.md5) == (hashlib.md5(data).hexdigest(), "")
        stat = os.stat(path)
        assert found.signature == Signature(len(data), LONG_AGO, stat.st_ino, stat.st_ctime_ns)


def test_copies_are_equal_and_known(files: list[str], tmp_path: Path) -> None:
    jobs = [(path, f"{path}.copy", known.sha256) for path, known in zip(files, digest(files), strict=True)]
    for (path, place, sha256), found in zip(jobs, copy(jobs), strict=True):
        assert Path(place).read_bytes() == Path(path).read_bytes()
        assert (found.sha256, found.signature) == (sha256, signature(os.stat(place)))
        assert found.md5 == hashlib.md5(Path(path).read_bytes()).hexdigest()


def test_a_source_that_changed_is_not_copied_in_silence(files: list[str]) -> None:
    with pytest.raises(ZeromissError, match="small changed while it was being copied: ingest it when nothing writes"):
        copy([(files[1], f"{files[1]}.copy", "0" * 64)])


def test_preserved_copies_are_read_only_and_whole(files: list[str]) -> None:
    noted = [signature(os.stat(path)) for path in files]
    preserve([(path, f"{path}.copy", one) for path, one in zip(files, noted, strict=True)])
    for path in files:
        assert Path(f"{path}.copy").read_bytes() == Path(path).read_bytes()
        assert os.stat(f"{path}.copy").st_mode & 0o777 == 0o444


@pytest.mark.parametrize("change", ["longer", "shorter", "touched"])
def test_a_changed_source_is_not_preserved(files: list[str], change: str) -> None:
    noted = signature(os.stat(files[1]))
    {"longer": lambda: Path(files[1]).write_bytes(b"abcd"), "shorter": lambda: Path(files[1]).write_bytes(b"ab"),
     "touched": lambda: os.utime(files[1])}[change]()  # fmt: skip
    with pytest.raises(ZeromissError, match="small changed while it was being versioned"):
        preserve([(files[1], f"{files[1]}.copy", noted)])
    assert sorted(os.listdir(Path(files[1]).parent)) == ["empty", "large", "small"]


def test_processes_give_what_one_gives_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = []
    for number in range(23):
        path = tmp_path / f"{number:02d}"
        path.write_bytes(str(number).encode())
        paths.append(str(path))
    alone = work("zeromiss.images.digests:digest", paths, title="hash", unit="file")
    monkeypatch.setattr(workers, "BATCH", 3)
    monkeypatch.setattr(workers, "_FEW", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    assert work("zeromiss.images.digests:digest", paths, title="hash", unit="file") == alone
    assert [found.sha256 for found in alone[:2]] == [hashlib.sha256(text).hexdigest() for text in (b"0", b"1")]


def test_what_a_process_refuses_is_raised_here(files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "BATCH", 1)
    monkeypatch.setattr(workers, "_FEW", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    jobs = [(path, f"{path}.copy", "" if "small" not in path else "0" * 64) for path in files]
    with pytest.raises(ZeromissError, match="small changed while it was being copied"):
        work("zeromiss.images.digests:copy", jobs, title="copy", unit="file")


def test_a_process_that_died_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "BATCH", 1)
    monkeypatch.setattr(workers, "_FEW", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    code = "import os, signal; die = lambda batch: os.kill(os.getpid(), signal.SIGKILL)"
    (tmp_path / "deadly.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="a worker process died"):
        work("deadly:die", ["a", "b", "c"], title="die", unit="file")


def test_the_lock_lasts_until_the_last_process_is_done(tmp_path: Path) -> None:
    """The parent is killed at once; whoever asks for the lock gets it when nobody writes any more."""
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\n"
        "def job(batch):\n"
        f"    place = pathlib.Path({str(tmp_path)!r})\n"
        "    (place / 'begun').touch(); time.sleep(1); (place / 'done').touch()\n"
        "    return batch\n"
    )
    (tmp_path / "locked").mkdir()
    code = (
        "import os, pathlib; from zeromiss.images import workers; from zeromiss.images.staging import locked\n"
        "workers.BATCH, workers._FEW, os.sched_getaffinity = 1, 0, lambda _: {0, 1}\n"
        f"with locked(pathlib.Path({str(tmp_path / 'locked')!r})) as lock:\n"
        "    workers.work('slow:job', ['a', 'b', 'c'], title='', unit='', keep=(lock,))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(tmp_path)}, stderr=subprocess.DEVNULL)
    while not (tmp_path / "begun").exists():
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    assert not (tmp_path / "done").exists()
    with locked(tmp_path / "locked"):
        assert (tmp_path / "done").exists()


def read(known: memory.Known, paths: list[str], monkeypatch: pytest.MonkeyPatch, *, md5: bool = False) -> list[str]:
    """Read digests and return the names of the files that were opened for it."""
    opened: list[str] = []

    def spy(job: str, items: list[str], **_: object) -> list[object]:
        opened.extend(Path(item).name for item in items)
        return (digest_for_dvc if job.endswith("dvc") else digest)(items)

    monkeypatch.setattr(memory, "work", spy)
    found = known.read(paths, title="hash", md5=md5)
    assert [one.sha256 for one in found] == [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths]
    return opened


def test_only_changed_files_are_read_again(files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(root=tmp_path / "workspace")
    known = memory.load(workspace, "part")
    assert read(known, files, monkeypatch) == ["empty", "small", "large"]
    known.save()
    known = memory.load(workspace, "part")
    assert read(known, files, monkeypatch) == []
    assert memory.all_unchanged(known.file)
    Path(files[1]).write_bytes(b"xyz")  # as long as before
    os.utime(files[1], ns=(LONG_AGO, LONG_AGO))  # and by its time as old
    assert not memory.all_unchanged(known.file)
    assert read(known, files, monkeypatch) == ["small"]
    os.replace(files[2], f"{files[2]}.old")  # the same bytes and time in another inode
    Path(files[2]).write_bytes(bytes(range(256)) * 10_000)
    os.utime(files[2], ns=(LONG_AGO, LONG_AGO))
    assert read(known, files, monkeypatch) == ["large"]
    assert read(known, files, monkeypatch) == []
    assert read(known, files, monkeypatch, md5=True) == ["empty", "small", "large"]
    assert read(known, files, monkeypatch, md5=True) == []


def test_a_file_that_was_just_written_is_not_relied_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within one tick of the disk's clock it could change again and look the same."""
    known = memory.load(Workspace(root=tmp_path), "part")
    (tmp_path / "new").write_bytes(b"1")
    assert read(known, [str(tmp_path / "new")], monkeypatch) == ["new"]
    assert read(known, [str(tmp_path / "new")], monkeypatch) == ["new"]


@pytest.mark.parametrize("damage", ["text", "version", "note", "empty"])
def test_a_lost_memory_costs_time_alone(files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    workspace = Workspace(root=tmp_path / "workspace")
    known = memory.load(workspace, "part")
    known.remark("note", {"a": [1]})
    read(known, files, monkeypatch)
    known.save()
    assert memory.load(workspace, "part").notes == {"note": {"a": [1]}}
    if damage in ("text", "empty"):
        known.file.write_bytes(b"no database" if damage == "text" else b"")
    else:
        with sqlite3.connect(known.file) as base:
            base.execute("PRAGMA user_version = 99" if damage == "version" else "UPDATE note SET value = '{'")
    found = memory.load(workspace, "part")
    assert (found.digests, found.notes) == ({}, {})
    assert read(found, files, monkeypatch) == ["empty", "small", "large"]


def test_forgotten_files_are_written_no_more(files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(root=tmp_path / "workspace")
    known = memory.load(workspace, "part")
    read(known, files, monkeypatch)
    known.forget_all_but(files[:1])
    known.save()
    assert list(memory.load(workspace, "part").digests) == files[:1]
    before = known.file.stat().st_ino
    known.save()
    assert known.file.stat().st_ino == before
