"""The process: binds the address, opens the champion, serves until told to stop, and drains."""

import logging
import math
import signal
import socket
import threading
from types import FrameType

import uvicorn

from zeromiss.errors import ZeromissError
from zeromiss.params import load_product
from zeromiss.registry.sealed import Champions
from zeromiss.serving.app import Service, make_app
from zeromiss.serving.charge import Charge, Watch
from zeromiss.serving.judge import Judge
from zeromiss.serving.keeping import Keeper
from zeromiss.serving.meters import Meters
from zeromiss.workspace import Workspace

_IDLE = 75  # seconds after which a connection without a request is closed: longer than proxies keep theirs


class _Server(uvicorn.Server):
    """Says that it is going before it goes."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        """Keep whom to tell."""
        super().__init__(config)
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


def run(product: str, workspace: Workspace, *, host: str, port: int, threads: int | None = None) -> int:
    """Serve a product's champion at `host`:`port` (0: any free one) until SIGTERM or Ctrl-C; then return 0, drained.

    Raises ZeromissError when the address is taken, or there is no champion that may be served.
    """
    if threads is not None and threads < 1:
        raise ZeromissError(f"--threads {threads} judges nothing: name 1 or more")
    params = load_product(workspace.params_file, product).serving
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with _bound(host, port) as listening:
        meters = Meters()
        charge = Charge(Champions(product, workspace), meters)
        judge = Judge(params, threads=threads)
        meters.follow(lambda: judge.taken)
        keeper = Keeper(workspace.verdicts(product), meters, seconds=params.keep_seconds) if params.keep else None
        service = Service(product=product, params=params, charge=charge, judge=judge, meters=meters, keeper=keeper)
        watch = Watch(charge, params.poll_seconds)
        try:
            _serve(service, listening)
        finally:
            watch.stop()
            judge.close()
            if keeper is not None:
                keeper.close(params.drain_seconds)
    print("zeromiss: stopped; every request under way was answered" if not judge.taken else f"zeromiss: stopped with {judge.taken} images unanswered", flush=True)
    return 0


def _serve(service: Service, listening: socket.socket) -> None:
    """Answer requests until a signal comes and all that were under way have ended."""
    current, (host, port) = service.charge.current, listening.getsockname()[:2]
    config = uvicorn.Config(
        make_app(service),
        access_log=False,
        log_config=None,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=math.ceil(service.params.drain_seconds),
        server_header=False,
    )
    shown = f"[{host}]" if ":" in host else host
    print(f"zeromiss: {current.name} version {current.version} is served at http://{shown}:{port} with {service.judge.threads} threads", flush=True)
    try:
        _Server(config, service).run(sockets=[listening])
    except KeyboardInterrupt:  # uvicorn has drained and raises the signal again, which is no failure here
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _bound(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises ZeromissError for an address that cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        raise ZeromissError(f"{host}:{port} cannot be listened at ({error}): name another --host or --port") from None
