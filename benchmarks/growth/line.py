"""A production line in simulation: images arrive at random, inspection workers judge them one after the other."""

import heapq
from collections.abc import Sequence

import numpy as np

LIMIT = 1.0  # seconds from an image's arrival to its verdict that 99 of 100 must keep
_SECONDS = 600  # of simulated arrivals, less where that were more images than these
_IMAGES = 600_000


def latencies(arrival_N: np.ndarray, service_N: np.ndarray, workers: int) -> np.ndarray:
    """Return seconds from arrival to verdict, (N,), of images served in their order by the first free worker."""
    free = [0.0] * workers
    found = np.empty(len(arrival_N))
    for number, (arrival, service) in enumerate(zip(arrival_N.tolist(), service_N.tolist(), strict=True)):
        end = max(arrival, heapq.heappop(free)) + service
        heapq.heappush(free, end)
        found[number] = end - arrival
    return found


def p99(services: Sequence[float], *, rate: float, workers: int, seed: int = 0) -> float:
    """Return the 99th percentile of latencies, in seconds, for Poisson arrivals of `rate` images a second.

    Service times are drawn from the measured ones, with replacement; a fifth of the images passes first.
    """
    random, count = np.random.default_rng(seed), min(_IMAGES, int(_SECONDS * rate))
    arrival_N = np.cumsum(random.exponential(1 / rate, count))
    found = latencies(arrival_N, random.choice(np.asarray(services), count), workers)
    return float(np.quantile(found[count // 5 :], 0.99))


def workers_needed(services: Sequence[float], *, rate: float, limit: float = LIMIT) -> int:
    """Return the fewest workers that keep the 99th percentile below `limit` seconds.

    Raises ValueError when a single image already takes too long for any number of them.
    """
    if np.quantile(services, 0.99) >= limit:
        raise ValueError(f"an image takes {np.quantile(services, 0.99):.2f} s on one core: no number of cores answers within {limit} s")
    workers = int(rate * np.mean(services) + 1e-9) + 1  # at or below it the queue grows without end
    while p99(services, rate=rate, workers=workers) >= limit:
        workers += 1
    return workers
