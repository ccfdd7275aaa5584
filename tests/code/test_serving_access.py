"""Who may ask a server: names it answers to, origins of pages, the token; addresses that are refused without one."""

import asyncio
import hashlib
import secrets

import httpx
import pytest

from tests.code.test_serving_judge import make_service
from tests.inspection_parts import grey_file, mean_inspector
from zeromiss.errors import ZeromissError
from zeromiss.serving.access import is_loopback, open_access
from zeromiss.serving.app import make_app, make_health_app
from zeromiss.serving.server import _bound
from zeromiss.stage_params import ServingParams

TOKEN = "a-token-of-20-characters"  # noqa: S105: a test's


def make_guarded(token=None, hosts=("line.example",), origins=()):
    """Return a service that asks for a token where one is given."""
    service = make_service(mean_inspector())
    digest = None if token is None else hashlib.sha256(token.encode()).digest()
    service.charge.since, service.charge.refused, service.charge.registry = "2031-05-03T12:00:00+00:00", None, ""
    service.access = open_access(digest, "127.0.0.1", hosts=hosts, origins=origins)
    return service


def answer(app, method, path, *, base="http://line.example", **more):
    """Return one answer; the address that it is asked at is not the name that it is asked for."""

    async def send():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(elsewhere(app)), base_url=base) as client:
            return await client.request(method, path, **more)

    return asyncio.run(send())


def elsewhere(app):
    """An application that is reached at 10.0.0.7."""

    async def called(scope, receive, send):
        await app(scope | {"server": ("10.0.0.7", 8080)}, receive, send)

    return called


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("line.example", 200), ("LINE.example:8080", 200), ("127.0.0.1:8080", 200), ("localhost", 200), ("[::1]:8080", 200), ("10.0.0.7:8080", 200),
        ("evil.example", 400), ("line.example.evil.example", 400), ("10.0.0.8", 400), ("0.0.0.0:8080", 400), ("", 400), ("line.example@evil.example", 400),
        ("evil.example#line.example", 400), ("[::1", 400), ("line.example:port", 400),
    ],
)  # fmt: skip
def test_only_names_that_it_knows_are_answered_to(host, status):
    found = answer(make_app(make_guarded()), "GET", "/version", headers={"Host": host})
    assert found.status_code == status
    assert status == 200 or (found.json()["error"].startswith("this server does not answer to the name ") and "serving.hosts" in found.json()["error"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200), ({"Origin": "http://line.example"}, 200), ({"Origin": "https://line.example"}, 200), ({"Origin": "http://cell.example"}, 200),
        ({"Origin": "http://evil.example"}, 403), ({"Origin": "null"}, 403), ({"Origin": "http://line.example:81"}, 403), ({"Origin": ""}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Sec-Fetch-Site": "same-site"}, 403), ({"Sec-Fetch-Site": "same-origin"}, 200), ({"Sec-Fetch-Site": "none"}, 200),
    ],
)  # fmt: skip
def test_a_page_of_another_origin_judges_nothing(tmp_path, headers, status):
    service = make_guarded(origins=("http://cell.example",))
    found = answer(make_app(service), "POST", "/inspect", files={"image": grey_file(tmp_path / "a.png", 10).read_bytes()}, headers=headers)
    assert found.status_code == status and (status == 200 or "serving.origins" in found.json()["error"])
    assert found.headers.get("access-control-allow-origin") == ("http://cell.example" if headers.get("Origin") == "http://cell.example" else None)
    assert ('outcome="judged"' in service.meters.text().decode()) == (status == 200)


def test_a_listed_origin_may_ask_whether_it_may_ask():
    app = make_app(make_guarded(TOKEN, origins=("http://cell.example",)))
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    assert answer(app, "OPTIONS", "/inspect", headers=asks | {"Origin": "http://cell.example"}).status_code == 200
    assert answer(app, "OPTIONS", "/inspect", headers=asks | {"Origin": "http://evil.example"}).status_code == 400


@pytest.mark.parametrize(
    ("given", "status"),
    [(f"Bearer {TOKEN}", 422), (f"bearer {TOKEN}", 422), (None, 401), ("", 401), ("Bearer ", 401), (f"Bearer {TOKEN}x", 401), (f"Bearer {TOKEN[:-1]}", 401), (TOKEN, 401), (f"Basic {TOKEN}", 401), ("Bearer \xe4", 401)],
)
def test_a_request_without_the_token_is_not_read(given, status):
    headers = {} if given is None else {"Authorization": given.encode("latin-1")}
    read = []

    async def body():
        read.append(True)
        yield b'{"image": ""}'

    found = answer(make_app(make_guarded(TOKEN)), "POST", "/inspect", content=body(), headers=headers | {"Content-Type": "application/json"})
    assert found.status_code == status and bool(read) == (status == 422)
    assert status == 422 or (found.headers["www-authenticate"], found.headers["connection"], found.json()["error"].split(":")[0]) == ("Bearer", "close", "the token is missing or wrong")


def test_tokens_are_compared_in_constant_time(monkeypatch):
    """As digests, by the library's own comparison: nothing of the token's length or beginning shows."""
    compared = []
    usual = secrets.compare_digest
    monkeypatch.setattr(secrets, "compare_digest", lambda one, other: compared.append((len(one), len(other))) or usual(one, other))
    for given in (TOKEN, "x", "", "a-token" * 100):
        answer(make_app(make_guarded(TOKEN)), "GET", "/version", headers={"Authorization": f"Bearer {given}"})
    assert compared == [(32, 32)] * 4


@pytest.mark.parametrize("make", [make_app, make_health_app])
def test_anybody_may_ask_whether_it_is_ready_and_no_more(make):
    app = make(make_guarded(TOKEN))
    assert answer(app, "GET", "/health").json() == {"live": True, "ready": True}
    assert answer(app, "GET", "/health", headers={"Authorization": "Bearer wrong"}).status_code == 401
    for path in ("/version", "/metrics", "/openapi.json", "/health/"):
        assert answer(app, "GET", path).status_code == 401
    assert answer(app, "GET", "/version", headers={"Authorization": f"Bearer {TOKEN}"}).json()["version"] == "7"


@pytest.mark.parametrize("path", ["/health", "/version", "/metrics", "/none", "/inspect", "/openapi.json"])
def test_every_answer_has_a_policy(path):
    for headers in ({}, {"Host": "evil.example"}, {"Authorization": "Bearer wrong"}):
        found = answer(make_app(make_guarded(TOKEN)), "GET", path, headers=headers)
        assert "default-src 'none'" in found.headers["content-security-policy"] and "frame-ancestors 'none'" in found.headers["content-security-policy"]
        assert (found.headers["x-content-type-options"], found.headers["cache-control"]) == ("nosniff", "no-store")


@pytest.mark.parametrize(("host", "local"), [("127.0.0.1", True), ("127.8.9.1", True), ("localhost", True), ("0.0.0.0", False), ("::", False), ("", False), ("10.0.0.7", False)])  # noqa: S104: they are refused
def test_an_address_open_to_others_needs_a_token(host, local):
    params = ServingParams()
    if local:
        with _bound(host, 0, "--host or --port", 4, 4, params, local_only=True) as listener:
            assert is_loopback(listener.getsockname()[0])
        return
    with pytest.raises(ZeromissError, match="is open to other machines, and there is no token: name --token-file, or set ZEROMISS_SERVE_TOKEN|cannot be listened at"):
        _bound(host, 0, "--host or --port", 4, 4, params, local_only=True)
