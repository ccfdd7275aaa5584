"""The paths of the server: thin, all they know is whom to ask."""

import asyncio
import importlib.metadata
import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from zeromiss.registry.verified import VerifiedModel
from zeromiss.serving.access import Access, Guard
from zeromiss.serving.answers import Alive, Batch, Health, Judged, Model, NotJudged, Version
from zeromiss.serving.charge import Charge
from zeromiss.serving.connections import Listener, Tracked
from zeromiss.serving.intake import Arriving, Given, clean, read_batch, read_one
from zeromiss.serving.judge import Found, Judge
from zeromiss.serving.keeping import Keeper
from zeromiss.serving.meters import CONTENT, Meters
from zeromiss.serving.refusal import Refusal
from zeromiss.stage_params import ServingParams

_log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Service:
    """All that a request needs."""

    product: str
    params: ServingParams
    charge: Charge
    judge: Judge
    meters: Meters
    keeper: Keeper | None = None  # of the rows of verdicts
    access: Access = field(default_factory=Access)
    stopping: bool = False  # told to stop: what comes is still judged, but nothing more should come
    arriving: Arriving = field(init=False)

    def __post_init__(self) -> None:
        """Make room for requests that arrive."""
        self.arriving = Arriving(self.params)

    async def one(self, request: Request) -> Judged:
        """Judge the image of a request."""
        with self.meters.request("/inspect"):
            with self.arriving.of(_client(request)) as held:
                given = await read_one(request, self.params, held)
                opened, (future,) = self._submit([given])
            await _settle([future], self.params.seconds)
            return self._verdict(future, opened)

    async def many(self, request: Request) -> Batch:
        """Judge the images of a batch; each gets its verdict or its error."""
        with self.meters.request("/inspect/batch"):
            started = time.perf_counter()
            with self.arriving.of(_client(request)) as held:
                given = await read_batch(request, self.params, held)
                opened, futures = self._submit(given)  # one version for all of them
            names = [one.name for one in given]
            del given
            await _settle(futures, self.params.seconds)
            results = tuple(self._result(*pair, opened) for pair in zip(names, futures, strict=True))
            return Batch(results=results, seconds=time.perf_counter() - started)

    def _submit(self, given: Sequence[Given]) -> "tuple[VerifiedModel, list[Future[Found]]]":
        """Have images judged by the version in charge; only now, when all of them are here, do they take places."""
        opened = self.charge.current
        return opened, self.judge.submit(opened.inspector, given)

    def health(self) -> Health:
        """Say how it is."""
        current = self.charge.current
        return Health(
            live=True,
            ready=not self.stopping,
            model=Model(name=current.name, version=current.version),
            since=self.charge.since,
            images_in_flight=self.judge.taken,
            images_most=self.judge.most,
            refused=self.charge.refused,
            registry=self.charge.registry,
            rows=None if self.keeper is None else self.keeper.state(),
        )

    def version(self) -> Version:
        """Say which version judges."""
        current = self.charge.current
        return Version(
            product=self.product,
            model=current.name,
            version=current.version,
            run=current.run,
            commit=current.commit,
            threshold=current.inspector.threshold,
            zeromiss=importlib.metadata.version("zeromiss"),
        )

    def _verdict(self, future: "Future[Found]", opened: VerifiedModel) -> Judged:
        """Return a verdict, whose row is now kept, or raise why there is none."""
        try:
            if not future.done() or future.cancelled():
                raise Refusal(504, f"no verdict within {self.params.seconds:g} s (serving.seconds): send it again, or fewer at once")
            found = future.result()
        except Exception:
            self.meters.image(None, opened.version)
            raise
        self.meters.image(found.answer, opened.version)
        if self.keeper is not None:
            self.keeper.add(found.row, opened.inspector.features)
        return found.answer

    def _result(self, name: str, future: "Future[Found]", opened: VerifiedModel) -> Judged | NotJudged:
        """Return an image's verdict or error."""
        try:
            return self._verdict(future, opened)
        except Refusal as refusal:
            return NotJudged(name=name, error=refusal.sentence, status=refusal.status)
        except Exception as error:
            _log.exception("an image of a batch could not be judged")
            return NotJudged(name=name, error=_defect(error), status=500)


async def _settle(futures: "Sequence[Future[Found]]", seconds: float) -> None:
    """Wait until all have ended or the time is over; what has not begun by then is not begun any more."""
    waiting = [asyncio.wrap_future(future) for future in futures]
    try:
        await asyncio.wait(waiting, timeout=seconds)
    finally:
        for future, one in zip(futures, waiting, strict=True):
            one.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # looked at: the answer takes it from the thread's own
            future.cancel()


def make_app(service: Service, listener: Listener | None = None) -> FastAPI:
    """Return the web application: everything that is served. `listener`: the socket that its requests come through."""
    app = make_health_app(service, listener)

    @app.post("/inspect")
    async def inspect(request: Request) -> Judged:
        """Judge one image: JSON {"image": base64, "name": text}, or a form with the file in the field image; reference and design beside it."""
        return await service.one(request)

    @app.post("/inspect/batch")
    async def inspect_batch(request: Request) -> Batch:
        """Judge several: JSON {"images": [{"image": base64, "name": text}, ...]}, or a form with files in the field images."""
        return await service.many(request)

    return app


def make_health_app(service: Service, listener: Listener | None = None) -> FastAPI:
    """Return the web application that says how the server is and judges nothing."""
    app = FastAPI(title=f"zeromiss {service.product}", docs_url=None, redoc_url=None)  # those pages load scripts from elsewhere
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(HTTPException, _unknown)
    app.add_exception_handler(Exception, _failed)
    app.add_middleware(Guard, access=service.access)
    if service.access.origins:  # outside the guard: a browser asks whether it may ask without a token
        app.add_middleware(CORSMiddleware, allow_origins=sorted(service.access.origins), allow_methods=["GET", "POST"], allow_headers=["Authorization", "Content-Type"])
    if listener is not None:
        app.add_middleware(Tracked, listener=listener)

    @app.get("/health")
    async def health(request: Request, response: Response) -> Health | Alive:
        """Say whether requests are taken: 200, or 503 once told to stop; all of it to who may ask for more."""
        found = service.health()
        response.status_code = 200 if found.ready else 503
        return found if request.state.trusted else Alive(live=found.live, ready=found.ready)

    @app.get("/version")
    async def version() -> Version:
        """Say which version judges and where it comes from."""
        return service.version()

    @app.get("/metrics")
    async def metrics() -> Response:
        """Give the figures in Prometheus's text format."""
        return Response(service.meters.text(), media_type=CONTENT)

    return app


def _client(request: Request) -> str:
    """Return the address that a request comes from."""
    return "" if request.client is None else request.client.host


async def _refused(_: Request, refusal: Exception) -> JSONResponse:
    """Answer a refusal with its sentence; the connection of a request that may not have been read to its end is closed."""
    assert isinstance(refusal, Refusal)
    headers = refusal.headers | ({"Connection": "close"} if refusal.status in (408, 413, 415, 503) else {})
    return JSONResponse({"error": refusal.sentence}, status_code=refusal.status, headers=headers)


async def _unknown(request: Request, error: Exception) -> JSONResponse:
    """Answer a path or method that there is not."""
    assert isinstance(error, HTTPException)
    asked = clean(f"{request.method} {request.url.path}", 200)
    served = "POST /inspect or /inspect/batch, " if any(route.path == "/inspect" for route in request.app.routes) else ""
    sentence = f"{asked} is not served: {served}GET /health, /version or /metrics"
    return JSONResponse({"error": sentence}, status_code=error.status_code, headers=error.headers)


async def _failed(_: Request, error: Exception) -> JSONResponse:
    """Answer a defect of the program; uvicorn writes the trace into the log."""
    return JSONResponse({"error": _defect(error)}, status_code=500)


def _defect(error: Exception) -> str:
    """Return the sentence for a defect of the program."""
    return f"the server failed ({type(error).__name__}): the image has no verdict, see the server's log"
