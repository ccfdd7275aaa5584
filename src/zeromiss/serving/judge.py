"""Who judges: a few threads, and images that wait for them, bounded in number and in the memory that they will take."""

import math
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeromiss.errors import ZeromissError
from zeromiss.images.references import Companion
from zeromiss.inspection.inspector import Inspector
from zeromiss.inspection.pictures import Repeats
from zeromiss.inspection.rows import verdict_row
from zeromiss.serving.answers import Judged, judged
from zeromiss.serving.intake import Given
from zeromiss.serving.refusal import Refusal
from zeromiss.stage_params import BYTES_PER_PIXEL, ServingParams

_KEPT = 0.9  # of the mean seconds an image, when the next one is counted in
_MEBIBYTE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Found:
    """The answer to one image, and the row of its verdict, which is kept where the answer is given."""

    answer: Judged
    row: dict[str, Any]


class Judge:
    """Judges images in threads. An image that finds itself alone is shared by all cores, of several each has one.

    A place, and the memory that the image takes when it is decoded, is held by every image that waits or is judged, also by
    one whose sender has gone: threads can't be stopped.
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
        self._bytes = 0  # that the images in their places take, decoded
        self._judging = 0
        self._repeats = Repeats()
        self._seconds = 0.1  # an image, on average of late

    @property
    def taken(self) -> int:
        """Places taken by images that are judged or wait."""
        return self._taken

    @property
    def mib(self) -> float:
        """MiB that these images take when they are decoded."""
        return self._bytes / _MEBIBYTE

    def submit(self, inspector: Inspector, given: Sequence[Given]) -> "list[Future[Found]]":
        """Have images judged, all of them or none; each leaves its place when its thread has done with it.

        Raises Refusal with the time after which to come again where there is too little room, and for images that never find room.
        """
        costs = [cost_bytes(one) for one in given]
        self.take(len(given), sum(costs))
        futures = []
        for one, cost in zip(given, costs, strict=True):
            future = self._pool.submit(self._judge, inspector, one)
            future.add_done_callback(lambda _, cost=cost: self.leave(1, cost))
            futures.append(future)
        return futures

    def take(self, count: int, size: int = 0) -> None:
        """Take places for `count` images of `size` bytes, decoded. Raises Refusal where there are too few."""
        budget = int(self._params.memory_mib * _MEBIBYTE)
        if size > budget:
            raise Refusal(413, f"the images take {size / _MEBIBYTE:.0f} MiB when decoded: at most {self._params.memory_mib:g} (serving.memory_mib): send smaller or fewer at once")
        with self._lock:
            if self._taken + count > self.most:
                raise self._busy(f"{self._taken} images are judged or wait already", self._taken + count - self.most)
            if self._bytes + size > budget:
                raise self._busy(f"images of {self.mib:.0f} of {self._params.memory_mib:g} MiB (serving.memory_mib) are judged or wait already", self._taken)
            self._taken += count
            self._bytes += size

    def _busy(self, held: str, over: int) -> Refusal:
        """Return the refusal of images for which `over` others have to go first."""
        again = max(1, math.ceil(over * self._seconds / self.threads))
        return Refusal(503, f"{held}: send it again in {again} s", again=again)

    def leave(self, count: int, size: int = 0) -> None:
        """Give places back."""
        with self._lock:
            self._taken -= count
            self._bytes -= size

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
                    return judge_bytes(inspector, given, self._params, alone=True, repeats=self._repeats)
            return judge_bytes(inspector, given, self._params, alone=alone, repeats=self._repeats)
        finally:
            with self._lock:
                self._judging -= 1
                self._seconds = _KEPT * self._seconds + (1.0 - _KEPT) * (time.perf_counter() - started)


def judge_bytes(inspector: Inspector, given: Given, params: ServingParams, *, alone: bool, repeats: Repeats) -> Found:
    """Judge an image file's bytes as a file, so that bytes and files are read in one way.

    Raises Refusal for an image that cannot be judged: none such is ever called normal.
    """
    if given.refusal is not None:
        raise given.refusal
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="zeromiss-") as folder:
        file, reference = Path(folder) / "image", None if given.reference is None else Path(folder) / "reference"
        file.write_bytes(given.data)
        if reference is not None:
            reference.write_bytes(given.reference)
        try:
            examined = inspector.examine(file, alone=alone, companion=Companion(reference=reference, design=given.design))
            repeats.check(given.name, examined.image_CHW.numpy())
        except ZeromissError as error:
            told = str(error).replace(str(file), given.name or "the image").replace(str(reference), "the reference")
            raise Refusal(422, told) from None
    answer = judged(examined.verdict, name=given.name, boxes=params.boxes, seconds=time.perf_counter() - started)
    return Found(answer=answer, row=verdict_row(examined, inspector.features, name=given.name))


def cost_bytes(given: Given) -> int:
    """Return the bytes that an image and its reference take from their arrival to their verdict."""
    return 0 if given.refusal is not None else given.size + given.pixels * BYTES_PER_PIXEL
