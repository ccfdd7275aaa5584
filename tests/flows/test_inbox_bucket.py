"""An ingest by the flow itself, from a bucket, with DVC's remote on the same store; Prefect's server hears of it."""

import time

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.inbox_parts import PRODUCT, add_remote, committed_images, fill, git, make_repository, sha256_of


@pytest.fixture(scope="module")
def store():
    """An S3 server on loopback with two buckets, found by the store's own variables."""
    with pytest.MonkeyPatch.context() as patch:
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        url = "http://{}:{}".format(*server.get_host_and_port())
        for name, value in {
            "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1", "NO_PROXY": "127.0.0.1",
        }.items():  # fmt: skip
            patch.setenv(name, value)
        client = boto3.client("s3")
        for bucket in ("camera", "data"):
            client.create_bucket(Bucket=bucket)
        yield client
        server.stop()


def names(store, bucket):
    """Return the names of a bucket's objects."""
    return [one["Key"] for one in store.list_objects_v2(Bucket=bucket).get("Contents", [])]


def heard(event):
    """Return the events of a name that Prefect's server has, once there is one."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        for _ in range(120):
            found = client._client.post("/events/filter", json={"filter": {"event": {"name": [event]}}}).json()["events"]
            if found:
                return found
            time.sleep(0.5)
    return []


def test_a_bucket_is_ingested_by_the_scheduled_flow(prefect_server, store, tmp_path, monkeypatch):
    """Without an argument: params.yaml names the inbox."""
    from flows.raw_images import ingest

    root = make_repository(tmp_path / "repository", remove=True, inbox="s3://camera/line 1")
    monkeypatch.chdir(root)
    add_remote(root, "s3://data/dvc")
    fill(tmp_path / "drawn", 3, 2)
    (tmp_path / "drawn/good/cut.png").write_bytes((tmp_path / "drawn/good/0000.png").read_bytes()[:-9])
    for path in (tmp_path / "drawn").rglob("*.png"):
        store.upload_file(str(path), "camera", f"line 1/{path.relative_to(tmp_path / 'drawn')}")
    store.put_object(Bucket="camera", Key="line 10/good/other.png", Body=b"another line's")
    store.put_object(Bucket="camera", Key="line 1/good/", Body=b"")
    time.sleep(2.1)
    ingest(PRODUCT, str(root))
    drawn = sha256_of(tmp_path / "drawn")
    assert set(committed_images(root).values()) == {digest for name, digest in drawn.items() if "cut" not in name}
    assert names(store, "camera") == ["line 1/good/", "line 1/good/cut.png", "line 10/good/other.png"]
    assert len([name for name in names(store, "data") if name.startswith("dvc/files/md5/")]) == 7
    assert git(root, "log", "-1", "--format=%s") == f"Ingest {PRODUCT}: 5 images (3 good, 2 dent)"
    assert not (root / "data/00_inbox/landing/line").exists()
    (event,) = heard("zeromiss.ingested")
    assert event["resource"]["prefect.resource.id"] == f"zeromiss.product.{PRODUCT}"
    assert event["payload"] == {
        "images": 5, "kinds": {"good": 3, "dent": 2}, "quarantined": 1, "inboxes": ["s3://camera/line 1"],
        "normals": 3, "defects": 2, "commit": git(root, "rev-parse", "HEAD"),
    }  # fmt: skip
    assert [one["payload"]["files"] for one in heard("zeromiss.quarantined")] == [
        {"good/cut.png": "is damaged or truncated (its end marker is missing): replace or remove it"}
    ]


def test_an_object_that_changes_is_another_image_and_one_that_does_not_is_not_fetched_again(store, tmp_path, monkeypatch):
    from zeromiss.images.inbox.place import Bucket, open_place

    store.put_object(Bucket="camera", Key="second/good/a.png", Body=b"one")
    place = open_place("s3://camera/second/")
    (first,) = place.files()
    (landed,) = place.fetch([first], tmp_path)
    assert landed.read_bytes() == b"one" and (first.name, first.size) == ("good/a.png", 3) and abs(first.changed - time.time()) < 60
    monkeypatch.setattr(Bucket, "_fetch", lambda *_: pytest.fail("fetched again"))
    assert place.fetch([first], tmp_path) == [landed]
    store.put_object(Bucket="camera", Key="second/good/a.png", Body=b"two")
    assert place.busy(first) and not place.remove(first)
    (second,) = place.files()
    assert second != first and not place.busy(second)
    assert place.remove(second) and place.files() == []


def test_a_bucket_that_is_not_there_is_told_in_a_sentence(store):
    from zeromiss.errors import ZeromissError
    from zeromiss.images.inbox.place import open_place

    with pytest.raises(ZeromissError, match="the inbox s3://nobody/x is missing"):
        open_place("s3://nobody/x").files()
    assert open_place("s3://camera/nothing yet").files() == []
