"""Checkpoints travel to DVC's remote and back: whole, the furthest one, and gone when the training is done."""

import json
import subprocess
import sys
import threading

import numpy as np
import pytest
from safetensors.numpy import save_file

from zeromiss.errors import ZeromissError


def write_state(path, step):
    """Write a checkpoint as a training would after so many steps."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name("new")
    save_file({"weight": np.full(1000, step, np.float32)}, temporary, {"zeromiss": json.dumps({"step": step})})
    temporary.replace(path)


def repository(root, *settings):
    """Make a repository of DVC's whose default remote is as told."""
    root.mkdir()
    for command in (["init", "-q", "--no-scm"], *settings):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=root, check=True)
    return root


@pytest.fixture(scope="module")
def folder_remote(tmp_path_factory):
    """A folder as DVC's remote."""
    from tasks.checkpoints import remote_storage

    folder = tmp_path_factory.mktemp("folder")
    return remote_storage(repository(folder / "repository", ["remote", "add", "-q", "-d", "shared", str(folder / "remote")]))


@pytest.fixture(scope="module")
def s3_remote(tmp_path_factory):
    """A bucket of an S3 server as DVC's remote."""
    import boto3
    from moto.server import ThreadedMotoServer

    from tasks.checkpoints import remote_storage

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_DEFAULT_REGION", "us-east-1")):
            patch.setenv(name, value)
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket="zeromiss")
        named = ["remote", "add", "-q", "-d", "shared", "s3://zeromiss/dvc"]
        pointed = ["remote", "modify", "-q", "shared", "endpointurl", address]
        yield remote_storage(repository(tmp_path_factory.mktemp("s3") / "repository", named, pointed))
    server.stop()


@pytest.fixture(params=["folder_remote", "s3_remote"])
def remote(request, tmp_path):
    """Two keepers of one training's state, on two machines, the storage between them, and what they said."""
    from tasks.checkpoints import Keeper

    storage, folder = request.getfixturevalue(request.param)
    place, said = storage.join(folder, "checkpoints", tmp_path.name), []
    keepers = [Keeper(tmp_path / name / "vqgan-1.safetensors", storage, place, say=said.append) for name in "bc"]
    return *keepers, storage, said


def test_a_state_goes_there_and_comes_back_on_another_machine(remote):
    first, second, storage, said = remote
    assert second.bring() == 0  # nothing is there yet
    write_state(first.local, 20)
    assert first.send()
    assert not first.send()  # the same state goes once
    assert said == ["its state after 20 steps is in the remote"]
    second.local.parent.mkdir(parents=True)
    assert second.bring() == 20
    assert second.local.read_bytes() == first.local.read_bytes()
    write_state(first.local, 40)
    assert first.send()
    assert second.bring() == 40
    assert [path.name for path in second.local.parent.iterdir()] == ["vqgan-1.safetensors"]


def test_a_state_here_that_is_further_stays(remote):
    first, second, _, _ = remote
    write_state(first.local, 20)
    first.send()
    write_state(second.local, 30)
    assert second.bring() == 30


def test_it_is_sent_while_it_changes_and_gone_when_the_training_is_done(remote):
    from tasks.checkpoints import kept

    first, second, storage, said = remote
    sent = threading.Event()
    first._say = lambda line: (said.append(line), sent.set())
    with kept(first, every=0.0):
        write_state(first.local, 10)
        assert sent.wait(20)
        assert storage.exists(first.remote)
        first.local.unlink()  # as a stage does when it has ended
    assert second.bring() == 0
    assert not storage.exists(first._half)


def test_what_a_stopped_training_had_last_is_sent(remote):
    from tasks.checkpoints import kept

    first, second, _, _ = remote
    with pytest.raises(KeyboardInterrupt), kept(first, every=3600.0):
        write_state(first.local, 10)
        raise KeyboardInterrupt
    second.local.parent.mkdir(parents=True)
    assert second.bring() == 10


def test_a_remote_that_is_away_stops_no_training_and_is_tried_again(remote, monkeypatch):
    from tasks.checkpoints import kept

    first, _, storage, said = remote
    put, away, back = storage.put_file, threading.Event(), threading.Event()

    def fail_once(*arguments):
        if not away.is_set():
            away.set()
            raise ConnectionError("no answer")
        put(*arguments)
        back.set()

    monkeypatch.setattr(storage, "put_file", fail_once)
    with kept(first, every=0.0):
        write_state(first.local, 10)
        assert back.wait(20)
    assert said[0] == f"its state could not be copied to {first.remote} (no answer): it will be tried again"


def test_a_damaged_state_is_refused_by_name(remote):
    first, second, storage, _ = remote
    second.local.parent.mkdir(parents=True)
    first.local.parent.mkdir(parents=True, exist_ok=True)
    storage.makedirs(storage.parent(first.remote), exist_ok=True)
    storage.pipe_file(first.remote, b"half a file")
    with pytest.raises(ZeromissError, match="checkpoint .*vqgan-1.safetensors cannot be read .*: delete it to train anew"):
        second.bring()
    assert list(second.local.parent.iterdir()) == []
