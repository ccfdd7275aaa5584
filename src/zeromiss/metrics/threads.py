"""Arithmetic whose bits don't depend on the number of threads, and yet uses every core.

Sums that threads share round otherwise than sums of one thread, so every task runs on one thread of torch. Speed
comes from measuring several images at once; for a single image from tasks that need not wait for each other
(`Lanes.together`) and from convolutions that compute bands of rows side by side (`Banded`). Lanes sleep while they
wait: on a busy machine they cost nothing, where a library's own threads would spin for each other.

Axes: B images, C channels, H, W rows and columns, K rows of a kernel.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

LEAST_WORK = 8_000_000  # multiplications below which a convolution is not worth sharing
_lock = threading.Lock()
_inside, _before = 0, 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread for each caller inside; the last to leave brings the old number back.

    May be entered again from inside, and by many threads at once.
    """
    global _inside, _before
    with _lock:
        if _inside == 0:
            _before = torch.get_num_threads()
        _inside += 1
        torch.set_num_threads(1)  # holds for the calling thread, so every one sets it
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                torch.set_num_threads(_before)


class Lanes:
    """Runs tasks of one image at once, each on one thread; a single lane runs them one after the other."""

    def __init__(self, count: int) -> None:
        """Take `count` lanes; the caller's thread is one of them."""
        self.count = count
        self._pool = ThreadPoolExecutor(max_workers=count - 1, thread_name_prefix="measure") if count > 1 else None

    def together(self, *tasks: Callable[[], Any]) -> list[Any]:
        """Return the tasks' results in their order; an exception of any is raised once all have ended."""
        if self._pool is None:
            return [task() for task in tasks]
        waiting = [self._pool.submit(_elsewhere, task, _low_precision()) for task in tasks[1:]]
        try:
            first = tasks[0]()
        finally:
            for future in waiting:
                future.exception()
        return [first, *(future.result() for future in waiting)]


def _low_precision() -> torch.dtype | None:
    """Return what autocast computes in on this thread, None where it is off."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None


@torch.inference_mode()
def _elsewhere(task: Callable[[], Any], low: torch.dtype | None) -> Any:
    """Run a task in a lane's thread as its owner would, in the owner's precision."""
    with one_thread(), torch.autocast("cpu", dtype=low or torch.bfloat16, enabled=low is not None, cache_enabled=False):
        return task()


@dataclass(frozen=True, kw_only=True)
class Band:
    """Rows `first` to `last` (half open) of the input give `rows` rows of the output, behind `skip` of no use."""

    first: int
    last: int
    skip: int
    rows: int


def row_bands(height: int, kernel: int, stride: int, padding: int, count: int) -> list[Band]:
    """Return up to `count` bands that together are all output rows of a convolution over `height` rows.

    Each is to be computed with the same `padding` as the whole; the rows that would see padding where the whole
    image goes on are those skipped, or lie behind the band's end.
    """
    total = (height + 2 * padding - kernel) // stride + 1
    edges = [round(total * part / count) for part in range(count + 1)]
    bands = []
    for begin, end in zip(edges[:-1], edges[1:], strict=True):
        skip = min(begin, -(-padding // stride))
        last = height if end == total else min(height, (end - 1) * stride - padding + kernel)
        if end > begin:
            bands.append(Band(first=(begin - skip) * stride, last=last, skip=skip, rows=end - begin))
    return bands


def _divisible(map_BCHW: Tensor, kernel: Tensor, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> bool:
    """Return whether a convolution is of one image, plain, and large enough to be shared."""
    plain = len(map_BCHW) == 1 and isinstance(padding, tuple) and tuple(dilation) == (1, 1) and groups == 1
    cells = map_BCHW.shape[2] * map_BCHW.shape[3] // (stride[0] * stride[1]) if plain else 0
    return cells * kernel.numel() >= LEAST_WORK


class Banded(TorchFunctionMode):
    """Inside, each large convolution of one image is computed in as many bands of rows as there are lanes.

    A band overlaps its neighbours by the kernel's reach, so that each row is the sum it always was. Whether the bits are
    the same too is the library's choice: each shape is tried once on drawn values, and one whose bits differ stays whole.
    """

    def __init__(self, lanes: Lanes) -> None:
        """Keep the lanes; may be entered by several threads."""
        super().__init__()
        self._lanes = lanes
        self._same_bits: dict[tuple[Any, ...], bool] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call `func`; a convolution in bands, where it may be."""
        if func is torch.conv2d and not kwargs and len(args) == 7 and _divisible(*args) and self._may(*args):
            return self._convolve(*args)
        return func(*args, **(kwargs or {}))

    def _may(self, map_BCHW: Tensor, kernel: Tensor, *rest: Any) -> bool:
        """Return whether bands have the bits of the whole for these shapes, asked of the library once."""
        key = (_low_precision(), map_BCHW.dtype, map_BCHW.shape, map_BCHW.stride(), kernel.shape, *rest[1:])
        if key not in self._same_bits:
            generator = torch.Generator().manual_seed(0)
            drawn_BCHW = torch.empty_like(map_BCHW).normal_(generator=generator)
            whole_BCHW = torch.conv2d(drawn_BCHW, kernel, *rest)
            self._same_bits[key] = torch.equal(self._convolve(drawn_BCHW, kernel, *rest), whole_BCHW)
        return self._same_bits[key]

    def _convolve(
        self, map_BCHW: Tensor, kernel: Tensor, bias: Tensor | None, stride: tuple[int, int], padding: tuple[int, int], *rest: Any
    ) -> Tensor:
        bands = row_bands(map_BCHW.shape[2], kernel.shape[2], stride[0], padding[0], self._lanes.count)

        def compute(band: Band) -> Tensor:
            """Return the rows of one band."""
            out_BCHW = torch.conv2d(map_BCHW[:, :, band.first : band.last], kernel, bias, stride, padding, *rest)
            return out_BCHW[:, :, band.skip : band.skip + band.rows]

        return torch.cat(self._lanes.together(*(partial(compute, band) for band in bands)), dim=2)
