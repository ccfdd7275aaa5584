"""What a client may do and leave undone: connections, deadlines, memory, text; a server in a thread, no bundle needed."""

import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from PIL import Image

from tests.code.test_serving_judge import SlowMeasurer, ask, make_service
from tests.inspection_parts import grey_file, mean_inspector
from zeromiss.errors import ZeromissError
from zeromiss.serving import connections
from zeromiss.serving.access import read_token, tls_context
from zeromiss.serving.app import make_app
from zeromiss.serving.connections import allow_files
from zeromiss.serving.intake import Arriving, clean, header_size
from zeromiss.serving.server import _bound, _config, _health, _Server, _url
from zeromiss.stage_params import BYTES_PER_PIXEL, ServingParams

MIB = 1 << 20


@contextmanager
def live(service, tls=None):
    """Yield the address of a server of a service, in a thread."""
    params = service.params
    listener = _bound("127.0.0.1", 0, "", params.connections, params.connections_per_client, params, local_only=True)
    place = _url(listener, tls)
    server = _Server(_config(make_app(service, listener), params, tls), listener)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield httpx.URL(place)
    finally:
        server.should_exit = server.force_exit = True
        thread.join(30)


def connect(place, data=b"", source="127.0.0.1"):
    """Open a connection from an address of loopback and send some bytes."""
    connection = socket.create_connection((place.host, place.port), timeout=30, source_address=(source, 0))
    connection.sendall(data)
    return connection


def ended(connection):
    """Whether the server has ended a connection without an answer."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def picture(width, height, mode="L"):
    """Return an image's file."""
    file = BytesIO()
    Image.new(mode, (width, height), 90 if mode == "L" else (90, 80, 70)).save(file, format="PNG", compress_level=1)
    return file.getvalue()


@pytest.mark.parametrize("start", [b"", b"POST /inspect HTTP/1.1\r\nHost: 127.0.0.1\r\n"], ids=["nothing", "half a head"])
def test_a_head_that_does_not_come_ends_the_connection(start):
    """However many bytes trickle in: the time is for the whole head, on a kept connection too."""
    with live(make_service(mean_inspector(), header_seconds=0.5)) as place:
        begun = time.monotonic()
        connection = connect(place, start)
        connection.settimeout(0.1)
        while time.monotonic() - begun < 20:
            try:
                if start:
                    connection.sendall(b"X-A: b\r\n")
                if connection.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert 0.4 < time.monotonic() - begun < 10


def test_a_body_that_stops_is_told_after_the_time_without_a_byte():
    with live(make_service(mean_inspector(), header_seconds=0.5, seconds=20)) as place:
        begun = time.monotonic()
        connection = connect(place, b"POST /inspect HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{")
        answer = connection.recv(2000).decode()
        assert answer.startswith("HTTP/1.1 408 ") and "did not arrive in time (20 s in all, 0.5 s without a byte)" in answer
        assert time.monotonic() - begun < 10


def test_a_client_that_opens_too_many_loses_its_own_oldest(tmp_path):
    """Of three for each client a fourth ends the first; another client's stay, until in all there are too many, when the one with most loses one."""
    with live(make_service(mean_inspector(), connections=4, connections_per_client=3)) as place:
        first = [connect(place, source="127.0.0.2") for _ in range(4)]
        assert ended(first[0])
        others = [connect(place, source=f"127.0.0.{number}") for number in (3, 4)]
        assert ended(first[1])  # the fifth in all
        answer = httpx.post(f"{place}/inspect", files={"image": grey_file(tmp_path / "a.png", 10).read_bytes()}, trust_env=False)
        assert answer.status_code == 200 and ended(first[2])
        for connection in (first[3], *others):
            connection.sendall(b"GET /version HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert connection.recv(20).startswith(b"HTTP/1.1 200 ")


def test_a_request_that_is_whole_is_never_ended_for_another(tmp_path):
    """One image is judged for as long as the test likes; its client has one connection, and the next one has no room."""
    measurer = SlowMeasurer()
    service = make_service(mean_inspector(measurer=measurer), connections_per_client=1, threads=1)
    with live(service) as place:
        found = []
        data = grey_file(tmp_path / "a.png", 10).read_bytes()
        thread = threading.Thread(target=lambda: found.append(httpx.post(f"{place}/inspect", files={"image": data}, trust_env=False, timeout=60)))
        thread.start()
        while not service.judge.taken:
            time.sleep(0.01)
        assert ended(connect(place))
        measurer.may.set()
        thread.join()
    assert found[0].status_code == 200


def test_a_refused_picture_costs_nothing_and_is_told_at_once(tmp_path):
    """50 megapixels have room once in 2 GiB: while one is judged, 12 more are refused, each within 0.1 s of the server's, unpacked by nobody."""
    measurer = SlowMeasurer()
    service = make_service(mean_inspector(measurer=measurer), threads=2)
    service.judge.take(1, 50_000_000 * BYTES_PER_PIXEL)
    data = picture(8000, 6250)
    assert header_size(data) == (8000, 6250)
    with live(service) as place, httpx.Client(base_url=place, trust_env=False, timeout=60) as client:
        took = []
        for _ in range(12):
            begun = time.monotonic()
            answer = client.post("/inspect", files={"image": data})
            took.append(time.monotonic() - begun)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.json()["error"] == "images of 1335 of 2048 MiB (serving.memory_mib) are judged or wait already: send it again in 1 s"
        assert min(took) < 0.1, took
        measurer.may.set()
        assert client.post("/inspect", files={"image": grey_file(tmp_path / "a.png", 10).read_bytes()}).status_code == 200  # a small one has room
    assert (service.judge.taken, round(service.judge.mib)) == (1, 1335)


def test_places_and_memory_are_given_back(tmp_path):
    service = make_service(mean_inspector(), threads=1)
    path = grey_file(tmp_path / "a.png", 10)
    (tmp_path / "b.png").write_bytes(b"no image")
    assert [one.status_code for one in ask(service, path, [("/inspect", "image", 1), ("/inspect/batch", "images", 3)])] == [200, 200]
    assert ask(service, tmp_path / "b.png", [("/inspect", "image", 1)])[0].status_code == 422
    assert (service.judge.taken, service.judge.mib) == (0, 0.0)


def test_health_is_told_beside_a_server_that_is_full_and_stops(tmp_path):
    """One connection is all there is, and its image is judged for as long as the test likes; the listener beside it answers."""
    measurer = SlowMeasurer()
    service = make_service(mean_inspector(measurer=measurer), connections=1, threads=1)
    service.charge.since, service.charge.refused, service.charge.registry = "2031-05-03T12:00:00+00:00", None, ""
    beside = _bound("127.0.0.1", 0, "", 4, 4, service.params, local_only=True)
    data, found = grey_file(tmp_path / "a.png", 10).read_bytes(), []
    with httpx.Client(base_url=_url(beside, None), trust_env=False, timeout=30) as health, _health(service, beside, None), live(service) as place:
        thread = threading.Thread(target=lambda: found.append(httpx.post(f"{place}/inspect", files={"image": data}, trust_env=False, timeout=60)))
        thread.start()
        while not service.judge.taken:
            time.sleep(0.01)
        assert ended(connect(place))
        assert health.get("/health").json() | {"since": ""} == {
            "live": True, "ready": True, "model": {"name": "zeromiss-toy", "version": "7"}, "since": "", "images_in_flight": 1, "images_most": 33,
            "refused": None, "registry": "", "rows": None,
        }  # fmt: skip
        assert "zeromiss_images_in_flight_mib" in health.get("/metrics").text
        assert health.post("/inspect", files={"image": data}).json()["error"] == "POST /inspect is not served: GET /health, /version or /metrics"
        service.stopping = True
        assert health.get("/health").status_code == 503
        measurer.may.set()
        thread.join()
    assert found[0].status_code == 200
    with pytest.raises(OSError):  # noqa: PT011: refused or reset
        connect(httpx.URL(str(health.base_url)))


def test_params_have_room_for_the_largest_picture():
    with pytest.raises(ValueError, match=r"serving.max_megapixels 100 needs serving.memory_mib 2687 or more, and it is 2048"):
        ServingParams(max_megapixels=100)


def test_decoding_takes_no_more_than_is_counted(tmp_path):
    """4 megapixels in colour, in a process of their own: the rise of its largest size in memory, a pixel."""
    script = """
import re, sys
from pathlib import Path
from zeromiss.images.load import load_image, load_picture
peak = lambda: 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
small, large = map(Path, sys.argv[1:])
load_image(small, 64), load_picture(small)
before = peak()
load_image(large, 256), load_picture(large)
print((peak() - before) / 4e6)
"""
    paths = [tmp_path / "small.png", tmp_path / "large.png"]
    paths[0].write_bytes(picture(64, 64, "RGB"))
    paths[1].write_bytes(picture(2000, 2000, "RGB"))
    done = subprocess.run([sys.executable, "-c", script, *paths], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert 12 < float(done.stdout) <= BYTES_PER_PIXEL


def test_bodies_that_arrive_are_bounded_in_all_and_for_each_client():
    """Of 1 MiB each: 16 at once, of one client 8; what is dropped is free again."""
    arriving = Arriving(ServingParams(max_body_mib=1))
    with arriving.of("a") as one, arriving.of("b") as two, arriving.of("c") as three:
        assert [held.add(8 * MIB) for held in (one, two)] == [None, None]
        assert [held.add(1).status for held in (one, two, three)] == [503] * 3
        one.drop()
        assert three.add(MIB) is None and one.add(7 * MIB) is None
    with arriving.of("d") as held:
        assert held.add(8 * MIB) is None


@pytest.mark.parametrize(
    ("body", "status", "fragment"),
    [
        (b'{"images": [' + b"[]," * 1_000_000 + b"[]]}", 413, "more values than 16 images have"),
        (b"{" + b",".join(b'"%d": 1' % number for number in range(500_000)) + b"}", 413, "more values than 16 images have"),
        (b"[" * 8000, 400, "is not JSON"),
        (b'{"image": "", "image": ""}', 400, "a key stands in it twice"),
        ('{"image": "", "name": "ä"}'.encode("latin-1"), 400, "not JSON in UTF-8"),
        ('{"image": ""}'.encode("utf-16"), 400, "not JSON in UTF-8"),
        (b'{"image": "", "name": "\\udc80"}', 400, "the JSON's name is wrong"),
    ],
    ids=["values", "keys", "depth", "twice", "latin-1", "utf-16", "half a pair"],
)
def test_json_that_would_take_long_or_means_two_things_is_refused_soon(body, status, fragment):
    with live(make_service(mean_inspector())) as place:
        begun = time.monotonic()
        for path in ("inspect", "inspect/batch"):
            answer = httpx.post(f"{place}/{path}", content=body, headers={"Content-Type": "application/json"}, trust_env=False, timeout=60)
            assert answer.status_code in (status, 400) and (path != "inspect" or fragment in answer.json()["error"])
        assert time.monotonic() - begun < 5.0  # half a minute each before


def form(*parts, end=b"--b--\r\n"):
    """Return a form of parts (what stands behind form-data; in the disposition, headers, content)."""
    return b"".join(b"--b\r\nContent-Disposition: form-data; " + one + b"\r\n" + more + b"\r\n" + data + b"\r\n" for one, more, data in parts) + end


@pytest.mark.parametrize(
    ("body", "status", "fragment"),
    [
        (form((b'name="images"; filename="a"', b"", b"x"), end=b"--b\r\nContent-Disposition: form-data; name=\"images\"; filename=\"b\"\r\n\r\ncut"), 400, "its end is missing"),
        (form((b'name="images"; filename="a"', b"", b"x"), (b'name="image"; filename="b"', b"", b"x")), 400, "the field image, which is not read"),
        (form((b'name="images"; filename="\xff"', b"", b"x")), 400, "not UTF-8"),
        (form((b'name="images"; filename="a"', b"", b"x"), (b'name="design"', b"", b"\xed\xa0\x80")), 400, "not UTF-8"),
        (form((b'name="images"; filename="a"', b"", b"x"), (b'name="design"', b"Content-Type: text/plain; charset=utf-7\r\n", b"a")), 415, "utf-7 is not read"),
        (form(*[(b'name="images"; filename="a"', b"", b"")] * 2000), 413, "more than 1016 parts"),
        (form(*[(b'name="images"; filename="a"', b"", b"")] * 17), 413, "the batch has 17 images"),
    ],
    ids=["cut", "another field", "name", "surrogate", "part's charset", "parts", "images"],
)
def test_a_form_of_which_a_part_would_be_lost_or_misread_is_refused(body, status, fragment):
    with live(make_service(mean_inspector())) as place:
        answer = httpx.post(f"{place}/inspect/batch", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"}, trust_env=False, timeout=60)
    assert answer.status_code == status and fragment in answer.json()["error"]


def test_a_form_that_takes_long_delays_no_other(monkeypatch):
    """One form is taken apart for as long as the test likes; health is told meanwhile."""
    from zeromiss.serving import intake

    may, began = threading.Event(), threading.Event()
    usual = intake._parts

    def slow(*args):
        began.set()
        assert may.wait(30)
        return usual(*args)

    monkeypatch.setattr(intake, "_parts", slow)
    with live(make_service(mean_inspector())) as place:
        thread = threading.Thread(target=lambda: httpx.post(f"{place}/inspect", files={"image": b"x"}, trust_env=False, timeout=60))
        thread.start()
        assert began.wait(30)
        with httpx.Client(trust_env=False, timeout=10) as client:
            assert client.get(f"{place}/version").json()["version"] == "7"
        may.set()
        thread.join()


@pytest.mark.parametrize(("text", "expected"), [("part 7", "part 7"), ("a\n\x00b", "a��b"), ("\ud800x", "�x"), ("\u202etxt.exe", "�txt.exe"), ("é" * 300, "é" * 255), ("ok👩\u200d🔧", "ok👩\u200d🔧")])
def test_names_are_cleaned(text, expected):
    assert clean(text, 255) == expected
    json.dumps(clean(text, 255)).encode()


def test_too_few_open_files_are_told(monkeypatch):
    told = []
    monkeypatch.setattr(connections.resource, "setrlimit", lambda _, limits: told.append(limits))
    monkeypatch.setattr(connections.resource, "getrlimit", lambda _: (256, 2048))
    allow_files(512 + 64)
    assert told == [(576 + 512 + 256, 2048)]
    with pytest.raises(ZeromissError, match=r"3000 connections need 3768 open files, and this process may have 2048: raise it \(ulimit -Hn 3768, or LimitNOFILE=3768"):
        allow_files(3000)


def certificate(folder, mode=0o600):
    """Write a certificate of localhost, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), datetime.now(UTC)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
    built = built.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False).sign(key, hashes.SHA256())
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(built.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    paths[1].chmod(mode)
    return paths


def test_images_are_judged_over_tls_and_an_unfinished_handshake_is_ended(tmp_path):
    cert, key = certificate(tmp_path)
    tls = tls_context(cert, key)
    with live(make_service(mean_inspector(), header_seconds=1), tls=tls) as place:
        silent = connect(place)
        trusting = ssl.create_default_context(cafile=str(cert))
        with httpx.Client(base_url=f"https://localhost:{place.port}", trust_env=False, verify=trusting, timeout=60) as client:
            assert client.post("/inspect", files={"image": grey_file(tmp_path / "a.png", 10).read_bytes()}).json()["verdict"] == "normal"
        assert ended(silent)
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://localhost:{place.port}/health", trust_env=False, timeout=10)


def test_wrong_files_of_tls_and_token_are_told(tmp_path, monkeypatch):
    cert, key = certificate(tmp_path)
    assert tls_context(None, None) is None
    for found, told in (((cert, None), "name both"), ((cert, tmp_path / "none"), "cannot be read"), ((key, key), "are no certificate with its key")):
        with pytest.raises(ZeromissError, match=told):
            tls_context(*found)
    locked = tmp_path / "locked.pem"
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    locked.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")))
    locked.chmod(0o600)
    with pytest.raises(ZeromissError, match="is encrypted"):
        tls_context(cert, locked)
    key.chmod(0o644)
    with pytest.raises(ZeromissError, match=r"is open to every user \(mode 644\): chmod 600"):
        tls_context(cert, key)
    monkeypatch.delenv("ZEROMISS_SERVE_TOKEN", raising=False)
    assert read_token(None) is None
    file = tmp_path / "token"
    for text, mode, told in (("a-token-of-20-characters", 0o644, "open to every user"), ("short", 0o600, "at least 16"), ("two words and still more", 0o600, "one word"), ("", 0o600, "at least 16")):
        file.write_text(text)
        file.chmod(mode)
        with pytest.raises(ZeromissError, match=told):
            read_token(file)
    file.write_text("a-token-of-20-characters\n")
    monkeypatch.setenv("ZEROMISS_SERVE_TOKEN", "a-token-of-20-characters")
    with pytest.raises(ZeromissError, match="there are two tokens"):
        read_token(file)
    from_variable = read_token(None)
    monkeypatch.delenv("ZEROMISS_SERVE_TOKEN")
    assert read_token(file) == from_variable
