"""The judge's places, and what a request gets that takes too long or meets a defect of the program; no server needed."""

import asyncio
import threading
import time
from types import SimpleNamespace

import httpx
import pytest

from tests.inspection_parts import MeanClassifier, MeanMeasurer, grey_file, mean_inspector
from zeromiss.registry.sealed import Sealed
from zeromiss.serving.app import Service, make_app
from zeromiss.serving.judge import Judge
from zeromiss.serving.meters import Meters
from zeromiss.serving.refusal import Refusal
from zeromiss.stage_params import ServingParams


class SlowMeasurer(MeanMeasurer):
    """Measures when it may, and knows how many images it was shared among cores for."""

    def __init__(self):
        self.may, self.alone, self.shared = threading.Event(), 0, 0

    def on_lanes(self, count):
        def measure(image_CHW, features=None, context=None):
            self.alone += 1
            return self.slowly(image_CHW)

        return SimpleNamespace(measure=measure, params=self.params)

    def measure(self, image_CHW, features=None, context=None):
        self.shared += 1
        return self.slowly(image_CHW)

    def slowly(self, image_CHW):
        assert self.may.wait(20)
        return super().measure(image_CHW)


class Broken(MeanClassifier):
    """A classifier with a defect."""

    def predict_proba(self, features):
        raise RuntimeError("a defect of the program")


def make_service(inspector, **keys):
    """Return a service of one version."""
    params, meters = ServingParams(**keys), Meters()
    opened = Sealed(inspector=inspector, name="zeromiss-toy", version="7", run="r", commit="c")
    return Service(product="toy", params=params, charge=SimpleNamespace(current=opened), judge=Judge(params), meters=meters)


def ask(service, path, requests):
    """Send requests at once and return the answers."""

    async def send():
        transport = httpx.ASGITransport(make_app(service), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://toy") as client:
            return await asyncio.gather(*(client.post(where, files=[(field, path.read_bytes())] * count) for where, field, count in requests))

    return asyncio.run(send())


def test_a_verdict_by_hand(tmp_path):
    """A grey of 102 in 255 has a mean of 0.4, which is the threshold: abnormal."""
    service = make_service(mean_inspector(threshold=102 / 255), boxes=1)
    answer = ask(service, grey_file(tmp_path / "a.png", 102), [("/inspect", "image", 1)])[0].json()
    assert (answer["verdict"], answer["width"], answer["height"], answer["probability"]) == ("abnormal", 32, 32, None)
    assert answer["score"] == pytest.approx(0.4, abs=1e-7)
    assert answer["boxes"] == [{"x": 8, "y": 12, "size": 8, "distance": 2.5}]


def test_what_takes_too_long_is_told_and_keeps_its_place_until_it_ends(tmp_path):
    measurer = SlowMeasurer()
    service = make_service(mean_inspector(measurer=measurer), seconds=0.2, threads=1)
    path = grey_file(tmp_path / "a.png", 10)
    single, batch = ask(service, path, [("/inspect", "image", 1), ("/inspect/batch", "images", 2)])
    assert single.status_code == 504 and single.json()["error"].startswith("no verdict within 0.2 s")
    assert [one["status"] for one in batch.json()["results"]] == [504, 504]
    assert service.judge.taken == 1  # the one that a thread holds; those that had not begun are gone
    measurer.may.set()
    service.judge.close()
    assert service.judge.taken == 0
    text = service.meters.text().decode()
    assert 'zeromiss_requests_total{outcome="late",path="/inspect"} 1.0' in text
    assert 'zeromiss_verdicts_total{verdict="error",version="7"} 3.0' in text


def test_one_image_alone_has_all_cores_and_several_have_one_each(tmp_path):
    measurer = SlowMeasurer()
    measurer.may.set()
    service = make_service(mean_inspector(measurer=measurer), threads=2)
    path = grey_file(tmp_path / "a.png", 10)
    ask(service, path, [("/inspect", "image", 1)])
    assert (measurer.alone, measurer.shared) == (1, 0)
    ask(service, path, [("/inspect/batch", "images", 6)])
    assert measurer.alone <= 2 and measurer.alone + measurer.shared == 7


def test_a_defect_of_the_program_gives_no_verdict(tmp_path):
    service = make_service(mean_inspector(classifier=Broken()))
    single, batch = ask(service, grey_file(tmp_path / "a.png", 10), [("/inspect", "image", 1), ("/inspect/batch", "images", 1)])
    sentence = "the server failed (RuntimeError): the image has no verdict, see the server's log"
    assert (single.status_code, single.json()) == (500, {"error": sentence})
    assert [(one["status"], one["error"]) for one in batch.json()["results"]] == [(500, sentence)]
    assert 'zeromiss_requests_total{outcome="failed",path="/inspect"} 1.0' in service.meters.text().decode()
    assert service.judge.taken == 0


def test_a_batch_without_room_is_told_when_to_come_again(tmp_path):
    """Four places, one taken: a batch of four does not fit, one of three does."""
    service = make_service(mean_inspector(), threads=1, queue=3, batch_images=3)
    service.judge.take(2)
    path = grey_file(tmp_path / "a.png", 10)
    fits = ask(service, path, [("/inspect/batch", "images", 2)])[0]
    full = ask(service, path, [("/inspect/batch", "images", 3)])[0]
    assert (fits.status_code, full.status_code, full.headers["retry-after"]) == (200, 503, "1")
    assert service.judge.taken == 2


def test_the_time_to_come_again_grows_with_what_waits():
    """Of 0.1 s an image in one thread, 40 images too many take 4 s."""
    judge = Judge(ServingParams(queue=20, batch_images=16), threads=1)
    with pytest.raises(Refusal) as refused:
        judge.take(61)
    assert (refused.value.status, refused.value.again, refused.value.headers) == (503, 4, {"Retry-After": "4"})
    started = time.perf_counter()
    judge.close()
    assert time.perf_counter() - started < 5.0 and judge.taken == 0


def test_a_batch_that_never_fits_is_refused_in_params():
    with pytest.raises(ValueError, match="serving.batch_images 8 is more than serving.queue 4"):
        ServingParams(queue=4, batch_images=8)
