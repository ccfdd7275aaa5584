"""The process: binds its addresses, opens the champion, serves until told to stop, and drains."""

import logging
import math
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

from zeromiss.errors import ZeromissError
from zeromiss.params import load_product
from zeromiss.registry.verified import Champions
from zeromiss.serving.access import TOKEN_VARIABLE, is_loopback, open_access, read_token, tls_context
from zeromiss.serving.app import Service, make_app, make_health_app
from zeromiss.serving.charge import Charge, Watch
from zeromiss.serving.connections import BACKLOG, Listener, allow_files
from zeromiss.serving.judge import Judge
from zeromiss.serving.keeping import Keeper
from zeromiss.serving.meters import Meters
from zeromiss.stage_params import ServingParams
from zeromiss.workspace import Workspace

_IDLE_S = 75  # after which a connection without a request is closed: longer than proxies keep theirs
_HEALTH_CONNECTIONS = 64  # that ask for health and figures at once
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a server listens, and what it asks for: `health_port` None is 1000 above `port`, 0 any free one."""

    host: str
    port: int
    health_host: str = "127.0.0.1"
    health_port: int | None = None
    token_file: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None


class _Server(uvicorn.Server):
    """Ends slow connections as it goes."""

    def __init__(self, config: uvicorn.Config, listener: Listener) -> None:
        """Keep whose connections to look at."""
        super().__init__(config)
        self._listener = listener

    async def on_tick(self, counter: int) -> bool:
        """End connections whose time is over, ten times a second."""
        self._listener.sweep()
        return await super().on_tick(counter)


class _Main(_Server):
    """Says that it is going before it goes."""

    def __init__(self, config: uvicorn.Config, listener: Listener, service: Service) -> None:
        """Keep whom to tell."""
        super().__init__(config, listener)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Turn /health to not ready and stop after the notice; the second signal does not wait for it."""
        notice = self._service.params.notice_seconds
        if self._service.stopping or not notice:
            self._service.stopping = True
            super().handle_exit(sig, frame)
            return
        self._service.stopping = True
        timer = threading.Timer(notice, super().handle_exit, (sig, frame))
        timer.daemon = True
        timer.start()


def run(product: str, workspace: Workspace, address: Address, *, threads: int | None = None) -> int:
    """Serve a product's champion at an address (port 0: any free one) until SIGTERM or Ctrl-C; then return 0, drained.

    Raises ZeromissError when an address is taken, or open to other machines without a token, when files of the token or of TLS
    are no such, when the system allows too few open files, or there is no champion that may be served.
    """
    if threads is not None and threads < 1:
        raise ZeromissError(f"--threads {threads} judges nothing: name 1 or more")
    params = load_product(workspace.params_file, product).serving
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    access = open_access(read_token(address.token_file), address.host, hosts=(address.health_host, *params.hosts), origins=params.origins)
    tls = tls_context(address.tls_certificate, address.tls_key)
    allow_files(params.connections + _HEALTH_CONNECTIONS)
    health_port = address.health_port if address.health_port is not None else address.port and address.port + 1000
    needs_token = access.token_sha256 is None
    with (
        _bound(address.host, address.port, "--host or --port", params.connections, params.connections_per_client, params, local_only=needs_token) as main,
        _bound(address.health_host, health_port, "--health-host or --health-port", _HEALTH_CONNECTIONS, _HEALTH_CONNECTIONS, params, local_only=needs_token) as beside,
    ):
        if tls is None and not (_local(main) and _local(beside)):
            _log.warning("images and the token travel unencrypted: name --tls-cert and --tls-key, or let a proxy with TLS ask this server")
        meters = Meters()
        charge = Charge(Champions(product, workspace), meters)
        judge = Judge(params, threads=threads)
        meters.follow(lambda: judge.taken, lambda: judge.mib)
        keeper = Keeper(workspace.verdicts(product), meters, seconds=params.keep_seconds) if params.keep else None
        service = Service(product=product, params=params, charge=charge, judge=judge, meters=meters, keeper=keeper, access=access)
        watch = Watch(charge, params.poll_seconds)
        try:
            with _health(service, beside, None if _local(beside) else tls):
                _serve(service, main, beside, tls)
        finally:
            watch.stop()
            judge.close()
            if keeper is not None:
                keeper.close(params.drain_seconds)
    print("zeromiss: stopped; every request under way was answered" if not judge.taken else f"zeromiss: stopped with {judge.taken} images unanswered", flush=True)
    return 0


def _serve(service: Service, listener: Listener, beside: Listener, tls: ssl.SSLContext | None) -> None:
    """Answer requests until a signal comes and all that were under way have ended."""
    current = service.charge.current
    place, health = _url(listener, tls), _url(beside, None if _local(beside) else tls)
    print(f"zeromiss: {current.name} version {current.version} is served at {place} with {service.judge.threads} threads; its health at {health}/health", flush=True)
    try:
        _Main(_config(make_app(service, listener), service.params, tls), listener, service).run(sockets=[listener])
    except KeyboardInterrupt:  # uvicorn has drained and raises the signal again, which is no failure here
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


@contextmanager
def _health(service: Service, listener: Listener, tls: ssl.SSLContext | None) -> Iterator[None]:
    """Tell of the server's health in a thread with an event loop of its own, also while the other is full, busy or drains."""
    server = _Server(_config(make_health_app(service, listener), service.params, tls), listener)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="health", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = server.force_exit = True  # who still asks is not waited for
        thread.join(5.0)


def _config(app: FastAPI, params: ServingParams, tls: ssl.SSLContext | None) -> uvicorn.Config:
    """Return the settings of one server: plain HTTP/1.1 or with TLS, no WebSockets, no headers of proxies believed."""
    return uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=math.ceil(params.drain_seconds),
        ssl_context_factory=None if tls is None else lambda _config, _default: tls,
    )


def _bound(host: str, port: int, options: str, most: int, most_per_client: int, params: ServingParams, *, local_only: bool) -> Listener:
    """Return a listening socket. Raises ZeromissError for an address that cannot be had, or that `local_only` forbids."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        if local_only and not is_loopback(str(address[0])):
            raise ZeromissError(f"{host} is open to other machines, and there is no token: name --token-file, or set {TOKEN_VARIABLE}")
        listening = socket.create_server(address, family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise ZeromissError(f"{host}:{port} cannot be listened at ({error}): name another {options}") from None
    return Listener(
        listening,
        most=most,
        most_per_client=most_per_client,
        header_s=params.header_seconds,
        idle_s=_IDLE_S + params.header_seconds,
        request_s=2 * params.seconds + params.header_seconds,
    )


def _local(listener: Listener) -> bool:
    """Return whether a socket listens to this machine alone."""
    return is_loopback(listener.getsockname()[0])


def _url(listener: Listener, tls: ssl.SSLContext | None) -> str:
    """Return where a socket listens, as a client names it."""
    host, port = listener.getsockname()[:2]
    return f"{'http' if tls is None else 'https'}://{f'[{host}]' if ':' in host else host}:{port}"
