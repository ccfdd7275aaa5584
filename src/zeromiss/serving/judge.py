"""Who judges: a few threads, a bounded number of images that wait for them, and what one image is refused for."""

import io
import math
import os
import tempfile
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from zeromiss.errors import ZeromissError
from zeromiss.images.references import Companion
from zeromiss.inspection.inspector import Inspector
from zeromiss.inspection.rows import verdict_row
from zeromiss.serving.answers import Judged, judged
from zeromiss.serving.intake import Given
from zeromiss.serving.refusal import Refusal
from zeromiss.stage_params import ServingParams

_KEPT = 0.9  # of the mean seconds an image, when the next one is counted in
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")


@dataclass(frozen=True, kw_only=True)
class Found:
    """The answer to one image, and the row of its verdict, which is kept where the answer is given."""

    answer: Judged
    row: dict[str, Any]


class Judge:
    """Judges images in threads. An image that finds itself alone is shared by all cores, of several each has one.

    A place is taken by every image that waits or is judged, also by one whose sender has gone: threads can't be stopped.
    """

    def __init__(self, params: ServingParams, *, threads: int | None = None) -> None:
        """Start `threads` threads (default: as the parameters say, else one a core)."""
        self.threads = threads or params.threads or len(os.sched_getaffinity(0))
        self.most = self.threads + params.queue
        self._params = params
        self._pool = ThreadPoolExecutor(max_workers=self.threads, thread_name_prefix="judge")
        self._lock = threading.Lock()
        self._tiled = threading.Lock()  # held while an image is judged in tiles: memory is for one
        self._taken = 0
        self._judging = 0
        self._seconds = 0.1  # an image, on average of late

    @property
    def taken(self) -> int:
        """Places taken by images that are judged, wait, or are still arriving."""
        return self._taken

    def take(self, count: int) -> None:
        """Take places for `count` images. Raises Refusal with the time after which to come again where there are too few."""
        with self._lock:
            if self._taken + count > self.most:
                again = max(1, math.ceil((self._taken + count - self.most) * self._seconds / self.threads))
                raise Refusal(503, f"{self._taken} images are judged or wait already: send it again in {again} s", again=again)
            self._taken += count

    def leave(self, count: int) -> None:
        """Give places back that no image was handed in for."""
        with self._lock:
            self._taken -= count

    def submit(self, inspector: Inspector, given: Given) -> "Future[Found]":
        """Have an image judged whose place is taken; it leaves the place when its thread has done with it."""
        future = self._pool.submit(self._judge, inspector, given)
        future.add_done_callback(lambda _: self.leave(1))
        return future

    def close(self) -> None:
        """Forget what has not begun, and wait for what has."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _judge(self, inspector: Inspector, given: Given) -> Found:
        """Judge one image in this thread."""
        with self._lock:
            self._judging += 1
            alone = self._judging == 1 and self._taken == 1
        started = time.perf_counter()
        try:
            if inspector.one_at_a_time:
                with self._tiled:
                    return judge_bytes(inspector, given, self._params, alone=True)
            return judge_bytes(inspector, given, self._params, alone=alone)
        finally:
            with self._lock:
                self._judging -= 1
                self._seconds = _KEPT * self._seconds + (1.0 - _KEPT) * (time.perf_counter() - started)


def judge_bytes(inspector: Inspector, given: Given, params: ServingParams, *, alone: bool) -> Found:
    """Judge an image file's bytes as a file, so that bytes and files are read in one way.

    Raises Refusal for too many pixels or an image that cannot be judged: none such is ever called normal.
    """
    if given.refusal is not None:
        raise given.refusal
    refuse_pixels(given, params.max_megapixels)
    if given.reference is not None:
        refuse_pixels(Given(name="the reference", data=given.reference), params.max_megapixels)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="zeromiss-") as folder:
        file, reference = Path(folder) / "image", None if given.reference is None else Path(folder) / "reference"
        file.write_bytes(given.data)
        if reference is not None:
            reference.write_bytes(given.reference)
        try:
            examined = inspector.examine(file, alone=alone, companion=Companion(reference=reference, design=given.design))
        except ZeromissError as error:
            told = str(error).replace(str(file), given.name or "the image").replace(str(reference), "the reference")
            raise Refusal(422, told) from None
    answer = judged(examined.verdict, name=given.name, boxes=params.boxes, seconds=time.perf_counter() - started)
    return Found(answer=answer, row=verdict_row(examined, inspector.features, name=given.name))


def refuse_pixels(given: Given, most: float) -> None:
    """Raise Refusal for an image with more than `most` million pixels by its header, before any is unpacked.

    What has no header that Pillow knows goes on: the reader says what is wrong with it.
    """
    try:
        with Image.open(io.BytesIO(given.data), formats=_FORMATS) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        raise Refusal(413, _too_many(given, "more than 170 million", most)) from None
    except (OSError, SyntaxError, ValueError, EOFError):
        return
    if width * height > most * 1e6:
        raise Refusal(413, _too_many(given, f"{width} x {height}", most))


def _too_many(given: Given, pixels: str, most: float) -> str:
    """Return the sentence for an image that is too large."""
    return f"{given.name or 'the image'} has {pixels} pixels: at most {most:g} million are taken (serving.max_megapixels)"
