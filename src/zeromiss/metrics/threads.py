"""Arithmetic on one thread each: the number of threads changes the last bits of a convolution.

An inspection must give the very bits the threshold was set on, whatever the machine it runs on is set to.
Speed comes from measuring several images at once instead.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

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
