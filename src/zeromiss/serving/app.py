"""The paths of the server: thin, all they know is whom to ask."""

import asyncio
import importlib.metadata
import logging
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from zeromiss.registry.sealed import Sealed
from zeromiss.serving.answers import Batch, Health, Judged, Model, NotJudged, Version
from zeromiss.serving.charge import Charge
from zeromiss.serving.intake import Given, discard, read_batch, read_one
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
    stopping: bool = False  # told to stop: what comes is still judged, but nothing more should come

    async def one(self, request: Request) -> Judged:
        """Judge the image of a request."""
        with self.meters.request("/inspect"):
            async with self._places(request) as places:
                return await self._one(request, places)

    async def _one(self, request: Request, places: "_Places") -> Judged:
        """Judge the image of a request that has a place."""
        given = await read_one(request, self.params)
        opened = self.charge.current
        future = places.submit(opened, given)
        await _settle([future], self.params.seconds)
        return self._verdict(future, opened)

    async def many(self, request: Request) -> Batch:
        """Judge the images of a batch; each gets its verdict or its error."""
        with self.meters.request("/inspect/batch"):
            async with self._places(request) as places:
                return await self._many(request, places)

    async def _many(self, request: Request, places: "_Places") -> Batch:
        """Judge the images of a batch that has its first place."""
        started = time.perf_counter()
        given = await read_batch(request, self.params)
        places.take(len(given) - 1)
        opened = self.charge.current  # one version for all of them
        futures = [places.submit(opened, one) for one in given]
        await _settle(futures, self.params.seconds)
        results = tuple(self._result(*pair, opened) for pair in zip(given, futures, strict=True))
        return Batch(results=results, seconds=time.perf_counter() - started)

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

    @asynccontextmanager
    async def _places(self, request: Request) -> "AsyncIterator[_Places]":
        """Take a place before anything is kept; give back what no image was handed in for."""
        try:
            self.judge.take(1)
        except Refusal:
            await discard(request, self.params)
            raise
        places = _Places(self.judge)
        try:
            yield places
        finally:
            self.judge.leave(places.idle)

    def _verdict(self, future: "Future[Found]", opened: Sealed) -> Judged:
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

    def _result(self, given: Given, future: "Future[Found]", opened: Sealed) -> Judged | NotJudged:
        """Return an image's verdict or error."""
        try:
            return self._verdict(future, opened)
        except Refusal as refusal:
            return NotJudged(name=given.name, error=refusal.sentence, status=refusal.status)
        except Exception as error:
            _log.exception("an image of a batch could not be judged")
            return NotJudged(name=given.name, error=_defect(error), status=500)


class _Places:
    """The places of one request."""

    def __init__(self, judge: Judge) -> None:
        """One is taken."""
        self._judge = judge
        self.idle = 1

    def take(self, count: int) -> None:
        """Take more. Raises Refusal where there are too few."""
        self._judge.take(count)
        self.idle += count

    def submit(self, opened: Sealed, given: Given) -> "Future[Found]":
        """Hand an image in for one of them."""
        future = self._judge.submit(opened.inspector, given)
        self.idle -= 1
        return future


async def _settle(futures: "Sequence[Future[Found]]", seconds: float) -> None:
    """Wait until all have ended or the time is over; what has not begun by then is not begun any more."""
    waiting = [asyncio.wrap_future(future) for future in futures]
    try:
        await asyncio.wait(waiting, timeout=seconds)
    finally:
        for future, one in zip(futures, waiting, strict=True):
            one.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # looked at: the answer takes it from the thread's own
            future.cancel()


def make_app(service: Service) -> FastAPI:
    """Return the web application."""
    app = FastAPI(title=f"zeromiss {service.product}", docs_url=None, redoc_url=None)  # those pages load scripts from elsewhere
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(HTTPException, _unknown)
    app.add_exception_handler(Exception, _failed)

    @app.post("/inspect")
    async def inspect(request: Request) -> Judged:
        """Judge one image: JSON {"image": base64, "name": text}, or a form with the file in the field image; reference and design beside it."""
        return await service.one(request)

    @app.post("/inspect/batch")
    async def inspect_batch(request: Request) -> Batch:
        """Judge several: JSON {"images": [{"image": base64, "name": text}, ...]}, or a form with files in the field images."""
        return await service.many(request)

    @app.get("/health")
    async def health(response: Response) -> Health:
        """Say whether requests are taken: 200, or 503 once told to stop."""
        found = service.health()
        response.status_code = 200 if found.ready else 503
        return found

    @app.get("/version")
    async def version() -> Version:
        """Say which version judges and where it comes from."""
        return service.version()

    @app.get("/metrics")
    async def metrics() -> Response:
        """Give the figures in Prometheus's text format."""
        return Response(service.meters.text(), media_type=CONTENT)

    return app


async def _refused(_: Request, refusal: Exception) -> JSONResponse:
    """Answer a refusal with its sentence; the connection of a request that may not have been read to its end is closed."""
    assert isinstance(refusal, Refusal)
    headers = refusal.headers | ({"Connection": "close"} if refusal.status in (408, 413, 415, 503) else {})
    return JSONResponse({"error": refusal.sentence}, status_code=refusal.status, headers=headers)


async def _unknown(request: Request, error: Exception) -> JSONResponse:
    """Answer a path or method that there is not."""
    assert isinstance(error, HTTPException)
    sentence = f"{request.method} {request.url.path} is not served: POST /inspect or /inspect/batch, GET /health, /version or /metrics"
    return JSONResponse({"error": sentence}, status_code=error.status_code, headers=error.headers)


async def _failed(_: Request, error: Exception) -> JSONResponse:
    """Answer a defect of the program; uvicorn writes the trace into the log."""
    return JSONResponse({"error": _defect(error)}, status_code=500)


def _defect(error: Exception) -> str:
    """Return the sentence for a defect of the program."""
    return f"the server failed ({type(error).__name__}): the image has no verdict, see the server's log"
