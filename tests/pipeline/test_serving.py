"""`zeromiss serve`, asked over loopback: the Inspector's own bits, limits, refusals in one sentence."""

import base64
import socket
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from tests.serving_parts import as_json, make_versions, refused, served, set_serving
from zeromiss.inspection.inspector import Inspector
from zeromiss.registry import publish
from zeromiss.registry.store import prepare

MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def made(registry_template, tmp_path_factory):
    """A workspace with versions of a tiny product, and the images they were made with."""
    workspace, images = make_versions(tmp_path_factory.mktemp("served"), registry_template)
    set_serving(workspace, threads=2, queue=4, batch_images=4, max_body_mib=1, max_megapixels=2, seconds=6, boxes=3)
    return workspace, images


@pytest.fixture(scope="module")
def client(made):
    """A client of a server of version 1."""
    with served(made[0]) as client:
        yield client


@pytest.fixture(scope="module")
def inspector(made):
    """The bare Inspector of version 1."""
    return Inspector.load(publish.download_bundle(prepare(made[0]), "tiny", "1"), model_name="zeromiss-tiny", model_version="1")


def same(answer, verdict):
    """Whether an answer has every bit of a verdict."""
    boxes = [vars(patch) for patch in verdict.patches[:3]]
    found = [answer[key] for key in ("score", "verdict", "threshold", "probability", "sha256", "width", "height", "boxes", "model")]
    return found == [verdict.score, verdict.verdict, verdict.threshold, verdict.probability, verdict.sha256, verdict.width, verdict.height, boxes, vars(verdict.model)]


def test_json_and_form_give_the_bits_of_the_inspector(client, made, inspector):
    for path in made[1][::3]:
        expected = inspector.inspect(path)
        answers = [client.post("/inspect", json=as_json(path, name="part 7")), client.post("/inspect", files={"image": ("part 7", path.read_bytes())})]
        for answer in answers:
            assert answer.status_code == 200
            assert same(answer.json(), expected)
            assert answer.json()["name"] == "part 7" and 0.0 < answer.json()["seconds"] < 60.0


def test_a_batch_gives_each_image_its_verdict_or_its_error(client, made, inspector):
    good, bad = made[1][0], made[1][5]
    entries = [as_json(good), {"image": "no base64!", "name": "b"}, {"image": base64.b64encode(b"no image").decode(), "name": "c"}, as_json(bad)]
    results = client.post("/inspect/batch", json={"images": entries}).json()["results"]
    assert same(results[0], inspector.inspect(good)) and same(results[3], inspector.inspect(bad))
    assert [one["verdict"] for one in results[1:3]] == ["error", "error"] and [one["status"] for one in results[1:3]] == [400, 422]
    assert results[2]["error"] == "c is not an image that can be read (PNG, JPEG, BMP, TIFF or WebP): replace or remove it"
    form = client.post("/inspect/batch", files=[("images", (path.name, path.read_bytes())) for path in (bad, good)]).json()["results"]
    assert [one["name"] for one in form] == [bad.name, good.name]
    assert same(form[0], inspector.inspect(bad)) and same(form[1], inspector.inspect(good))


def test_version_and_health_say_who_judges(client, made):
    version = prepare(made[0]).get_model_version("zeromiss-tiny", "1")
    found = client.get("/version").json()
    assert (found["product"], found["model"], found["version"]) == ("tiny", "zeromiss-tiny", "1")
    assert (found["run"], found["commit"], found["threshold"]) == (version.run_id, version.tags["git.commit"], 0.4)
    health = client.get("/health")
    assert health.status_code == 200
    rows = health.json()["rows"]
    assert list(rows) == ["kept", "waiting", "dropped", "problem"] and (rows["dropped"], rows["problem"]) == (0, "")
    assert health.json() | {"since": ""} == {
        "live": True, "ready": True, "model": {"name": "zeromiss-tiny", "version": "1"}, "since": "", "images_in_flight": 0, "images_most": 6,
        "refused": None, "registry": "", "rows": rows,
    }  # fmt: skip


def figure(client, name):
    """Return one figure of /metrics, 0 where it is not there yet."""
    lines = [line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines() if not line.startswith("#")]
    return float(dict(lines).get(name, 0.0))


def test_metrics_count_requests_and_verdicts(client, made, inspector):
    path = made[1][0]
    names = [
        'zeromiss_requests_total{outcome="judged",path="/inspect"}', 'zeromiss_requests_total{outcome="refused",path="/inspect"}',
        f'zeromiss_verdicts_total{{verdict="{inspector.inspect(path).verdict}",version="1"}}', 'zeromiss_verdicts_total{verdict="error",version="1"}',
        'zeromiss_request_seconds_count{path="/inspect"}', "zeromiss_judging_seconds_count",
    ]  # fmt: skip
    before = [figure(client, name) for name in names]
    for _ in range(3):
        client.post("/inspect", json=as_json(path))
    client.post("/inspect", files={"image": b"no image"})
    assert [figure(client, name) - old for name, old in zip(names, before, strict=True)] == [3, 1, 3, 1, 3, 3]
    assert client.get("/metrics").headers["content-type"].startswith("text/plain")
    version = client.get("/version").json()
    assert figure(client, f'zeromiss_model_info{{commit="{version["commit"]}",model="zeromiss-tiny",run="{version["run"]}",version="1"}}') == 1
    assert figure(client, "zeromiss_images_in_flight") == 0 and figure(client, "zeromiss_registry_up") == 1


def encoded(image, **options):
    """Return an image as the bytes of a file."""
    from io import BytesIO

    file = BytesIO()
    image.save(file, **options)
    return file.getvalue()


WRONG = {
    "not JSON": (400, "the body is not JSON", {"content": b"{", "headers": {"content-type": "application/json"}}),
    "no image": (400, "the JSON's image is wrong", {"json": {"name": "x"}}),
    "another key": (400, "the JSON's picture is wrong", {"json": {"image": "", "picture": ""}}),
    "a list": (400, "the JSON's value is wrong", {"json": [1]}),
    "no base64": (400, "is not base64", {"json": {"image": "äö"}}),
    "empty": (422, "is not an image that can be read", {"json": {"image": ""}}),
    "another type": (415, "text/plain is not read", {"content": b"x", "headers": {"content-type": "text/plain"}}),
    "no type": (415, "unknown is not read", {"content": b"x"}),
    "a form without a file": (400, "the form has 0 files in the field image", {"files": {"picture": b"x"}}),
    "a form with two": (400, "the form has 2 files", {"files": [("image", b"x"), ("image", b"x")]}),
    "text for a file": (400, "is text: send it as a file", {"data": {"image": "x"}, "files": {"other": b"x"}}),
    "no boundary": (400, "the form cannot be read", {"content": b"x", "headers": {"content-type": "multipart/form-data"}}),
    "torn": (422, "damaged or truncated", {"files": {"image": encoded(Image.new("L", (64, 64)), format="PNG")[:60]}}),
    "too small": (422, "8 x 8 pixels", {"files": {"image": encoded(Image.new("L", (8, 8)), format="PNG")}}),
    "CMYK": (422, "CMYK", {"files": {"image": encoded(Image.new("CMYK", (64, 64)), format="JPEG")}}),
    "too large": (413, "more than 1 MiB", {"files": {"image": b"x" * (MEBIBYTE + 1)}}),
    "far too large": (413, "more than 1 MiB", {"files": {"image": b"x" * (3 * MEBIBYTE)}}),
    "too many pixels": (413, "2000 x 1500 pixels: at most 2 million", {"files": {"image": encoded(Image.new("L", (2000, 1500)), format="PNG")}}),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_gets_one_sentence(client, case):
    status, fragment, request = WRONG[case]
    answer = client.post("/inspect", **request)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert fragment in answer.json()["error"] and "\n" not in answer.json()["error"]
    assert "/tmp" not in answer.json()["error"]  # noqa: S108: no path of the server's


def test_a_batch_of_too_many_or_none_is_refused(client, made):
    entry = as_json(made[1][0])
    assert client.post("/inspect/batch", json={"images": [entry] * 5}).json() == {"error": "the batch has 5 images: send at most 4 at once"}
    for request in ({"json": {"images": []}}, {"files": {"image": b"x"}}, {"json": entry}):
        assert client.post("/inspect/batch", **request).status_code == 400


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/inspect", 405), ("POST", "/health", 405), ("GET", "/docs", 404), ("GET", "/", 404)])
def test_other_paths_are_told_what_there_is(client, method, path, status):
    answer = client.request(method, path)
    assert (answer.status_code, answer.json()["error"].split(":")[0]) == (status, f"{method} {path} is not served")


def bomb(side):
    """Return a valid PNG of side x side black pixels in a file a thousandth as large."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pack = zlib.compressobj(9)
    rows = b"".join([*(pack.compress(bytes(side + 1)) for _ in range(side)), pack.flush()])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("side", "fragment"), [(9000, "9000 x 9000 pixels"), (15000, "more than 170 million pixels")])
def test_a_bomb_is_refused_before_it_goes_off(client, made, side, fragment):
    client.post("/inspect", json=as_json(made[1][0]))
    data, process = bomb(side), psutil.Process(client.process.pid)
    assert len(data) < MEBIBYTE / 2
    before = process.memory_info().rss
    answer = client.post("/inspect", files={"image": data})
    assert answer.status_code == 413 and fragment in answer.json()["error"]
    assert process.memory_info().rss - before < 32 * MEBIBYTE
    assert client.post("/inspect", json=as_json(made[1][0])).status_code == 200


def slow(client, length=1000):
    """Open a connection that has sent a request's head and stays silent."""
    connection = socket.create_connection((client.base_url.host, client.base_url.port))
    head = f"POST /inspect HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    connection.sendall(head.encode())
    return connection


def test_a_full_house_says_when_to_come_again(client, made):
    """Six requests that never arrive hold the six places; when they are told off, there is room again."""
    waiting = [slow(client) for _ in range(6)]
    while client.get("/health").json()["images_in_flight"] < 6:
        pass
    answer = client.post("/inspect", json=as_json(made[1][0]))
    assert answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1
    assert answer.json()["error"].startswith("6 images are judged or wait already: send it again in ")
    large = client.post("/inspect", files={"image": b"x" * (MEBIBYTE // 2)})
    assert large.status_code == 503  # and its sender, still sending, sees it
    for connection in waiting:
        assert connection.recv(200).startswith(b"HTTP/1.1 408 ")
        connection.close()
    assert client.get("/health").json()["images_in_flight"] == 0
    assert client.post("/inspect", json=as_json(made[1][0])).status_code == 200


def test_places_of_senders_that_hang_up_are_free_again(client):
    for connection in [slow(client) for _ in range(3)]:
        connection.close()
    deadline = time.monotonic() + 60
    while client.get("/health").json()["images_in_flight"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert client.get("/health").json()["images_in_flight"] == 0


def test_there_is_nothing_to_serve_without_a_champion(registry_template):
    from zeromiss.workspace import Workspace

    code, out, err = refused(Workspace(root=registry_template))
    assert (code, out) == (2, "")
    assert err.startswith("zeromiss: tiny has no champion to serve: train one with zeromiss run tiny") and err.count("\n") == 1


def test_an_address_that_is_taken_is_told(made):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = refused(made[0], "--port", str(taken.getsockname()[1]))
    assert code == 2 and "cannot be listened at" in err and err.count("\n") == 1


def test_the_command_line_loads_no_server_before_it_is_asked():
    heavy = ("torch", "fastapi", "uvicorn", "starlette", "pydantic", "mlflow", "prometheus_client")
    script = f"import sys, zeromiss.commands; zeromiss.commands.parser(); print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout == "[]\n"
