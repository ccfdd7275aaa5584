"""Who may ask: a token, the names that the server answers to, the pages that a browser may ask from."""

import hashlib
import ipaddress
import os
import secrets
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zeromiss.errors import ZeromissError

TOKEN_VARIABLE = "ZEROMISS_SERVE_TOKEN"  # noqa: S105: a variable's name
_SHORTEST = 16  # characters of a token
_LOCAL = ("localhost", "127.0.0.1", "::1")
_EVERYWHERE = {"", "0.0.0.0", "::"}  # noqa: S104: addresses to listen at, no names to be asked by
_EVERYBODY = 0o007  # the bits of a file's mode for users outside its owner and group
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, kw_only=True)
class Access:
    """What a request must have: `token_sha256` is None where no token is asked for."""

    token_sha256: bytes | None = None
    hosts: frozenset[str] = frozenset(_LOCAL)  # lower case, without a port
    origins: frozenset[str] = field(default_factory=frozenset)  # SCHEME://HOST[:PORT] beside the server's own

    def knows(self, authorization: str) -> bool:
        """Return whether an Authorization header has the token; takes as long for a wrong one, however much of it is right."""
        scheme, _, given = authorization.partition(" ")
        found = hashlib.sha256(given.strip().encode("utf-8", "surrogateescape")).digest()
        return secrets.compare_digest(found, self.token_sha256 or b"") and scheme.lower() == "bearer"


def read_token(path: Path | None) -> bytes | None:
    """Return the SHA-256 of the token in a file or in ZEROMISS_SERVE_TOKEN, None where there is neither.

    Raises ZeromissError for two tokens, for a file that every user may open, and for a token that is too short or not one word of ASCII.
    """
    variable = os.environ.get(TOKEN_VARIABLE)
    if path is not None and variable is not None:
        raise ZeromissError(f"there are two tokens, in --token-file {path} and in {TOKEN_VARIABLE}: name one")
    if path is None and variable is None:
        return None
    place = TOKEN_VARIABLE if path is None else str(path)
    token = (variable or "").strip() if path is None else _private(path, "the token").strip()
    if len(token) < _SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
        made = "python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        raise ZeromissError(f"the token in {place} is not one word of at least {_SHORTEST} ASCII characters: make one with {made}")
    return hashlib.sha256(token.encode()).digest()


def open_access(token_sha256: bytes | None, host: str, *, hosts: tuple[str, ...], origins: tuple[str, ...]) -> Access:
    """Return what a server at `host` asks for: it answers to this machine's names, to `host`, and to `hosts`."""
    names = {*_LOCAL, host.lower(), socket.gethostname().lower(), *(name.lower() for name in hosts)} - _EVERYWHERE
    return Access(token_sha256=token_sha256, hosts=frozenset(names), origins=frozenset(origin.lower().rstrip("/") for origin in origins))


def is_loopback(address: str) -> bool:
    """Return whether an IP address is this machine's alone."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def tls_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Return the TLS of a server with a certificate chain and a key in PEM files, None where there are none.

    Raises ZeromissError for one without the other, and for files that do not fit, are encrypted or, with the key, open to every user.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise ZeromissError("TLS needs a certificate and its key: name both, --tls-cert FILE and --tls-key FILE")
    _private(key, "the key")

    def refuse() -> str:
        raise ZeromissError(f"the key in {key} is encrypted: give one without a password, in a file of mode 600")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=refuse)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ZeromissError(f"{certificate} and {key} are no certificate with its key ({error}): name PEM files that belong together") from None
    return context


class Guard:
    """Middleware that refuses what may not be asked, before anything of a body is read, and adds the security headers to each answer.

    A page that a person's browser shows may come from anywhere: one of another origin is refused by its Origin and
    Sec-Fetch-Site headers, which no page can change. There are no cookies, so that no request is trusted for coming from a browser.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        """Wrap an application."""
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        await (self._app if refusal is None else refusal)(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        """Return the answer to a request that may not be asked, None for the others."""
        headers, access = Headers(scope=scope), self._access
        host = headers.get("host", "")
        if _name(host) not in access.hosts | {(scope.get("server") or ("",))[0].lower()}:
            return _no(400, f"this server does not answer to the name {_shown(host)}: add it to serving.hosts")
        origin = headers.get("origin")
        foreign = origin is not None and _netloc(origin) != host.lower() and origin.lower() not in access.origins
        if foreign or (origin is None and headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and scope["method"] not in ("GET", "HEAD")):
            return _no(403, f"a page of {_shown(origin or 'another site')} may not ask this server: add its origin to serving.origins")
        trusted = access.token_sha256 is None or access.knows(headers.get("authorization", ""))
        scope.setdefault("state", {})["trusted"] = trusted
        open_to_all = scope["method"] == "GET" and scope["path"] == "/health" and "authorization" not in headers
        if not trusted and not open_to_all:
            return _no(401, "the token is missing or wrong: send it as Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})
        return None


def _no(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return a refusal; its connection is closed, as the body is not read."""
    return JSONResponse({"error": sentence}, status_code=status, headers={"Connection": "close"} | (headers or {}))


def _name(host: str) -> str:
    """Return the name in a Host header, empty where it is none."""
    try:
        parts = urlsplit(f"//{host}")
        return (parts.hostname or "") if parts.netloc == host and "@" not in host and (parts.port or True) else ""
    except ValueError:
        return ""


def _netloc(origin: str) -> str:
    """Return the host and port of an origin as a Host header has them, empty where it is none."""
    try:
        return urlsplit(origin.lower()).netloc
    except ValueError:
        return ""


def _shown(text: str) -> str:
    """Return a header's value, shortened, for a sentence."""
    return ascii(text[:80])


def _private(path: Path, what: str) -> str:
    """Return the text of a file that not every user may open. Raises ZeromissError for any other."""
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ZeromissError(f"{what} cannot be read from {path} ({error}): name a text file that this user may read") from None
    if mode & _EVERYBODY:
        raise ZeromissError(f"{what} in {path} is open to every user (mode {mode & 0o777:o}): chmod 600 {path}")
    return text
