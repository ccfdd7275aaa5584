"""What is counted, for Prometheus to collect."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from zeromiss.registry.sealed import Sealed
from zeromiss.serving.answers import Judged
from zeromiss.serving.refusal import Refusal

CONTENT = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0)
_OUTCOMES = {503: "busy", 504: "late"}


class Meters:
    """The counters of one server; nothing of it is global."""

    def __init__(self) -> None:
        """Make them, all at zero."""
        self._all = all_ = CollectorRegistry()
        self._requests = Counter("zeromiss_requests", "Requests by path and outcome", ["path", "outcome"], registry=all_)
        self._seconds = Histogram("zeromiss_request_seconds", "Seconds from arrival to answer of judged requests", ["path"], buckets=_SECONDS, registry=all_)
        self._judging = Histogram("zeromiss_judging_seconds", "Seconds of judging one image, without waiting", buckets=_SECONDS, registry=all_)
        self._verdicts = Counter("zeromiss_verdicts", "Images by verdict (error: no verdict) and version", ["verdict", "version"], registry=all_)
        self._model = Gauge("zeromiss_model_info", "1 for the version in charge", ["model", "version", "run", "commit"], registry=all_)
        self.swaps = Counter("zeromiss_swaps", "New champions by outcome: taken or refused", ["outcome"], registry=all_)
        self.refused = Gauge("zeromiss_champion_refused", "1 while the champion is a version that was not taken", registry=all_)
        self.registry = Gauge("zeromiss_registry_up", "1 while the registry answers and names a champion", registry=all_)
        self._flight = Gauge("zeromiss_images_in_flight", "Images that are judged or wait", registry=all_)
        self.rows_kept = Counter("zeromiss_rows_kept", "Rows of verdicts added to the data set", registry=all_)
        self.rows_dropped = Counter("zeromiss_rows_dropped", "Rows of verdicts that were lost because too many waited", registry=all_)
        self.rows_waiting = Gauge("zeromiss_rows_waiting", "Rows of verdicts that wait in memory", registry=all_)
        self.rows_failing = Gauge("zeromiss_rows_failing", "1 while rows of verdicts cannot be written", registry=all_)
        self.registry.set(1)

    def follow(self, in_flight: Callable[[], int]) -> None:
        """Ask this for the images in flight whenever the figures are collected."""
        self._flight.set_function(in_flight)

    def names(self, opened: Sealed) -> None:
        """Name the version in charge, and no other."""
        self._model.clear()
        self._model.labels(model=opened.name, version=opened.version, run=opened.run, commit=opened.commit).set(1)

    @contextmanager
    def request(self, path: str) -> Iterator[None]:
        """Count a request by how its block ends, and time it where it was judged."""
        started, outcome = perf_counter(), "failed"
        try:
            yield
            outcome = "judged"
            self._seconds.labels(path=path).observe(perf_counter() - started)
        except Refusal as refusal:
            outcome = _OUTCOMES.get(refusal.status, "refused")
            raise
        finally:
            self._requests.labels(path=path, outcome=outcome).inc()

    def image(self, found: Judged | None, version: str) -> None:
        """Count one image: its verdict and seconds, or an error."""
        self._verdicts.labels(verdict="error" if found is None else found.verdict, version=version).inc()
        if found is not None:
            self._judging.observe(found.seconds)

    def text(self) -> bytes:
        """Return all figures in Prometheus's text format."""
        return generate_latest(self._all)
